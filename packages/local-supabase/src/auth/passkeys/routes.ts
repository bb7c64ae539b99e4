// /passkeys, and the admin's view of a user's passkeys.

import { recordAudit } from "../audit.ts";
import type { AuthContext } from "../context.ts";
import { badRequest, forbidden, internal, notFound, unprocessable } from "../errors.ts";
import type { Queryable } from "../queryable.ts";
import { type Answer, type AuthRequest, textOf } from "../request.ts";
import { userOfPath } from "../routes/admin-users.ts";
import { issueSession } from "../sessions.ts";
import { findUser, hasVerifiedFactor, isBanned, type UserRow } from "../users.ts";
import { createWebAuthn, type StoredCredential, type WebAuthnSession } from "./webauthn.ts";

/** A row of auth.webauthn_credentials. */
interface PasskeyRow {
  id: string;
  user_id: string;
  credential_id: Buffer;
  public_key: Buffer;
  sign_count: string;
  transports: string[];
  friendly_name: string;
  created_at: Date;
  last_used_at: Date | null;
}

const MOST_PASSKEYS = 10;
const CHALLENGE_SECONDS = 300;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const passkeyJson = ({ id, friendly_name, created_at, last_used_at }: PasskeyRow) => ({
  id,
  ...(friendly_name ? { friendly_name } : {}),
  created_at,
  ...(last_used_at ? { last_used_at } : {}),
});

const storedOf = (row: PasskeyRow): StoredCredential => ({
  id: row.credential_id.toString("base64url"),
  publicKey: row.public_key.toString("base64url"),
  signCount: Number(row.sign_count),
  transports: row.transports,
});

/** Throws 404 while [auth.passkey] is off. */
function checkEnabled({ settings }: AuthContext): void {
  if (!settings.passkey.enabled) throw notFound("passkey_disabled", "Passkeys are disabled");
}

function ownerOf(context: AuthContext, { user, claims, session }: AuthRequest, manages: boolean): UserRow {
  checkEnabled(context);
  if (!user) throw internal("A registered user is required");
  if (!manages) return user;
  if (claims?.is_anonymous === true)
    throw forbidden("no_authorization", "Anonymous user not allowed to perform these actions");
  if (user.is_sso_user) throw unprocessable("validation_failed", "SSO users cannot register passkeys");
  if (hasVerifiedFactor(user) && session?.aal !== "aal2")
    throw forbidden("insufficient_aal", "AAL2 session is required to manage passkeys when MFA is enabled");
  return user;
}

async function passkeysOf(on: Queryable, userId: string): Promise<PasskeyRow[]> {
  const { rows } = await on.query<PasskeyRow>(
    "select * from auth.webauthn_credentials where user_id = $1 order by created_at",
    [userId],
  );
  return rows;
}

async function keepChallenge(
  { database }: AuthContext,
  type: "registration" | "authentication",
  session: WebAuthnSession,
  userId: string | null,
): Promise<{ challenge_id: string; expires_at: number }> {
  const { rows } = await database.query<{ id: string; expires_at: Date }>(
    `insert into auth.webauthn_challenges (id, user_id, challenge_type, session_data, created_at, expires_at)
     values (gen_random_uuid(), $1, $2, $3, now(), now() + $4 * interval '1 second') returning id, expires_at`,
    [userId, type, JSON.stringify(session), CHALLENGE_SECONDS],
  );
  return { challenge_id: rows[0]!.id, expires_at: Math.floor(rows[0]!.expires_at.getTime() / 1000) };
}

