// The runner of the tests: what ran is counted, whatever a file leaves open.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const MANY = 3_000;

test("counts each test of a file that leaves a server open, and ends", async () => {
  const folder = await mkdtemp(join(tmpdir(), "runner-"));
  try {
    const file = join(folder, "many.test.mjs");
    await writeFile(
      file,
      `import { createServer } from "node:http";
       import { test } from "node:test";
       createServer().listen(0, "127.0.0.1");
       for (let n = 0; n < ${MANY}; n++) test("test " + n, () => { if (n === ${MANY - 1}) throw new Error("last"); });`,
    );
    const env = { ...process.env };
    delete env.NODE_TEST_CONTEXT; // or the runner takes itself for one of a runner's files
    const said = await new Promise<string>((done) => {
      execFile(
        process.execPath,
        [join(import.meta.dirname, "test.ts"), file],
        { env, maxBuffer: 64 * 1024 * 1024 },
        (_error, stdout) => done(stdout),
      );
    });
    assert.match(said, new RegExp(`^Tests: ${MANY - 1} passed, 1 failed, 0 skipped$`, "m"));
  } finally {
    await rm(folder, { recursive: true });
  }
});
