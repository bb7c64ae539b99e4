// /admin/users: what the secret key may do with users.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { AuthError, badRequest, internal, notFound, unprocessable } from "../errors.ts";
import { createIdentity } from "../identities/identities.ts";
import { readEmail } from "../mail/send.ts";
import { confirmUser } from "../one-time-tokens.ts";
import { hashPassword, isPasswordHash, judgePassword, randomPassword } from "../passwords.ts";
import { readPhone } from "../phones.ts";
import type { Queryable } from "../queryable.ts";
import { type Answer, type AuthRequest, flagOf, objectOf, textOf } from "../request.ts";
import {
  draftUser,
  findUser,
  findUserByPhone,
  insertUser,
  type Json,
  listUsers,
  mergedMetaData,
  type UserRow,
  updateUser,
  userJson,
  userOfDuplicateEmail,
} from "../users.ts";
import { softDelete } from "./soft-deletion.ts";
import { ensureEmailIdentity, setPassword } from "./user.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The user that a path names. */
export async function userOfPath(context: AuthContext, id: string): Promise<UserRow> {
  if (!UUID.test(id)) throw notFound("validation_failed", "user_id must be an UUID");
  const user = await findUser(context.database, id);
  if (!user) throw notFound("user_not_found", "User not found");
  return user;
}

/** Who acts by an administrator's token. */
export const adminOf = (request: AuthRequest) => ({ role: String(request.claims?.role ?? "service_role") });

/** Of pages and of users on one: their product is still a number that Postgres reads. */
const MOST = 2 ** 31 - 1;

const number = (text: string | null, otherwise: number, name: string): number => {
  if (!text) return otherwise;
  if (!/^\d{1,18}$/.test(text))
    throw badRequest(
      "validation_failed",
      `Bad Pagination Parameters: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax (${name})`,
    );
  return Math.min(Number(text), MOST);
};

/** The pages of a list: what the query asks for, and the headers that tell the rest. */
export function pagesOf(request: AuthRequest): {
  page: number;
  perPage: number;
  headers(total: number): Record<string, string>;
} {
  const page = number(request.query.get("page"), 1, "page") || 1;
  const perPage = number(request.query.get("per_page"), 50, "per_page") || 50;
  return {
    page,
    perPage,
    headers(total) {
      const last = Math.ceil(total / perPage);
      const to = (wanted: number, rel: string) => {
        const query = new URLSearchParams(request.query);
        query.set("page", String(wanted));
        return `<${request.path}?${query}>; rel="${rel}"`;
      };
      const links = [...(last > page ? [to(page + 1, "next")] : []), to(last, "last")];
      return { link: links.join(", "), "x-total-count": String(total) };
    },
  };
}

/** GET /admin/users */
export async function list(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { page, perPage, headers } = pagesOf(request);
  const sort = request.query.get("sort") ?? "";
  if (!/^(created_at( (asc|desc))?)?$/i.test(sort))
    throw badRequest("validation_failed", `Bad Sort Parameters: bad field for sort '${sort.split(" ")[0]}'`);
  const { users, total } = await listUsers(context.database, {
    aud: AUDIENCE,
    filter: request.query.get("filter") ?? "",
    page,
    perPage,
    ascending: / asc$/i.test(sort),
  });
  return { body: { users: users.map(userJson), aud: AUDIENCE }, headers: headers(total) };
}

/** GET /admin/users/{id} */
export async function get(context: AuthContext, _request: AuthRequest, [id]: string[]): Promise<Answer> {
  return { body: userJson(await userOfPath(context, id ?? "")) };
}

/** The end of a ban: undefined where nothing is said of it. */
function banOf(body: Json, now: Date): Date | null | undefined {
  const text = textOf(body, "ban_duration");
  if (!text) return undefined;
  if (text === "none") return null;
  const ms = durationOf(text);
  if (ms === undefined || Math.abs(ms) > LONGEST_BAN_MS)
    throw badRequest(
      "validation_failed",
      `invalid format for ban duration: time: invalid duration ${JSON.stringify(text)}`,
    );
  return ms === 0 ? null : new Date(now.getTime() + ms);
}

