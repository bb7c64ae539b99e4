// Generates and keeps the stack's keys and secrets.

import { createHmac, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { codeOf, StackError } from "./errors.ts";
import { generateSigningKey, type JwtKeys, publicPart, SigningKey } from "./jwt-keys.ts";
import { clusterPaths } from "./postgres/paths.ts";

const Keys = z.object({
  jwtSecret: z.string().min(32),
  publishableKey: z.string().regex(/^sb_publishable_.{22,}$/),
  secretKey: z.string().regex(/^sb_secret_.{22,}$/),
  webhookSecret: z.string().min(32),
  /** The first one signs what Auth issues; all are accepted. Data folders of before 0.3 have none until their next start. */
  signingKeys: z.array(SigningKey).min(1),
});

/** What is secret in one data folder, the database's passwords apart (postgres/credentials.ts keeps those). */
export type StackKeys = z.infer<typeof Keys>;

/** New random keys. */
export function generateKeys(): StackKeys {
  const random = (bytes: number) => randomBytes(bytes).toString("base64url");
  return {
    jwtSecret: random(32),
    publishableKey: `sb_publishable_${random(24)}`,
    secretKey: `sb_secret_${random(24)}`,
    webhookSecret: random(32),
    signingKeys: [generateSigningKey()],
  };
}

const sets = new WeakMap<object, JwtKeys>();

/** What verifies every token of this stack: its public signing keys and the secret, as one JWK set. */
export function verifyingKeys(keys: Pick<StackKeys, "jwtSecret" | "signingKeys">): JwtKeys {
  let set = sets.get(keys);
  if (set === undefined) {
    const secret = { kty: "oct", k: Buffer.from(keys.jwtSecret).toString("base64url"), alg: "HS256" };
    set = JSON.stringify({ keys: [secret, ...keys.signingKeys.map(publicPart)] });
    sets.set(keys, set);
  }
  return set;
}

/** The keys of S3 clients that may do everything; they follow from the secret, so that a data folder needs no others. */
export function s3Keys({ jwtSecret, publishableKey }: Pick<StackKeys, "jwtSecret" | "publishableKey">) {
  const of = (use: string) => createHmac("sha256", jwtSecret).update(use).digest("hex");
  return {
    accessKeyId: of("s3 access key id").slice(0, 32),
    secretAccessKey: of("s3 secret access key"),
    publicKey: publishableKey,
  };
}

/**
 * The keys of a data folder: read from `keys.json`, made there on the first start (mode 0600).
 * Throws StackError when the file is there but is not ours to use, or is lost though the database is there: with other
 * keys every session and every program that has the old ones would fail, without a word about why.
 */
export async function loadKeys(dataDir: string, { replaceLost = false } = {}): Promise<StackKeys> {
  const file = join(dataDir, "keys.json");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) !== "ENOENT")
      throw new StackError(`The keys in ${file} cannot be read (${codeOf(error)}).`);
    if (!replaceLost && existsSync(clusterPaths(dataDir).data)) {
      throw new StackError(
        `${file} is missing although its database is there: restore it, or start with --new-keys (all users must sign in again, and programs need the new keys).`,
      );
    }
    return await writeKeys(file, generateKeys());
  }
  let known: unknown;
  try {
    known = JSON.parse(text);
    return Keys.parse(known);
  } catch {
    const older = Keys.omit({ signingKeys: true }).strict().safeParse(known);
    if (older.success) return await writeKeys(file, { ...older.data, signingKeys: [generateSigningKey()] });
    throw new StackError(
      `The keys in ${file} are damaged; restore that file, or delete the data folder to start over.`,
    );
  }
}

async function writeKeys(file: string, keys: StackKeys): Promise<StackKeys> {
  // Written beside and renamed, so that a kill in between leaves no half-written keys.
  await writeFile(`${file}.new`, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return keys;
}
