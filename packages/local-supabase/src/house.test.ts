// What this package may depend on: itself and published packages, so that it can stand alone.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "vitest";

const HOUSE = dirname(import.meta.dirname);

test("no source imports another package of this repository", () => {
  const sources = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => join(import.meta.dirname, name));
  assert.ok(sources.length > 100);
  const outside = sources.flatMap((file) => {
    const text = readFileSync(file, "utf8");
    const imports = [...text.matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map(([, name = ""]) => name);
    return imports
      .filter((name) =>
        name.startsWith(".")
          ? relative(HOUSE, join(dirname(file), name)).startsWith("..")
          : name.startsWith("@agent-launchpad/"),
      )
      .map((name) => `${relative(HOUSE, file)}: ${name}`);
  });
  assert.deepEqual(outside, []);
});
