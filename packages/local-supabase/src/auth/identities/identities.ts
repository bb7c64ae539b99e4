// The identities of a user: how they are kept, shown, added and removed.

import { internal, unprocessable } from "../errors.ts";
import type { Queryable } from "../queryable.ts";

/** A row of auth.identities. */
export interface IdentityRow {
  id: string;
  provider_id: string;
  user_id: string;
  identity_data: Record<string, unknown>;
  provider: string;
  last_sign_in_at: Date | null;
  created_at: Date | null;
  updated_at: Date | null;
  email: string | null;
}

/** An identity as the API shows it: the row's id is `identity_id`, the provider's is `id`. */
export function identityJson(row: IdentityRow) {
  return {
    identity_id: row.id,
    id: row.provider_id,
    user_id: row.user_id,
    identity_data: row.identity_data,
    provider: row.provider,
    ...(row.last_sign_in_at ? { last_sign_in_at: row.last_sign_in_at } : {}),
    created_at: row.created_at,
    updated_at: row.updated_at,
    ...(row.email ? { email: row.email } : {}),
  };
}

/** A user's identities, the oldest first. */
export async function identitiesOf(db: Queryable, userId: string): Promise<IdentityRow[]> {
  const { rows } = await db.query<IdentityRow>(
    "select * from auth.identities where user_id = $1 order by created_at, id",
    [userId],
  );
  return rows;
}

/** Adds an identity. `data.sub` is the person's id at the provider. */
export async function createIdentity(
  db: Queryable,
  userId: string,
  provider: string,
  data: Readonly<Record<string, unknown>>,
): Promise<IdentityRow> {
  const { sub } = data;
  if (typeof sub !== "string" || sub === "") throw internal("Error creating identity");
  const { rows } = await db.query<IdentityRow>(
    `insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
     values ($1, $2, $3, $4, now(), now(), now()) returning *`,
    [sub, userId, withLowerEmail(data), provider],
  );
  return rows[0]!;
}

/** What the provider says now, after another sign-in. */
export async function refreshIdentity(
  db: Queryable,
  identityId: string,
  data: Readonly<Record<string, unknown>>,
): Promise<void> {
  await db.query(
    "update auth.identities set identity_data = $2, last_sign_in_at = now(), updated_at = now() where id = $1",
    [identityId, withLowerEmail(data)],
  );
}

function withLowerEmail(data: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return typeof data.email === "string" ? { ...data, email: data.email.toLowerCase() } : { ...data };
}

/** Writes the user's providers into `app_metadata`: all of them, and the first. */
export async function noteProviders(db: Queryable, userId: string): Promise<void> {
  await db.query(
    `with known as (
       select provider, min(created_at) as since from auth.identities where user_id = $1 group by provider
     ), listed as (
       select jsonb_agg(provider order by since, provider) as providers from known
     )
     update auth.users
        set raw_app_meta_data = coalesce(raw_app_meta_data, '{}'::jsonb)
              || jsonb_build_object('providers', coalesce(providers, '[]'::jsonb))
              || case when providers is null then '{}'::jsonb else jsonb_build_object('provider', providers -> 0) end,
            updated_at = now()
       from listed where id = $1`,
    [userId],
  );
}

/** Writes what a provider says of a person into `user_metadata`; other fields stay. */
export async function noteMetadata(
  db: Queryable,
  userId: string,
  data: Readonly<Record<string, unknown>>,
): Promise<void> {
  await db.query(
    `update auth.users set raw_user_meta_data = coalesce(raw_user_meta_data, '{}'::jsonb) || $2::jsonb, updated_at = now()
      where id = $1`,
    [userId, JSON.stringify(data)],
  );
}

/**
 * Makes an account safe that was never confirmed: whoever made it may not be who signs in now. Only this identity stays; the
 * password and the metadata of before go.
 */
export async function keepOnly(db: Queryable, identity: IdentityRow): Promise<void> {
  const { user_id: userId, id } = identity;
  await db.query("delete from auth.identities where user_id = $1 and id <> $2", [userId, id]);
  const keepsPassword = identity.provider === "email" || identity.provider === "phone";
  await db.query(
    `update auth.users set raw_user_meta_data = $2::jsonb, updated_at = now()
       ${keepsPassword ? "" : ", encrypted_password = null"} where id = $1`,
    [userId, JSON.stringify(identity.identity_data)],
  );
  await noteProviders(db, userId);
}

/**
 * Gives a user the address of one of the identities when none of them has the user's own: verified ones first, then the oldest.
 * Throws 422 when every address belongs to somebody else.
 */
export async function adoptEmail(
  db: Queryable,
  userId: string,
  { autoconfirm, code, message }: { autoconfirm: boolean; code: string; message: string },
): Promise<void> {
  const { rows: users } = await db.query<{ email: string | null }>(
    "select email from auth.users where id = $1",
    [userId],
  );
  const own = users[0]?.email ?? "";
  const identities = await identitiesOf(db, userId);
  if (identities.some(({ email }) => (email ?? "") === own)) return;
  const rank = ({ email, identity_data }: IdentityRow) =>
    !email ? 2 : identity_data.email_verified === true ? 0 : 1;
  const ordered = identities.toSorted((a, b) => rank(a) - rank(b)); // stable: the oldest first
  for (const { email, identity_data } of ordered) {
    const address = email ?? "";
    if (address !== "") {
      const { rows } = await db.query(
        "select from auth.users where email = $1 and not is_sso_user and id <> $2",
        [address, userId],
      );
      if (rows.length > 0) continue;
    }
    const confirmed = address !== "" && (identity_data.email_verified === true || autoconfirm);
    await db.query(
      `update auth.users set email = nullif($2, ''), updated_at = now(),
              email_confirmed_at = case when $3 then coalesce(email_confirmed_at, now()) end
        where id = $1`,
      [userId, address, confirmed],
    );
    return;
  }
  throw unprocessable(code, message);
}

/**
 * Removes an identity of a user who has another.
 * @returns the removed one
 * Throws 422 in supabase/auth's words.
 */
export async function unlinkIdentity(
  db: Queryable,
  userId: string,
  identityId: string,
  { autoconfirm }: { autoconfirm: boolean },
): Promise<IdentityRow> {
  // Two at once must not remove the last two.
  await db.query("select from auth.users where id = $1 for update", [userId]);
  const identities = await identitiesOf(db, userId);
  if (identities.length <= 1)
    throw unprocessable(
      "single_identity_not_deletable",
      "User must have at least 1 identity after unlinking",
    );
  const identity = identities.find(({ id }) => id === identityId);
  if (!identity) throw unprocessable("identity_not_found", "Identity doesn't exist");
  await db.query("delete from auth.identities where id = $1", [identityId]);
  if (identity.provider === "phone")
    await db.query(
      "update auth.users set phone = null, phone_confirmed_at = null, updated_at = now() where id = $1",
      [userId],
    );
  else
    await adoptEmail(db, userId, {
      autoconfirm,
      code: "email_conflict_identity_not_deletable",
      message: "Unable to unlink identity due to email conflict",
    });
  await noteProviders(db, userId);
  return identity;
}
