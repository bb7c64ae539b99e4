// A disk without space, a real one: a small file system in memory. Only where this machine lets us make one.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { spawnStack, startTestStack } from "../helpers/stack.ts";

const folder = mkdtempSync(join(tmpdir(), "launchpad-full-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=20m", "tmpfs", folder]).status === 0;

beforeAll(() => {
  if (mounted) spawnSync("chmod", ["755", folder]);
});
afterAll(() => {
  if (mounted) spawnSync("umount", [folder]);
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a stack that cannot come up; its last words. */
async function lastWords(dataDir: string): Promise<string> {
  const started = spawnStack({ dataDir });
  const [code] = await once(started.process, "close");
  assert.equal(code, 1);
  return started.stderr().trim().split("\n").at(-1) ?? "";
}

const sentence = /^The disk that holds \S+ is full \([\d.]+ MB free\): free some space, then start again\./;

test("a start on a full disk says so, at the first try and at the next", { skip: !mounted }, async () => {
  const dataDir = join(folder, "data");
  assert.match(await lastWords(dataDir), sentence);
  assert.match(await lastWords(dataDir), sentence);
});

test("a disk that fills while the stack runs costs no data", { skip: !mounted }, async () => {
  rmSync(join(folder, "data"), { recursive: true, force: true });
  spawnSync("mount", ["-o", "remount,size=140m", folder]);
  const dataDir = join(folder, "data");
  const first = await startTestStack({ dataDir });
  const user = await first.createUser();
  const free = () => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  };
  const filler = join(folder, "filler");
  try {
    while (free() > 0) writeFileSync(filler, Buffer.alloc(Math.min(free(), 1024 * 1024)), { flag: "a" });
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
  }
  await first.client().auth.signUp({ email: "late@example.com", password: "pass-word-1234" });
  await first.stop();
  assert.match(await lastWords(dataDir), sentence);
  rmSync(filler);
  const second = await startTestStack({ dataDir });
  const signedIn = await second
    .client()
    .auth.signInWithPassword({ email: user.email, password: user.password });
  assert.equal(signedIn.data.user?.id, user.id);
  await second.stop();
});
