// Keeps the passwords of the stack's database roles.

import { randomBytes } from "node:crypto";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { StackError } from "../errors.ts";

/** The roles that the stack itself logs in with. Other roles have no password and so cannot log in over TCP. */
export const LOGIN_ROLES = [
  "supabase_admin",
  "postgres",
  "authenticator",
  "supabase_lite",
  "supabase_realtime_admin",
] as const;
export type LoginRole = (typeof LOGIN_ROLES)[number];

const credentials = z.object(
  Object.fromEntries(LOGIN_ROLES.map((role) => [role, z.string().min(1)])) as Record<LoginRole, z.ZodString>,
);
export type Credentials = z.infer<typeof credentials>;

/** @returns a random password for every login role. */
export function newCredentials(): Credentials {
  return Object.fromEntries(
    LOGIN_ROLES.map((role) => [role, randomBytes(18).toString("base64url")]),
  ) as Credentials;
}

/** Reads the passwords of a data folder. Throws a StackError when the file is missing or damaged. */
export function readCredentials(file: string): Credentials {
  try {
    return credentials.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    throw new StackError(
      `${file} is missing or damaged, and without it the database cannot be opened; restore it or choose another --data-dir.`,
    );
  }
}

/** Writes a file that our account alone may read. */
export function writePrivate(file: string, content: string | Uint8Array): void {
  writeFileSync(file, content, { mode: 0o600 });
  chmodSync(file, 0o600); // an existing file keeps its mode otherwise
}

/** @returns the statements that give the roles these passwords; for the server's superuser. */
export function passwordStatements(passwords: Credentials): string[] {
  return LOGIN_ROLES.map((role) => `alter role ${role} password '${passwords[role]}'`);
}
