// Reads and writes auth.users, and shows a user as Auth's JSON does.

import { randomUUID } from "node:crypto";
import { type IdentityRow, identityJson } from "./identities/identities.ts";
import { type FactorRow, factorJson } from "./mfa/factors.ts";
import type { Queryable } from "./queryable.ts";

export type Json = Record<string, unknown>;

/** A row of auth.users, as far as Auth uses it. */
export interface UserColumns {
  id: string;
  aud: string | null;
  role: string | null;
  email: string | null;
  encrypted_password: string | null;
  email_confirmed_at: Date | null;
  invited_at: Date | null;
  confirmation_token: string | null;
  confirmation_sent_at: Date | null;
  recovery_token: string | null;
  recovery_sent_at: Date | null;
  email_change_token_new: string | null;
  email_change: string | null;
  email_change_sent_at: Date | null;
  last_sign_in_at: Date | null;
  raw_app_meta_data: Json | null;
  raw_user_meta_data: Json | null;
  created_at: Date | null;
  updated_at: Date | null;
  phone: string | null;
  phone_confirmed_at: Date | null;
  phone_change: string | null;
  phone_change_token: string | null;
  phone_change_sent_at: Date | null;
  confirmed_at: Date | null;
  email_change_token_current: string | null;
  email_change_confirm_status: number | null;
  banned_until: Date | null;
  reauthentication_token: string | null;
  reauthentication_sent_at: Date | null;
  is_sso_user: boolean;
  deleted_at: Date | null;
  is_anonymous: boolean;
}

/** A user with what belongs to them. */
export interface UserRow extends UserColumns {
  identities: IdentityRow[];
  factors: FactorRow[];
}

const SELECT = `select u.*,
  (select coalesce(json_agg(i order by i.created_at, i.id), '[]') from auth.identities i where i.user_id = u.id) as identities,
  (select coalesce(json_agg(f order by f.created_at, f.id), '[]') from auth.mfa_factors f where f.user_id = u.id) as factors
  from auth.users u`;

/** Times within JSON come as texts. */
function hydrated(row: UserRow | undefined): UserRow | undefined {
  const timed = <T extends object>(each: T): T =>
    Object.fromEntries(
      Object.entries(each).map(([name, value]) => [
        name,
        name.endsWith("_at") && typeof value === "string" ? new Date(value) : value,
      ]),
    ) as T;
  return row && { ...row, identities: row.identities.map(timed), factors: row.factors.map(timed) };
}

const NO_INSTANCE = "00000000-0000-0000-0000-000000000000";

/** The user of an id, or undefined. */
export async function findUser(on: Queryable, id: string): Promise<UserRow | undefined> {
  return hydrated((await on.query<UserRow>(`${SELECT} where u.id = $1`, [id])).rows[0]);
}

/** The user of an address in any case, SSO accounts aside. */
export async function findUserByEmail(
  on: Queryable,
  email: string,
  aud: string,
): Promise<UserRow | undefined> {
  const { rows } = await on.query<UserRow>(
    `${SELECT} where u.email = $1 and u.aud = $2 and not u.is_sso_user`,
    [email.toLowerCase(), aud],
  );
  return hydrated(rows[0]);
}

export async function findUserByPhone(
  on: Queryable,
  phone: string,
  aud: string,
): Promise<UserRow | undefined> {
  const { rows } = await on.query<UserRow>(
    `${SELECT} where u.phone = $1 and u.aud = $2 and not u.is_sso_user`,
    [phone, aud],
  );
  return hydrated(rows[0]);
}

/** The user with one of these columns equal to a value. Columns are the caller's own words. */
export async function findUserBy(
  on: Queryable,
  columns: readonly (keyof UserColumns)[],
  value: string,
): Promise<UserRow | undefined> {
  const condition = columns.map((column) => `u.${column} = $1`).join(" or ");
  const { rows } = await on.query<UserRow>(`${SELECT} where (${condition}) and not u.is_sso_user`, [value]);
  return hydrated(rows[0]);
}

/** Users of an audience, newest first unless told otherwise, with their number. */
export async function listUsers(
  on: Queryable,
  {
    aud,
    filter,
    page,
    perPage,
    ascending,
  }: {
    aud: string;
    filter: string;
    page: number;
    perPage: number;
    ascending: boolean;
  },
): Promise<{ users: UserRow[]; total: number }> {
  const where = `where u.aud = $1 and ($2 = '' or u.email like $3 or u.raw_user_meta_data ->> 'full_name' ilike $3)`;
  const values = [aud, filter, `%${filter}%`];
  const [{ rows: users }, { rows: counted }] = await Promise.all([
    on.query<UserRow>(
      `${SELECT} ${where} order by u.created_at ${ascending ? "asc" : "desc"}, u.id limit $4 offset $5`,
      [...values, perPage, (page - 1) * perPage],
    ),
    on.query<{ n: number }>(`select count(*)::int as n from auth.users u ${where}`, values),
  ]);
  return { users: users.flatMap((row) => hydrated(row) ?? []), total: counted[0]?.n ?? 0 };
}

/**
 * Whether another user has this address, also by an identity of theirs.
 * @param except the user who asks
 */
export async function userOfDuplicateEmail(
  on: Queryable,
  email: string,
  aud: string,
  except?: string,
): Promise<UserRow | undefined> {
  const { rows } = await on.query<{ user_id: string }>(
    `select i.user_id from auth.identities i join auth.users u on u.id = i.user_id
      where i.email = $1 and u.aud = $2 and i.provider not like 'sso:%' and i.user_id is distinct from $3::uuid limit 1`,
    [email.toLowerCase(), aud, except ?? null],
  );
  if (rows[0]) return await findUser(on, rows[0].user_id);
  const user = await findUserByEmail(on, email, aud);
  return user?.id === except ? undefined : user;
}

