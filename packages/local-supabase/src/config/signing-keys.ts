// Reads the keys of [auth] signing_keys_path.

import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { codeOf, StackError } from "../errors.ts";
import { SigningKey } from "../jwt-keys.ts";
import type { StackKeys } from "../keys.ts";

const File = z.union([z.array(SigningKey).min(1), SigningKey.transform((key) => [key])]);

/**
 * The stack's keys with the project's own signing keys in place of the data folder's, where config.toml names a file of them
 * (as `supabase gen signing-key` writes it; below the folder supabase). Those of the data folder are still accepted, so that a
 * change ends no session. Throws a StackError of one sentence when the file cannot be used.
 */
export async function withSigningKeys(
  keys: StackKeys,
  root: string,
  path: string | undefined,
): Promise<StackKeys> {
  if (!path) return keys;
  const refuse = (why: string) => new StackError(`supabase/config.toml: auth.signing_keys_path ${why}.`);
  let text: string;
  try {
    text = await readFile(isAbsolute(path) ? path : join(root, "supabase", path), "utf8");
  } catch (error) {
    throw refuse(`names a file that cannot be read (${codeOf(error)})`);
  }
  let own: SigningKey[];
  try {
    own = File.parse(JSON.parse(text));
  } catch {
    throw refuse(
      "must name a JSON list of private ES256 or RS256 keys; `supabase gen signing-key` makes one",
    );
  }
  const others = keys.signingKeys.filter(({ kid }) => !own.some((key) => key.kid === kid));
  return { ...keys, signingKeys: [...own, ...others] };
}
