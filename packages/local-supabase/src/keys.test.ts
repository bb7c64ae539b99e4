import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { StackError } from "./errors.ts";
import { generateKeys, loadKeys } from "./keys.ts";

test("keys are made once, readable by their owner alone, and read again", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-keys-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
  const keys = await loadKeys(folder);
  assert.match(keys.publishableKey, /^sb_publishable_[\w-]{32}$/);
  assert.match(keys.secretKey, /^sb_secret_[\w-]{32}$/);
  assert.equal((await stat(join(folder, "keys.json"))).mode & 0o777, 0o600);
  assert.deepEqual(await loadKeys(folder), keys);
});

test("damaged keys are named, and not replaced", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-keys-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "keys.json");
  for (const text of ["", "{", "{}", JSON.stringify({ ...generateKeys(), jwtSecret: "short" })]) {
    await writeFile(file, text);
    await assert.rejects(
      loadKeys(folder),
      (error) => error instanceof StackError && error.message.includes(file),
    );
    assert.equal(await readFile(file, "utf8"), text);
  }
});

test("lost keys are not replaced behind a database's back", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-keys-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "postgres", "data"), { recursive: true });
  await assert.rejects(
    loadKeys(folder),
    (error) => error instanceof StackError && /is missing although .*--new-keys/.test(error.message),
  );
  const keys = await loadKeys(folder, { replaceLost: true });
  assert.deepEqual(await loadKeys(folder), keys);
});

test("keys of a release without signing keys gain one; the rest stays", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-keys-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
  const { signingKeys: _, ...older } = generateKeys();
  await writeFile(join(folder, "keys.json"), JSON.stringify(older));
  const keys = await loadKeys(folder);
  assert.equal(keys.signingKeys.length, 1);
  assert.deepEqual({ ...keys, signingKeys: undefined }, { ...older, signingKeys: undefined });
  assert.deepEqual(await loadKeys(folder), keys);
});
