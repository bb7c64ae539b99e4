// What a run leaves in the machine's temporary folder: nothing, and nothing of an earlier run that was killed.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, test } from "vitest";

const MODULE = JSON.stringify(join(import.meta.dirname, "temporary-folder.ts"));

/** Runs code of a program that has called useOwnTemporaryFolder; what it printed. */
function run(code: string, parent: string): string {
  const program = `import fs from "node:fs"; import os from "node:os"; import { spawnSync } from "node:child_process";
    import { useOwnTemporaryFolder } from ${MODULE}; useOwnTemporaryFolder(); ${code}`;
  const args = ["--input-type=module-typescript", "-e", program];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    env: { ...process.env, TMPDIR: parent },
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  return stdout;
}

function parentFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "parent-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("what a run and its programs leave is removed when it ends, however it ends", () => {
  const parent = parentFolder();
  const leave = `fs.mkdirSync(os.tmpdir() + "/a"); fs.writeFileSync(os.tmpdir() + "/a/b", "");`;
  const child = `spawnSync(process.execPath, ["-e", ${JSON.stringify('require("fs").writeFileSync(require("os").tmpdir() + "/c", "")')}]);`;
  const seen = run(`${leave} ${child} console.log(fs.readdirSync(os.tmpdir()).join());`, parent);
  assert.equal(seen, "a,c\n");
  run(`${leave} process.exitCode = 1; process.exit();`, parent);
  assert.deepEqual(readdirSync(parent), []);
});

test("the folder of a run that was killed goes with the next run; one that runs, and others' files, stay", () => {
  const parent = parentFolder();
  run(`process.kill(process.pid, "SIGKILL")`, parent);
  assert.equal(readdirSync(parent).length, 1);
  mkdirSync(join(parent, `lt-${process.pid}-abc`));
  mkdirSync(join(parent, "lt-others"));
  run("", parent);
  assert.deepEqual(readdirSync(parent).toSorted(), [`lt-${process.pid}-abc`, "lt-others"].toSorted());
});

test("a run within another's test uses the same folder, and leaves it there", () => {
  const parent = join(parentFolder(), `lt-${process.pid}-abc`);
  mkdirSync(parent);
  assert.equal(run("console.log(os.tmpdir())", parent), `${parent}\n`);
  assert.deepEqual(readdirSync(parent), []);
});
