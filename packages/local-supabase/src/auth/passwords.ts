// Hashes, compares and judges passwords.

import { randomBytes } from "node:crypto";
import { compare, hash } from "@node-rs/bcrypt";
import type { AuthSettings } from "../config/auth-settings.ts";
import { AuthError, badRequest } from "./errors.ts";

/** bcrypt's cost, as hosted has it. */
const COST = 10;
/** bcrypt reads no more. */
const MOST_BYTES = 72;

const LOWER = "abcdefghijklmnopqrstuvwxyz";
const UPPER = LOWER.toUpperCase();
const DIGITS = "0123456789";
const SYMBOLS = "!@#$%^&*()_+-=[]{};'\\\\:\"|<>?,./`~";

/** What config.toml's password_requirements ask for: one character of each set. */
const REQUIRED: Record<AuthSettings["password_requirements"], readonly string[]> = {
  "": [],
  letters_digits: [LOWER + UPPER, DIGITS],
  lower_upper_letters_digits: [LOWER, UPPER, DIGITS],
  lower_upper_letters_digits_symbols: [LOWER, UPPER, DIGITS, SYMBOLS],
};

/** A hash for auth.users; made on another thread. */
export const hashPassword = (password: string): Promise<string> =>
  hash(password, { cost: COST, version: "2a" });

let decoy: Promise<string> | undefined;

/**
 * Whether a password fits a hash. Without a hash the same work is done, so that the time does not say whether there is an
 * account; the answer is false then.
 */
export async function checkPassword(password: string, stored: string | null | undefined): Promise<boolean> {
  decoy ??= hashPassword(randomBytes(16).toString("hex"));
  const fits = await compare(password, stored || (await decoy)).catch(() => false);
  return fits && Boolean(stored);
}

/** A hash that another system made: bcrypt's form alone is read here. */
export const isPasswordHash = (text: string): boolean => /^\$2[aby]?\$\d\d\$[./A-Za-z0-9]{53}$/.test(text);

/** A password that nobody is told. */
export const randomPassword = (): string => randomBytes(32).toString("base64url");

/**
 * Judges a new password.
 * @throws AuthError `validation_failed` (over 72 bytes) or `weak_password` with its reasons
 */
export function judgePassword(
  password: string,
  settings: Pick<AuthSettings, "minimum_password_length" | "password_requirements">,
): void {
  if (Buffer.byteLength(password) > MOST_BYTES)
    throw badRequest("validation_failed", `Password cannot be longer than ${MOST_BYTES} characters`);
  const weakness = weaknessOf(password, settings);
  if (weakness) throw new AuthError(422, "weak_password", weakness.message, { reasons: weakness.reasons });
}

/** What a password lacks; undefined: nothing. Lengths are in bytes, as Auth counts. Pure. */
export function weaknessOf(
  password: string,
  {
    minimum_password_length: least,
    password_requirements: requirements,
  }: Pick<AuthSettings, "minimum_password_length" | "password_requirements">,
): { message: string; reasons: string[] } | undefined {
  const messages: string[] = [];
  const reasons: string[] = [];
  if (Buffer.byteLength(password) < least) {
    reasons.push("length");
    messages.push(`Password should be at least ${least} characters.`);
  }
  const sets = REQUIRED[requirements];
  if (sets.some((set) => ![...password].some((letter) => set.includes(letter)))) {
    reasons.push("characters");
    messages.push(`Password should contain at least one character of each: ${sets.join(", ")}.`);
  }
  return reasons.length === 0 ? undefined : { message: messages.join(" "), reasons };
}
