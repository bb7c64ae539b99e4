// The end of a run as people and CI read it: every test is counted, whatever a file leaves open.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const MANY = 3_000;
let cache: string;

beforeAll(async () => {
  // Below the repository, where its packages are found.
  await mkdir(join(ROOT, ".cache"), { recursive: true });
  cache = await mkdtemp(join(ROOT, ".cache/runner-"));
});
afterAll(() => rm(cache, { recursive: true, force: true }));

/** Runs a file of tests as `npm test` does; what was printed, and the exit code. */
async function run(text: string): Promise<{ code: number; output: string; last: string }> {
  const folder = await mkdtemp(join(cache, "run-"));
  await writeFile(
    join(folder, "one.test.js"),
    `import { beforeAll, describe, test } from "vitest";\n${text}`,
  );
  const args = ["run", "--root", folder, "--pool=forks", "--reporter=default"];
  const { promise, resolve } = Promise.withResolvers<{ code: number; output: string; last: string }>();
  execFile(
    join(ROOT, "node_modules/.bin/vitest"),
    [...args, `--reporter=${join(import.meta.dirname, "summary.ts")}`],
    { maxBuffer: 1 << 26 },
    (error, output) =>
      resolve({ code: Number(error?.code ?? 0), output, last: output.trimEnd().split("\n").at(-1) ?? "" }),
  );
  return await promise;
}

test("a file that leaves a server open: all its tests are counted, and the run ends", async () => {
  const { code, last } = await run(
    `import { createServer } from "node:http";
     createServer().listen(0, "127.0.0.1");
     for (let n = 0; n < ${MANY}; n++) test("test " + n, () => { if (n === ${MANY - 1}) throw new Error("last"); });`,
  );
  assert.deepEqual([code, last], [1, `Tests: ${MANY - 1} passed, 1 failed, 0 skipped`]);
});

test("a failing hook, an unhandled rejection and a skipped test are told apart, with reasons", async () => {
  const { code, output, last } = await run(
    `describe("hooked", () => {
       beforeAll(() => { throw new Error("no database"); });
       test("never runs", () => {});
     });
     test("passes", () => { Promise.reject(new Error("left alone")); });
     test.skip("is left out", () => {});`,
  );
  assert.deepEqual([code, last], [1, "Tests: 1 passed, 2 failed, 2 skipped"]);
  const failed = output.slice(output.lastIndexOf("Failed:"));
  assert.match(failed, /one\.test\.js > hooked\n {4}no database/);
  assert.match(failed, /outside of a test\n {4}left alone/);
});

test("a file that cannot be loaded is a failure", async () => {
  const { code, output, last } = await run(`import "./missing.js"; test("x", () => {});`);
  assert.deepEqual([code, last], [1, "Tests: 0 passed, 1 failed, 0 skipped"]);
  assert.match(output.slice(output.lastIndexOf("Failed:")), /missing\.js/);
});

test("a run without failures ends with 0 and lists none", async () => {
  const { code, output, last } = await run(`test("passes", () => {});`);
  assert.deepEqual([code, last], [0, "Tests: 1 passed, 0 failed, 0 skipped"]);
  assert.doesNotMatch(output, /Failed:/);
});