/** Takes a challenge away, so that it is answered once. Returns what was remembered and the browser's answer. */
async function answered(
  { database }: AuthContext,
  request: AuthRequest,
  type: "registration" | "authentication",
  userId: string | null,
): Promise<{ session: WebAuthnSession; credential: object }> {
  const body = request.body();
  const id = textOf(body, "challenge_id") ?? "";
  const { credential } = body;
  if (id === "") throw badRequest("validation_failed", "challenge_id is required");
  if (typeof credential !== "object" || credential === null)
    throw badRequest("validation_failed", "credential is required");
  if (!UUID.test(id)) throw badRequest("validation_failed", "challenge_id must be a valid UUID");
  const { rows } = await database.query<{ session_data: WebAuthnSession; expires_at: Date }>(
    `delete from auth.webauthn_challenges
      where id = $1 and challenge_type = $2 and user_id is not distinct from $3::uuid returning session_data, expires_at`,
    [id, type, userId],
  );
  const [kept] = rows;
  if (!kept) throw badRequest("webauthn_challenge_not_found", "Challenge not found or already used");
  if (Date.now() > kept.expires_at.getTime())
    throw badRequest("webauthn_challenge_expired", "Challenge has expired");
  return { session: kept.session_data, credential };
}

/** POST /passkeys/registration/options */
export async function registrationOptions(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const user = ownerOf(context, request, true);
  const known = await passkeysOf(context.database, user.id);
  if (known.length >= MOST_PASSKEYS)
    throw unprocessable("too_many_passkeys", "Maximum number of passkeys reached");
  const name = user.email || user.phone || "";
  const called = user.raw_user_meta_data?.name;
  const displayName = typeof called === "string" && called !== "" ? called : name;
  const { options, session } = await createWebAuthn(context.settings.webauthn).registration(
    { id: user.id, name, displayName },
    known.map(storedOf),
    { discoverable: true },
  );
  const { challenge_id, expires_at } = await keepChallenge(context, "registration", session, user.id);
  return { body: { challenge_id, options, expires_at } };
}

/** POST /passkeys/registration/verify */
export async function registrationVerify(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const user = ownerOf(context, request, true);
  const { session, credential } = await answered(context, request, "registration", user.id);
  const made = await createWebAuthn(context.settings.webauthn).verifyRegistration(credential, session);
  if (!made) throw badRequest("webauthn_verification_failed", "Credential verification failed");
  const row = await context.database.transaction(async (on) => {
    await on.query("select from auth.users where id = $1 for update", [user.id]);
    if ((await passkeysOf(on, user.id)).length >= MOST_PASSKEYS)
      throw unprocessable("too_many_passkeys", "Maximum number of passkeys reached");
    const { rows } = await on.query<PasskeyRow>(
      `insert into auth.webauthn_credentials (id, user_id, credential_id, public_key, attestation_type, aaguid, sign_count,
         transports, backup_eligible, backed_up, friendly_name, created_at, updated_at)
       values (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, $8, $9, 'Passkey', now(), now())
       on conflict (credential_id) do nothing returning *`,
      [
        user.id,
        Buffer.from(made.id, "base64url"),
        Buffer.from(made.publicKey, "base64url"),
        made.attestationType,
        made.aaguid,
        made.signCount,
        JSON.stringify(made.transports),
        made.backupEligible,
        made.backedUp,
      ],
    );
    if (!rows[0]) throw unprocessable("webauthn_credential_exists", "This credential is already registered");
    await recordAudit(on, request, user, "passkey_created", { passkey_id: rows[0].id });
    return rows[0];
  });
  return { body: passkeyJson(row) };
}

/** POST /passkeys/authentication/options */
export async function authenticationOptions(context: AuthContext, request: AuthRequest): Promise<Answer> {
  checkEnabled(context);
  context.limits.request("passkey", request.ip);
  const { options, session } = await createWebAuthn(context.settings.webauthn).authentication([]);
  const { challenge_id, expires_at } = await keepChallenge(context, "authentication", session, null);
  return { body: { challenge_id, options, expires_at } };
}

