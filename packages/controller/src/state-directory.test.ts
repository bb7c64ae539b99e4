import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { processMark } from "./cluster/processes/system.ts";
import { takeStateDirectory } from "./state-directory.ts";
import { temporaryFolder } from "./testing/temporary.ts";

test("the name of the worker stays, the lock goes", (context) => {
  const directory = join(temporaryFolder(context), "deep", "state");
  const first = takeStateDirectory(directory);
  assert.match(first.worker, /^controller-[0-9a-f]{12}$/);
  assert.throws(() => takeStateDirectory(directory), /Another controller \(process \d+\) uses/);
  first.release();
  assert.ok(!existsSync(join(directory, "controller.lock")));
  const second = takeStateDirectory(directory);
  assert.equal(second.worker, first.worker);
  second.release();
  assert.deepEqual(readdirSync(directory), ["worker-id"]);
});

test("a directory that cannot be made is named with the setting that helps", (context) => {
  const file = join(temporaryFolder(context), "file");
  writeFileSync(file, "");
  for (const directory of [file, ...(process.platform === "linux" ? ["/proc/x"] : [])]) {
    assert.throws(() => takeStateDirectory(directory), {
      message: new RegExp(
        `^The state directory ${directory} cannot be used \\(E\\w+\\): set LAUNCHPAD_STATE_DIR`,
      ),
    });
  }
});

test("a dead owner's lock is taken over, whatever became of its process id", async (context) => {
  const directory = temporaryFolder(context);
  const lock = join(directory, "controller.lock");
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "exit");
  const own = processMark(process.pid);
  for (const text of [
    JSON.stringify({ pid: child.pid, mark: "boot-123" }),
    // The id lives again, as another process.
    JSON.stringify({ pid: process.pid, mark: `${own}0` }),
    "",
    "{",
  ]) {
    writeFileSync(lock, text);
    takeStateDirectory(directory).release();
  }
});

test("a process has one mark, another process another, a dead one none", async () => {
  const child = spawn(process.execPath, ["-e", "process.stdin.resume()"], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  await once(child, "spawn");
  const mark = processMark(child.pid ?? 0);
  assert.ok(mark !== undefined && mark !== processMark(process.pid));
  assert.equal(processMark(child.pid ?? 0), mark);
  child.stdin.end();
  await once(child, "exit");
  assert.equal(processMark(child.pid ?? 0), undefined);
});
