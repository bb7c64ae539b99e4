// The commands of a clone, `npm start` before all, as the pages tell them: each in a form that ends.
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { inBackground, type RunOptions, runMarked } from "../helpers/doc-blocks.ts";
import { eventually, processes } from "../helpers/processes.ts";

const root = join(import.meta.dirname, "../..");
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "launchpad-npm-scripts-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A stack of its own, at ports of its own, that keeps nothing. */
const start = () => ({
  "npm start": inBackground(
    "npm start -- --ephemeral --port 0 --db-port 0",
    "^Agent Launchpad is running",
    join(folder, "npm-start.log"),
  ),
});
/** One small file of tests. */
const someTests = { "npm test": "npm test -- tests/helpers/doc-links.test.ts" };

/** A shell in the clone that has nothing of this test. */
function shell(replace: Record<string, string>): RunOptions {
  const { LAUNCHPAD_TEST_STACK: _, ...env } = process.env;
  // What is installed stays as it is: `npm test` has seen to it, and other tests use it.
  return {
    cwd: root,
    env: { ...env, TMPDIR: folder, NO_COLOR: "1", npm_config_ignore_scripts: "true" },
    replace,
    timeoutMs: 300_000,
  };
}

test("the README's", async () => {
  const outcomes = await runMarked("README.md", import.meta.filename, shell({ ...start(), ...someTests }));
  assert.match(outcomes.at(-1)?.output ?? "", /Tests: \d+ passed, 0 failed/);
});

test("the tutorial's", async () => {
  await runMarked("docs/tutorial.md", import.meta.filename, shell(start()));
});

test("those of CONTRIBUTING", async () => {
  // `npm run fix` writes: in a folder with one file that needs it.
  const other = join(folder, "clone");
  await mkdir(other);
  for (const file of ["package.json", "biome.json", ".gitignore"])
    await cp(join(root, file), join(other, file));
  const badly = join(other, "badly.ts");
  await writeFile(badly, "export  const a = 'b'");
  const [outcome] = await runMarked(
    "CONTRIBUTING.md",
    import.meta.filename,
    shell({
      ...start(),
      ...someTests,
      // CI has run, or will run, the unit tests anyway.
      "npm run check": "npm run check -- --no-tests",
      "npm run fix": `PATH="${join(root, "node_modules/.bin")}:$PATH" npm --prefix "${other}" run fix`,
      "npm run bench": "npm run bench -- cli --rounds 1",
    }),
  );
  for (const said of [/Tests: \d+ passed, 0 failed/, /check passed/, /--help, as it is published/])
    assert.match(outcome?.output ?? "", said);
  assert.equal(await readFile(badly, "utf8"), 'export const a = "b";\n');
});

test("nothing that they started is left", async () => {
  await eventually("nothing runs", () => !processes().some(({ command }) => command.includes(folder)));
});
