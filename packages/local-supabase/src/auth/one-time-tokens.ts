// The codes and links of mails: made, kept as hashes, and found again.

import { createHmac, randomInt, randomUUID } from "node:crypto";
import type { Queryable } from "./queryable.ts";
import { type UserRow, updateUser } from "./users.ts";

/** The kinds of auth.one_time_tokens. */
export type OneTimeTokenKind =
  | "confirmation_token"
  | "recovery_token"
  | "email_change_token_new"
  | "email_change_token_current"
  | "reauthentication_token"
  | "phone_change_token";

/** A code of digits. */
export const newCode = (digits: number): string => String(randomInt(0, 10 ** digits)).padStart(digits, "0");

/**
 * What is kept of a code that was sent to an address, and what its link carries. With the project's secret: from the address
 * alone anybody could compute the link of each of the million codes, and links are not counted by address.
 */
export const hashOf = ({ jwtSecret }: { jwtSecret: string }, address: string, code: string): string =>
  createHmac("sha224", jwtSecret)
    .update(address + code)
    .digest("hex");

/** Before the hash where the link ends in a code for the app (PKCE) instead of tokens. */
const PKCE_PREFIX = "pkce_";
export const isPkceToken = (token: string): boolean => token.startsWith(PKCE_PREFIX);
export const withFlow = (hash: string, pkce: boolean): string => (pkce ? PKCE_PREFIX + hash : hash);

/** Keeps a token of a user, in place of an earlier one of its kind. */
export async function keepToken(
  on: Queryable,
  user: UserRow,
  kind: OneTimeTokenKind,
  { hash, relatesTo }: { hash: string; relatesTo: string },
): Promise<void> {
  await on.query("delete from auth.one_time_tokens where user_id = $1 and token_type = $2", [user.id, kind]);
  await on.query(
    `insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to) values ($1, $2, $3, $4, $5)`,
    [randomUUID(), user.id, kind, hash, relatesTo.toLowerCase()],
  );
}

/** Forgets a user's tokens of a kind, or all. */
export async function forgetTokens(on: Queryable, user: UserRow, kind?: OneTimeTokenKind): Promise<void> {
  await on.query(
    "delete from auth.one_time_tokens where user_id = $1 and ($2::auth.one_time_token_type is null or token_type = $2)",
    [user.id, kind ?? null],
  );
}

/** The user of a token of one of these kinds, or undefined. The kinds are the caller's own words. */
export async function ownerOfToken(
  on: Queryable,
  hash: string,
  kinds: readonly OneTimeTokenKind[],
): Promise<string | undefined> {
  const { rows } = await on.query<{ user_id: string }>(
    `select user_id from auth.one_time_tokens
      where token_hash = any($1) and token_type = any($2::auth.one_time_token_type[]) limit 1`,
    [[hash, PKCE_PREFIX + hash], kinds],
  );
  return rows[0]?.user_id;
}

/** Whether a hash is the one that was sent, in time. Pure. */
export function isValid(
  given: string,
  expected: string | null,
  sentAt: Date | null,
  { expirySeconds, now }: { expirySeconds: number; now: Date },
): boolean {
  if (!expected || sentAt === null) return false;
  if (now.getTime() > sentAt.getTime() + expirySeconds * 1000) return false;
  return given === expected || PKCE_PREFIX + given === expected;
}

/** Confirms a user's address and forgets what was sent to them. */
export async function confirmUser(on: Queryable, user: UserRow, now: Date): Promise<void> {
  await updateUser(on, user, {
    confirmation_token: "",
    email_confirmed_at: now,
    raw_user_meta_data: { ...user.raw_user_meta_data, email_verified: true },
  });
  await forgetTokens(on, user);
}
