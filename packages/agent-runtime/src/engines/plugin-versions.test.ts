import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "vitest";
import { parsePlugin, withoutPins } from "./plugin-versions.ts";

test("a plugin's name and version", () => {
  for (const [text, name, version] of [
    ["left-pad", "left-pad", undefined],
    ["left-pad@1.2.3", "left-pad", "1.2.3"],
    ["@scope/name", "@scope/name", undefined],
    ["@scope/name@1.0.0-beta.1", "@scope/name", "1.0.0-beta.1"],
  ] as const) {
    assert.deepEqual(parsePlugin(text), { name, version });
  }
});

test("the installed version passes, another is named, an absent package is left to its loader", () => {
  const manifest = new URL("../../package.json", import.meta.url);
  const zod = JSON.parse(readFileSync(manifest, "utf8")).dependencies.zod as string;
  const from = [import.meta.url];
  assert.deepEqual(withoutPins([`zod@${zod}`, "zod", "no-such-package@1.0.0"], from), [
    "zod",
    "no-such-package",
  ]);
  assert.throws(() => withoutPins(["zod@0.0.1"], from), {
    reason: "PLUGIN_NOT_FOUND",
    message: new RegExp(`zod@0.0.1 \\(installed: ${zod.replaceAll(".", "\\.")}\\)`),
  });
});
