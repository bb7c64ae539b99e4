import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "vitest";

const read = (file: string) => readFileSync(new URL(file, import.meta.url), "utf8");

test("every setting of the controller is in its README", () => {
  const readme = read("../README.md");
  const names = ["config.ts", "config-kubernetes.ts"].flatMap((file) =>
    [...read(file).matchAll(/^ +(LAUNCHPAD_[A-Z_]+):/gm)].map(([, name = ""]) => name),
  );
  assert.ok(names.length > 60, String(names.length));
  // Of several with the same beginning the README writes the ends: `…_PULL_POLICY`.
  const isNamed = (name: string) =>
    readme.includes(name) ||
    name
      .split("_")
      .some((_, index, parts) => index > 0 && readme.includes(`\`…_${parts.slice(index).join("_")}\``));
  assert.deepEqual(
    names.filter((name) => !isNamed(name)),
    [],
  );
});
