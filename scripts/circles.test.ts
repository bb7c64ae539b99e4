// Modules import in one direction: no file reaches itself through what it imports. Types alone (`import type`) are gone
// before anything runs, and may.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { glob } from "node:fs/promises";
import { dirname, join, normalize, resolve } from "node:path";
import { test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const PLACES = [
  "packages/*/**/*.ts",
  "supabase/functions/**/*.ts",
  "scripts/**/*.ts",
  "tests/**/*.ts",
  "bench/**/*.ts",
];
const IMPORT = /^(?:import|export)\s+(?!type\s)(?:[^;"']*?\sfrom\s+)?["'](\.[^"']+)["']/gm;

/** What each file imports of the others, as it stands when types are gone. Pure. */
function importsOf(files: ReadonlyMap<string, string>): Map<string, string[]> {
  return new Map(
    [...files].map(([file, text]) => [
      file,
      [...text.matchAll(IMPORT)]
        .map(([, path = ""]) => normalize(join(dirname(file), path)))
        .filter((path) => files.has(path)),
    ]),
  );
}

/** The circles of a graph, each once. Pure. */
function circlesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: string[]): void => {
    const at = path.indexOf(file);
    if (at !== -1) circles.push([...path.slice(at), file].join(" → "));
    if (at !== -1 || done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return circles;
}

test("no file imports itself through others", async () => {
  const paths = await Array.fromAsync(
    glob(PLACES, { cwd: root, exclude: (path) => path.includes("node_modules") }),
  );
  const files = new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));
  assert.ok(files.size > 800, `${files.size} files`);
  assert.deepEqual(circlesOf(importsOf(files)), []);
});

test("a circle of values is found, one of types is none", () => {
  const files = (second: string) =>
    new Map([
      ["a/one.ts", 'import {\n  two,\n} from "./two.ts";\n'],
      ["a/two.ts", `${second}\n`],
      ["a/three.ts", 'export { one } from "./one.ts";\n'],
    ]);
  const circles = (second: string) => circlesOf(importsOf(files(second)));
  assert.deepEqual(circles('import { one } from "../a/three.ts";'), [
    "a/one.ts → a/two.ts → a/three.ts → a/one.ts",
  ]);
  assert.deepEqual(circles('import "./one.ts";'), ["a/one.ts → a/two.ts → a/one.ts"]);
  assert.deepEqual(circles('import type { One } from "./one.ts";'), []);
  assert.deepEqual(circles('import { other } from "elsewhere";'), []);
});