/** As Go's durations, which end after 292 years. */
const LONGEST_BAN_MS = 2 ** 63 / 1e6;

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration such as `1h30m`. Pure. */
export function durationOf(text: string): number | undefined {
  const [, sign, rest] = /^([+-]?)(.+)$/.exec(text) ?? [];
  if (rest === "0") return 0;
  const parts = [...(rest ?? "").matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== rest) return undefined;
  const sum = parts.reduce((total, [, amount, unit]) => total + Number(amount) * (UNITS[unit ?? ""] ?? 0), 0);
  return sign === "-" ? -sum : sum;
}

/** POST /admin/users */
export async function create(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { database, now } = context;
  const body = request.body();
  const given = textOf(body, "email");
  const phone = readPhone(textOf(body, "phone"));
  const aud = textOf(body, "aud") || AUDIENCE;
  if (!given && !phone)
    throw badRequest("validation_failed", "Cannot create a user without either an email or phone");
  const email = given ? readEmail(given) : undefined;
  if (email && (await userOfDuplicateEmail(database, email, aud)))
    throw unprocessable("email_exists", "A user with this email address has already been registered");
  if (phone && (await findUserByPhone(database, phone, aud)))
    throw unprocessable("phone_exists", "Phone number already registered by another user");
  const password = textOf(body, "password");
  const hash = textOf(body, "password_hash");
  if (password !== undefined && hash)
    throw badRequest("validation_failed", "Only a password or a password hash should be provided");
  if (hash && !isPasswordHash(hash)) throw internal("Error creating user");
  if (password && Buffer.byteLength(password) > 72)
    throw badRequest("validation_failed", "bcrypt: password length exceeds 72 bytes");
  const id = textOf(body, "id");
  if (id && !UUID.test(id)) throw badRequest("validation_failed", "ID must conform to the uuid v4 format");
  if (id && /^[0-]+$/.test(id)) throw badRequest("validation_failed", "ID cannot be a nil uuid");
  const providers = [...(email ? ["email"] : []), ...(phone ? ["phone"] : [])];
  const bannedUntil = banOf(body, now());
  const draft = draftUser(
    {
      ...(id ? { id } : {}),
      aud,
      email,
      phone,
      role: textOf(body, "role") || "authenticated",
      encryptedPassword: hash || (await hashPassword(password || randomPassword())),
      appMetaData: mergedMetaData(
        { provider: providers[0], providers },
        objectOf(body, "app_metadata") ?? {},
      ),
      userMetaData: objectOf(body, "user_metadata") ?? {},
    },
    now(),
  );
  const user = await explained("Database error creating new user", () =>
    database.transaction(async (on) => {
      const made = await insertUser(on, draft);
      const claims = { sub: made.id, email_verified: false, phone_verified: false };
      if (email) await createIdentity(on, made.id, "email", { ...claims, email });
      if (phone) await createIdentity(on, made.id, "phone", { ...claims, phone });
      await recordAudit(on, request, adminOf(request), "user_signedup", {
        user_id: made.id,
        user_email: email ?? "",
        user_phone: phone ?? "",
        provider: providers[0],
      });
      if (flagOf(body, "email_confirm")) await confirmUser(on, made, now());
      if (flagOf(body, "phone_confirm")) await updateUser(on, made, { phone_confirmed_at: now() });
      if (bannedUntil !== undefined) await updateUser(on, made, { banned_until: bannedUntil });
      return (await findUser(on, made.id)) ?? made;
    }),
  );
  return { body: userJson(user) };
}

/** What a refusal of the database or a defect is called; Auth's own errors stay what they are. */
async function explained<T>(message: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof AuthError ? error : internal(message, error);
  }
}

