// Every file says in its first sentence what it is for, so that a reader who lands in it knows the room.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { glob } from "node:fs/promises";
import { join, resolve } from "node:path";
import { test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const PLACES = [
  "packages/*/**/*.ts",
  "supabase/functions/**/*.ts",
  "scripts/**/*.ts",
  "tests/helpers/**/*.ts",
  "bench/**/*.ts",
];

/** The first sentence of the comment that a file begins with; undefined where it begins with anything else. Pure. */
function firstSentence(text: string): string | undefined {
  const [, lines, block] =
    /^(?:#!.*\n)?(?:((?:\/\/.*\n)+)|\/\*\*?([\s\S]*?)\*\/)/.exec(text.replaceAll("\r\n", "\n")) ?? [];
  const words = (lines ?? block)
    ?.replaceAll(/^\s*(?:\/\/|\*)/gm, "")
    .replaceAll(/\s+/g, " ")
    .trim();
  return words === undefined || /^(?:biome-|@ts-|deno-)/.test(words) ? undefined : words;
}

test("every file begins with a sentence about it", async () => {
  const paths = await Array.fromAsync(
    glob(PLACES, {
      cwd: root,
      exclude: (path) => path.includes("node_modules") || path.endsWith(".test.ts"),
    }),
  );
  assert.ok(paths.length > 700, `${paths.length} files`);
  const silent = paths.filter(
    (path) => (firstSentence(readFileSync(join(root, path), "utf8")) ?? "").split(" ").length < 3,
  );
  assert.deepEqual(silent.sort(), [], "begin these files with `// What this file is for.`");
});

test("code, a directive and an empty comment are no first sentence", () => {
  assert.equal(firstSentence('import { a } from "./a.ts";\n// Says what a is.\n'), undefined);
  assert.equal(firstSentence("// biome-ignore lint: why\nexport const a = 1;\n"), undefined);
  assert.equal(firstSentence("//\nexport const a = 1;\n"), "");
  assert.equal(firstSentence("#!/usr/bin/env node\n// Runs\n// it all.\nrun();\n"), "Runs it all.");
  assert.equal(firstSentence("/**\n * Runs it all.\n */\nrun();\n"), "Runs it all.");
});
