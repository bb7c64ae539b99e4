// Decides whose account a sign-in by a provider belongs to.

import type { ProviderEmail } from "../oauth/profile.ts";
import type { Queryable } from "../queryable.ts";

/** The decision, and the address that the account has or would get. */
export type Linking =
  | { decision: "exists"; userId: string; identityId: string; email: string; verified: boolean }
  | { decision: "link"; userId: string; email: string; verified: boolean }
  | { decision: "create"; email: string; verified: boolean }
  | { decision: "several" };

/**
 * Looks who has this identity, else who has one of its verified addresses.
 * @param autoconfirm addresses count as verified (no confirmations are asked for)
 */
export async function linkingOf(
  db: Queryable,
  {
    emails,
    provider,
    sub,
    autoconfirm,
  }: { emails: readonly ProviderEmail[]; provider: string; sub: string; autoconfirm: boolean },
): Promise<Linking> {
  const primary = emails.findLast((each) => each.primary);
  const email = primary?.email.toLowerCase() ?? "";
  const verified = primary?.verified ?? false;
  const known = await db.query<{ id: string; user_id: string; email: string | null }>(
    `select i.id, i.user_id, u.email from auth.identities i join auth.users u on u.id = i.user_id
      where i.provider_id = $1 and i.provider = $2`,
    [sub, provider],
  );
  const [identity] = known.rows;
  if (identity)
    return {
      decision: "exists",
      userId: identity.user_id,
      identityId: identity.id,
      email: identity.email ?? "",
      verified,
    };
  const trusted = emails
    .filter((each) => each.verified || autoconfirm)
    .map((each) => each.email.toLowerCase());
  // Without a verified address, nobody may slip into another's account: that address is left out if it is taken.
  if (trusted.length === 0)
    return { decision: "create", email: (await isTaken(db, email)) ? "" : email, verified };
  const { rows } = await db.query<{ user_id: string }>(
    `select user_id from auth.identities where email = any ($1) and provider not like 'sso:%'`,
    [trusted],
  );
  let owners = new Set(rows.map(({ user_id }) => user_id));
  if (owners.size === 0) {
    const users = await db.query<{ id: string }>(
      "select id from auth.users where email = any ($1) and not is_sso_user",
      [trusted],
    );
    owners = new Set(users.rows.map(({ id }) => id));
  }
  if (owners.size > 1) return { decision: "several" };
  const [userId] = owners;
  return userId === undefined
    ? { decision: "create", email, verified }
    : { decision: "link", userId, email, verified };
}

async function isTaken(db: Queryable, email: string): Promise<boolean> {
  if (email === "") return false;
  const { rows } = await db.query(
    `select from auth.users u where not u.is_sso_user and (u.email = $1
       or exists (select from auth.identities i where i.user_id = u.id and i.email = $1)) limit 1`,
    [email],
  );
  return rows.length > 0;
}