/** PUT /admin/users/{id} */
export async function update(context: AuthContext, request: AuthRequest, [id]: string[]): Promise<Answer> {
  const { database, settings, now } = context;
  const user = await userOfPath(context, id ?? "");
  const body = request.body();
  const given = textOf(body, "email");
  const email = given ? readEmail(given) : undefined;
  const phone = readPhone(textOf(body, "phone"));
  const password = textOf(body, "password");
  const bannedUntil = banOf(body, now());
  if (password !== undefined) judgePassword(password, settings);
  const hash = password === undefined ? undefined : password === "" ? null : await hashPassword(password);
  const isFirst = Boolean(password) && !user.encrypted_password;
  const confirmEmail = flagOf(body, "email_confirm") ?? false;
  const confirmPhone = flagOf(body, "phone_confirm") ?? false;
  const [app, own] = [objectOf(body, "app_metadata"), objectOf(body, "user_metadata")];
  const role = textOf(body, "role");
  const after = await explained("Error updating user", () =>
    database.transaction(async (on) => {
      if (role) await updateUser(on, user, { role });
      if (confirmEmail) await confirmUser(on, user, now());
      if (confirmPhone) await updateUser(on, user, { phone_confirmed_at: now(), confirmation_token: "" });
      if (hash !== undefined) await setPassword(on, user, hash);
      if (email) {
        await putIdentity(on, user, "email", { email, email_verified: confirmEmail });
        await updateUser(on, user, { email, ...(confirmEmail ? { is_anonymous: false } : {}) });
      }
      if (phone) {
        await putIdentity(on, user, "phone", { phone, phone_verified: confirmPhone });
        await updateUser(on, user, { phone, ...(confirmPhone ? { is_anonymous: false } : {}) });
      }
      if (isFirst) await ensureEmailIdentity(on, (await findUser(on, user.id)) ?? user);
      if (app) await updateUser(on, user, { raw_app_meta_data: mergedMetaData(user.raw_app_meta_data, app) });
      if (own)
        await updateUser(on, user, { raw_user_meta_data: mergedMetaData(user.raw_user_meta_data, own) });
      if (bannedUntil !== undefined) await updateUser(on, user, { banned_until: bannedUntil });
      await recordAudit(on, request, adminOf(request), "user_modified", {
        user_id: user.id,
        user_email: user.email ?? "",
        user_phone: user.phone ?? "",
      });
      return (await findUser(on, user.id)) ?? user;
    }),
  );
  return { body: userJson(after) };
}

async function putIdentity(on: Queryable, user: UserRow, provider: string, data: Json): Promise<void> {
  const known = user.identities.find((each) => each.provider === provider);
  if (known)
    await on.query(
      "update auth.identities set identity_data = identity_data || $2, updated_at = now() where id = $1",
      [known.id, data],
    );
  else
    await createIdentity(on, user.id, provider, {
      sub: user.id,
      email_verified: false,
      phone_verified: false,
      ...data,
    });
}

/** DELETE /admin/users/{id}, with `should_soft_delete` */
export async function remove(context: AuthContext, request: AuthRequest, [id]: string[]): Promise<Answer> {
  const user = await userOfPath(context, id ?? "");
  const soft = request.hasBody && flagOf(request.body(), "should_soft_delete");
  await context.database.transaction(async (on) => {
    await recordAudit(on, request, adminOf(request), "user_deleted", {
      user_id: user.id,
      user_email: user.email ?? "",
      user_phone: user.phone ?? "",
    });
    if (!soft) await on.query("delete from auth.users where id = $1", [user.id]);
    else if (user.deleted_at === null) await softDelete(on, user, context.now());
  });
  return { body: {} };
}

/** GET /admin/audit */
export async function audit(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { page, perPage, headers } = pagesOf(request);
  const [column, value] = /^(\w+):(.*)$/s.exec(request.query.get("query") ?? "")?.slice(1) ?? [];
  const columns: Record<string, string[]> = {
    author: ["actor_username", "actor_name"],
    action: ["action"],
    type: ["log_type"],
  };
  const names = column === undefined ? [] : Object.hasOwn(columns, column) ? columns[column] : undefined;
  if (!names) throw badRequest("validation_failed", `Invalid query scope: ${column}`);
  const where =
    names.length === 0 ? "" : `where ${names.map((name) => `payload ->> '${name}' ilike $3`).join(" or ")}`;
  const values = names.length === 0 ? [] : [`%${value ?? ""}%`];
  const { rows } = await context.database.query<{ created_at: Date; total: number }>(
    `select id, payload, created_at, ip_address, count(*) over ()::int as total from auth.audit_log_entries ${where}
      order by created_at desc limit $1 offset $2`,
    [perPage, (page - 1) * perPage, ...values],
  );
  const total = rows[0]?.total ?? 0;
  return { body: rows.map(({ total: _, ...row }) => row), headers: headers(total) };
}
