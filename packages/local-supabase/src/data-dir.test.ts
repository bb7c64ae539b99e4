import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "vitest";
import { openDataDir } from "./data-dir.ts";
import { StackError } from "./errors.ts";

async function scratch(t: Pick<TestContext, "onTestFinished">): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-dir-"));
  t.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const sentence = (pattern: RegExp) => (error: unknown) =>
  error instanceof StackError && pattern.test(error.message) && !error.message.includes("\n");

test("a second stack on the same folder is refused, by name and process", async (t) => {
  const folder = await scratch(t);
  const held = await openDataDir(folder);
  await assert.rejects(
    openDataDir(folder),
    sentence(new RegExp(`used by another stack \\(process ${process.pid}\\)`)),
  );
  await held.release();
  await (await openDataDir(folder)).release();
});

test("the lock of a stack that is gone is taken over, even half-written", async (t) => {
  const folder = await scratch(t);
  for (const left of [JSON.stringify({ pid: process.pid, start: "1" }), "", '{"pid":']) {
    await writeFile(join(folder, "lock"), left);
    const dir = await openDataDir(folder);
    assert.equal(JSON.parse(await readFile(join(folder, "lock"), "utf8")).pid, process.pid);
    await dir.release();
    assert.ok(!existsSync(join(folder, "lock")));
  }
});

test("a file in the folder's place is named", async (t) => {
  const path = join(await scratch(t), "file");
  await writeFile(path, "");
  await assert.rejects(openDataDir(path), sentence(/cannot be used: a file is in its place\.$/));
});

test("folders above it are made; where none can be made that is said, at once", async (t) => {
  const folder = join(await scratch(t), "a", "b");
  await (await openDataDir(folder)).release();
  assert.ok(existsSync(join(folder, "logs")));
  if (existsSync("/proc/self"))
    await assert.rejects(openDataDir("/proc/none/such"), sentence(/cannot be used: .+\.$/));
});

test("a temporary folder is gone afterwards", async () => {
  const dir = await openDataDir(undefined);
  assert.ok(existsSync(dir.storage));
  await dir.release();
  assert.ok(!existsSync(dir.path));
});

test("stack.json says where the stack is, to its own user, for as long as it runs", async (t) => {
  const folder = await scratch(t);
  const dir = await openDataDir(folder);
  const where = { apiUrl: "http://127.0.0.1:1", dbUrl: "postgresql://postgres:secret@127.0.0.1:2/postgres" };
  await dir.announce(where);
  const file = join(folder, "stack.json");
  assert.deepEqual(JSON.parse(await readFile(file, "utf8")), where);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  await dir.release();
  assert.ok(!existsSync(file));
});

test("the folders are closed to other accounts, also those of an earlier version", async (t) => {
  const folder = await scratch(t);
  for (const open of [true, false]) {
    const dir = await openDataDir(folder, { passages: ["own"] });
    const own = join(folder, "own");
    const modes = await Promise.all(
      [dir.path, own, dir.storage, dir.logs, join(folder, "lock")].map(
        async (path) => (await stat(path)).mode & 0o777,
      ),
    );
    const passage = process.getuid?.() === 0 ? 0o711 : 0o700;
    assert.deepEqual(modes, [passage, passage, 0o700, 0o700, 0o600]);
    await dir.release();
    if (open) for (const path of [dir.path, own, dir.storage, dir.logs]) await chmod(path, 0o755);
  }
});
