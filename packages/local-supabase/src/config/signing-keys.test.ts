import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { StackError } from "../errors.ts";
import { generateSigningKey, publicPart } from "../jwt-keys.ts";
import { generateKeys, verifyingKeys } from "../keys.ts";
import { withSigningKeys } from "./signing-keys.ts";

test("a project's keys sign, and those of the data folder are still accepted", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "signing-"));
  t.onTestFinished(() => rm(root, { recursive: true }));
  await mkdir(join(root, "supabase"));
  const own = generateSigningKey();
  await writeFile(join(root, "supabase", "signing_keys.json"), JSON.stringify([own]));
  const keys = generateKeys();
  const changed = await withSigningKeys(keys, root, "./signing_keys.json");
  assert.deepEqual(
    changed.signingKeys.map(({ kid }) => kid),
    [own.kid, keys.signingKeys[0]?.kid],
  );
  assert.ok(verifyingKeys(changed).includes(JSON.stringify(publicPart(own))));
  assert.equal(await withSigningKeys(keys, root, undefined), keys);
});

test("a file that is missing, or has other than private keys, is named in one sentence", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "signing-"));
  t.onTestFinished(() => rm(root, { recursive: true }));
  const file = join(root, "keys.json");
  const message = async () =>
    await withSigningKeys(generateKeys(), root, file).then(
      () => "none",
      (error: unknown) => (error instanceof StackError ? error.message : String(error)),
    );
  assert.match(
    await message(),
    /^supabase\/config\.toml: auth\.signing_keys_path names a file that cannot be read \(ENOENT\)\.$/,
  );
  for (const text of ["", "[]", "{}", JSON.stringify([publicPart(generateSigningKey())])]) {
    await writeFile(file, text);
    assert.match(await message(), /must name a JSON list of private ES256 or RS256 keys/);
  }
});
