import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "vitest";
import { isPackageName, majorBehindTag, needsEliza } from "./packages.ts";
import { requireCompatible } from "./requirements.ts";

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

test("of elizaOS's own plugins a tag means the elizaOS of the plugin's version", () => {
  assert.equal(majorBehindTag("@elizaos/plugin-telegram", "2.0.0-alpha.11", "alpha"), 2);
  assert.equal(majorBehindTag("@elizaos/plugin-telegram", "1.6.4", "next"), 1);
  assert.equal(majorBehindTag("@elizaos/plugin-telegram", "2.0.0", "latest"), undefined);
  assert.equal(majorBehindTag("elizaos-plugin-x", "3.0.0", "alpha"), undefined);
});

test("a plugin installed for a newer elizaOS by a tag is incompatible, with the cure", () => {
  const folder = mkdtempSync(join(tmpdir(), "tagged-"));
  const from = pathToFileURL(join(folder, "load.mjs")).href;
  const package_ = join(folder, "node_modules/@elizaos/plugin-tag");
  mkdirSync(package_, { recursive: true });
  const write = (version: string) =>
    writeFileSync(
      join(package_, "package.json"),
      JSON.stringify({ name: "@elizaos/plugin-tag", version, dependencies: { "@elizaos/core": "alpha" } }),
    );
  const here = { node: "24.0.0", core: "1.7.2" };
  try {
    write("1.4.0");
    requireCompatible("@elizaos/plugin-tag", from, here);
    write("2.0.0-alpha.11");
    assert.throws(() => requireCompatible("@elizaos/plugin-tag", from, here), {
      reason: "PLUGIN_INCOMPATIBLE",
      message: /needs elizaOS alpha; agents run on 1\.7\.2\. Name a version of it for elizaOS 1\.x/,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