/** What a new user is made of. */
export interface NewUser {
  id?: string;
  aud: string;
  role?: string;
  email?: string | undefined;
  phone?: string | undefined;
  encryptedPassword?: string | undefined;
  appMetaData?: Json;
  userMetaData?: Json | undefined;
  isAnonymous?: boolean;
  isSsoUser?: boolean;
}

/** The user as a row that does not exist yet: what hooks are shown. Pure but for the id and the time. */
export function draftUser(made: NewUser, now: Date): UserRow {
  return {
    id: made.id ?? randomUUID(),
    aud: made.aud,
    role: made.role ?? "authenticated",
    email: made.email ?? null,
    encrypted_password: made.encryptedPassword ?? "",
    email_confirmed_at: null,
    invited_at: null,
    confirmation_token: "",
    confirmation_sent_at: null,
    recovery_token: "",
    recovery_sent_at: null,
    email_change_token_new: "",
    email_change: "",
    email_change_sent_at: null,
    last_sign_in_at: null,
    raw_app_meta_data: made.appMetaData ?? {},
    raw_user_meta_data: made.userMetaData ?? {},
    created_at: now,
    updated_at: now,
    phone: made.phone ?? null,
    phone_confirmed_at: null,
    phone_change: "",
    phone_change_token: "",
    phone_change_sent_at: null,
    confirmed_at: null,
    email_change_token_current: "",
    email_change_confirm_status: 0,
    banned_until: null,
    reauthentication_token: "",
    reauthentication_sent_at: null,
    is_sso_user: made.isSsoUser ?? false,
    deleted_at: null,
    is_anonymous: made.isAnonymous ?? false,
    identities: [],
    factors: [],
  };
}

const INSERTED = [
  "id",
  "aud",
  "role",
  "email",
  "encrypted_password",
  "confirmation_token",
  "recovery_token",
  "email_change_token_new",
  "email_change",
  "raw_app_meta_data",
  "raw_user_meta_data",
  "created_at",
  "updated_at",
  "phone",
  "is_sso_user",
  "is_anonymous",
] as const satisfies readonly (keyof UserColumns)[];

/** Writes a draft. Returns the row as the database has it: triggers and rules may have changed it. */
export async function insertUser(on: Queryable, draft: UserRow): Promise<UserRow> {
  const places = INSERTED.map((_, index) => `$${index + 2}`).join(", ");
  await on.query(`insert into auth.users (instance_id, ${INSERTED.join(", ")}) values ($1, ${places})`, [
    NO_INSTANCE,
    ...INSERTED.map((column) => draft[column]),
  ]);
  return (await findUser(on, draft.id)) ?? draft;
}

/** Changes columns of a user, in the database and in `user`. */
export async function updateUser(
  on: Queryable,
  user: UserRow,
  changes: Partial<Omit<UserColumns, "id" | "confirmed_at">>,
): Promise<void> {
  const names = Object.keys(changes);
  const assignments = names.map((name, index) => `${name} = $${index + 2}`).join(", ");
  const { rows } = await on.query<UserColumns>(
    `update auth.users set ${assignments}, updated_at = now() where id = $1 returning *`,
    [user.id, ...Object.values(changes)],
  );
  Object.assign(user, rows[0]);
}

/** Adds to app_metadata or user_metadata; null takes a key out. */
export function mergedMetaData(before: Json | null, changes: Json): Json {
  const merged = { ...before };
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) delete merged[key];
    else merged[key] = value;
  }
  return merged;
}

export const isConfirmed = (user: UserRow): boolean => user.email_confirmed_at !== null;
export const isBanned = (user: UserRow, now: Date): boolean =>
  user.banned_until !== null && now < user.banned_until;
export const hasPassword = (user: UserRow): boolean => Boolean(user.encrypted_password);
export const hasVerifiedFactor = (user: UserRow): boolean =>
  user.factors.some(({ status }) => status === "verified");

const time = (value: Date | null) => (value === null ? undefined : value.toISOString());
const text = (value: string | null) => value || undefined;

/** A user as Auth shows them: the order and the absence of fields are Auth's own. Pure. */
export function userJson(user: UserRow): Json {
  return {
    id: user.id,
    aud: user.aud ?? "",
    role: user.role ?? "",
    email: user.email ?? "",
    email_confirmed_at: time(user.email_confirmed_at),
    invited_at: time(user.invited_at),
    phone: user.phone ?? "",
    phone_confirmed_at: time(user.phone_confirmed_at),
    confirmation_sent_at: time(user.confirmation_sent_at),
    confirmed_at: time(user.confirmed_at),
    recovery_sent_at: time(user.recovery_sent_at),
    new_email: text(user.email_change),
    email_change_sent_at: time(user.email_change_sent_at),
    new_phone: text(user.phone_change),
    phone_change_sent_at: time(user.phone_change_sent_at),
    reauthentication_sent_at: time(user.reauthentication_sent_at),
    last_sign_in_at: time(user.last_sign_in_at),
    app_metadata: user.raw_app_meta_data ?? {},
    user_metadata: user.raw_user_meta_data ?? {},
    factors: user.factors.length > 0 ? user.factors.map(factorJson) : undefined,
    identities: user.identities.map(identityJson),
    created_at: time(user.created_at),
    updated_at: time(user.updated_at),
    banned_until: time(user.banned_until),
    deleted_at: time(user.deleted_at),
    is_anonymous: user.is_anonymous,
  };
}
