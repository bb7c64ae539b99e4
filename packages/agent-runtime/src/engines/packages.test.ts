import assert from "node:assert/strict";
import { test } from "node:test";
import { isPackageName, needsEliza } from "./packages.ts";

test("only a package's name is one", () => {
  for (const name of ["a", "left-pad", "@scope/name", "@elizaos/plugin-discord", "name.js"])
    assert.ok(isPackageName(name), name);
  for (const name of [
    "",
    ".",
    "..",
    "../a",
    "/etc/passwd",
    "./a",
    "fs",
    "node:fs",
    "file:///a",
    "https://x/y.js",
    "a/b",
    "A",
    "@x",
    "data:text/javascript,1",
    "a".repeat(215),
  ]) {
    assert.ok(!isPackageName(name), name);
  }
});

test("elizaOS is needed by name or by dependency", () => {
  assert.ok(needsEliza("@elizaos/plugin-anything", import.meta.url));
  assert.ok(needsEliza("elizaos-plugin-x", import.meta.url));
  assert.ok(!needsEliza("zod", import.meta.url));
  assert.ok(!needsEliza("not-installed-at-all", import.meta.url));
});
