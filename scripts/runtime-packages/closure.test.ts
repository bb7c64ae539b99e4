import assert from "node:assert/strict";
import { test } from "vitest";
import { closure } from "./closure.ts";

test("packages are found as Node finds them, nested first, without development", () => {
  const packages = {
    "": { dependencies: { tool: "1" } },
    "packages/x": { dependencies: { a: "^1", b: "^1" }, optionalDependencies: { missing: "1" } },
    "node_modules/a": { version: "1.0.0", dependencies: { b: "^2" } },
    "node_modules/a/node_modules/b": { version: "2.0.0" },
    "node_modules/b": { version: "1.0.0", hasInstallScript: true },
    "node_modules/tool": { version: "9.0.0", dev: true },
  };
  assert.deepEqual(
    closure(packages, "packages/x").map((p) => [p.package, p.version, p.installScript]),
    [
      ["a", "1.0.0", false],
      ["b", "1.0.0", true],
      ["b", "2.0.0", false],
    ],
  );
});