/** POST /passkeys/authentication/verify: a session for whose passkey answered. */
export async function authenticationVerify(context: AuthContext, request: AuthRequest): Promise<Answer> {
  checkEnabled(context);
  const { database } = context;
  const { session, credential } = await answered(context, request, "authentication", null);
  const failed = () => badRequest("webauthn_verification_failed", "Credential verification failed");
  const id: unknown = Reflect.get(credential, "id");
  if (typeof id !== "string") throw badRequest("webauthn_verification_failed", "Invalid credential response");
  const { rows } = await database.query<PasskeyRow>(
    "select * from auth.webauthn_credentials where credential_id = $1",
    [Buffer.from(id, "base64url")],
  );
  const [passkey] = rows;
  if (!passkey) throw failed();
  const proof = await createWebAuthn(context.settings.webauthn).verifyAuthentication(
    credential,
    session,
    storedOf(passkey),
  );
  const user = proof && (await findUser(database, passkey.user_id));
  if (!user) throw failed();
  if (user.email && !user.email_confirmed_at) throw forbidden("email_not_confirmed", "Email not confirmed");
  if (user.phone && !user.phone_confirmed_at) throw forbidden("phone_not_confirmed", "Phone not confirmed");
  if (isBanned(user, context.now())) throw forbidden("user_banned", "User is banned");
  const begun = await database.transaction(async (on) => {
    await on.query(
      "update auth.webauthn_credentials set sign_count = $2, last_used_at = now(), updated_at = now() where id = $1",
      [passkey.id, proof.signCount],
    );
    await recordAudit(on, request, user, "login", { passkey_id: passkey.id });
    return await issueSession(context, on, request, user, { method: "passkey" });
  });
  return { body: begun };
}

/** GET /passkeys */
export async function list(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const user = ownerOf(context, request, false);
  return { body: (await passkeysOf(context.database, user.id)).map(passkeyJson) };
}

/** PATCH /passkeys/:id */
export async function rename(
  context: AuthContext,
  request: AuthRequest,
  [id = ""]: string[],
): Promise<Answer> {
  const user = ownerOf(context, request, false);
  const name = textOf(request.body(), "friendly_name") ?? "";
  if (name === "") throw badRequest("validation_failed", "friendly_name is required");
  if (Buffer.byteLength(name) > 120)
    throw badRequest("validation_failed", "friendly_name must be 120 characters or less");
  return await context.database.transaction(async (on) => {
    const { rows } = UUID.test(id)
      ? await on.query<PasskeyRow>(
          "update auth.webauthn_credentials set friendly_name = $3, updated_at = now() where id = $1 and user_id = $2 returning *",
          [id, user.id, name],
        )
      : { rows: [] };
    if (!rows[0]) throw notFound("validation_failed", "Passkey not found");
    await recordAudit(on, request, user, "passkey_updated", { passkey_id: id });
    return { body: passkeyJson(rows[0]) };
  });
}

/** DELETE /passkeys/:id */
export async function remove(
  context: AuthContext,
  request: AuthRequest,
  [id = ""]: string[],
): Promise<Answer> {
  return await removeOf(context, request, ownerOf(context, request, true), id);
}

/** Removes one, for its owner or for an administrator. */
async function removeOf(
  { database }: AuthContext,
  request: AuthRequest,
  user: UserRow,
  id: string,
): Promise<Answer> {
  await database.transaction(async (on) => {
    const { rowCount } = UUID.test(id)
      ? await on.query("delete from auth.webauthn_credentials where id = $1 and user_id = $2", [id, user.id])
      : { rowCount: 0 };
    if (!rowCount) throw notFound("validation_failed", "Passkey not found");
    await recordAudit(on, request, user, "passkey_deleted", { passkey_id: id });
  });
  return { status: 204 };
}

/** GET /admin/users/:id/passkeys */
export async function adminList(
  context: AuthContext,
  _request: AuthRequest,
  [userId = ""]: string[],
): Promise<Answer> {
  const user = await userOfPath(context, userId);
  return { body: (await passkeysOf(context.database, user.id)).map(passkeyJson) };
}

/** DELETE /admin/users/:id/passkeys/:id */
export async function adminRemove(
  context: AuthContext,
  request: AuthRequest,
  [userId = "", id = ""]: string[],
): Promise<Answer> {
  return await removeOf(context, request, await userOfPath(context, userId), id);
}
