// The second factors of a user: enrolled, challenged, verified and removed.

import type { AuthSettings } from "../../config/auth-settings.ts";
import { badRequest, forbidden, notFound, unprocessable } from "../errors.ts";
import type { Queryable } from "../queryable.ts";
import { createTotp, verifyTotp } from "./totp.ts";

/** A row of auth.mfa_factors. */
export interface FactorRow {
  id: string;
  user_id: string;
  friendly_name: string | null;
  factor_type: "totp" | "phone" | "webauthn";
  status: "unverified" | "verified";
  created_at: Date;
  updated_at: Date;
  secret: string | null;
  phone: string | null;
  last_challenged_at: Date | null;
  web_authn_credential: Record<string, unknown> | null;
  web_authn_aaguid: string | null;
}

/** A row of auth.mfa_challenges. */
export interface ChallengeRow {
  id: string;
  factor_id: string;
  created_at: Date;
  verified_at: Date | null;
  ip_address: string;
  web_authn_session_data: Record<string, unknown> | null;
}

/** How a session names the way in of each kind of factor. */
export const METHODS = { totp: "totp", phone: "mfa/phone", webauthn: "mfa/webauthn" } as const;

/** How long a challenge, and an enrolment without one, lasts. */
export const CHALLENGE_LIFETIME_MS = 300_000;
/** How many verified factors a user may have; config.toml sets the number of all. */
const MOST_VERIFIED = 10;

/** A factor as the API shows it. */
export function factorJson(row: FactorRow) {
  return {
    id: row.id,
    created_at: row.created_at,
    updated_at: row.updated_at,
    status: row.status,
    ...(row.friendly_name ? { friendly_name: row.friendly_name } : {}),
    factor_type: row.factor_type,
    ...(row.phone ? { phone: row.phone } : {}),
    ...(row.last_challenged_at ? { last_challenged_at: row.last_challenged_at } : {}),
    ...(row.web_authn_aaguid ? { web_authn_aaguid: row.web_authn_aaguid } : {}),
  };
}

/** A user's factors, the oldest first. */
export async function factorsOf(db: Queryable, userId: string): Promise<FactorRow[]> {
  const { rows } = await db.query<FactorRow>(
    "select * from auth.mfa_factors where user_id = $1 order by created_at, id",
    [userId],
  );
  return rows;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** One of the user's factors. Throws 404 in supabase/auth's words. */
export async function factorOf(db: Queryable, userId: string, factorId: string): Promise<FactorRow> {
  if (!UUID.test(factorId)) throw notFound("validation_failed", "factor_id must be an UUID");
  const { rows } = await db.query<FactorRow>(
    "select * from auth.mfa_factors where id = $1 and user_id = $2",
    [factorId, userId],
  );
  if (!rows[0]) throw notFound("mfa_factor_not_found", "Factor not found");
  return rows[0];
}

/** What a request to enrol says. */
export interface EnrollParams {
  friendly_name: string;
  factor_type: string;
  issuer: string;
  phone: string;
}

/**
 * Enrols an unverified factor.
 * @param session the assurance of the caller's session
 * @param siteUrl whose host an authenticator app shows, unless the request names an issuer
 * @returns what the API answers
 * Throws in supabase/auth's words.
 */
export async function enrollFactor(
  db: Queryable,
  {
    user,
    session,
    params,
    settings,
    siteUrl,
  }: {
    user: { id: string; email: string };
    session: { aal: string | null };
    params: EnrollParams;
    settings: AuthSettings["mfa"];
    siteUrl: string;
  },
): Promise<{ id: string; type: string } & Record<string, unknown>> {
  const { factor_type: type, friendly_name: name } = params;
  if (type !== "totp" && type !== "phone" && type !== "webauthn")
    throw badRequest("validation_failed", "factor_type needs to be totp, phone, or webauthn");
  if (!settings[SETTING[type]].enroll_enabled)
    throw unprocessable(`mfa_${type}_enroll_not_enabled`, `MFA enroll is disabled for ${LABEL[type]}`);
  if (type === "phone") checkPhone(params.phone);
  await checkRoom(db, user.id, { name, most: settings.max_enrolled_factors, aal2: session.aal === "aal2" });
  const totp = type === "totp" ? createTotp(params.issuer || new URL(siteUrl).host, user.email) : undefined;
  const { rows } = await db.query<FactorRow>(
    `insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, secret, phone, created_at, updated_at)
     values (gen_random_uuid(), $1, $2, $3, 'unverified', $4, $5, now(), now()) returning *`,
    [user.id, name, type, totp?.secret ?? null, type === "phone" ? params.phone.replace(/^\+/, "") : null],
  );
  const { id } = rows[0]!;
  return {
    id,
    type,
    friendly_name: name,
    ...(totp ? { totp } : {}),
    ...(type === "phone" ? { phone: params.phone } : {}),
  };
}

const SETTING = { totp: "totp", phone: "phone", webauthn: "web_authn" } as const;
const LABEL = { totp: "TOTP", phone: "Phone", webauthn: "WebAuthn" } as const;

function checkPhone(phone: string): void {
  if (phone === "") throw badRequest("validation_failed", "Phone number required to enroll Phone factor");
  if (!/^\+?[1-9]\d{1,14}$/.test(phone.replaceAll(" ", "")))
    throw badRequest("validation_failed", "Invalid phone number format (E.164 required)");
}

async function checkRoom(
  db: Queryable,
  userId: string,
  { name, most, aal2 }: { name: string; most: number; aal2: boolean },
): Promise<void> {
  // Two enrolments at once must not both be the last one that is allowed.
  await db.query("select from auth.users where id = $1 for update", [userId]);
  await db.query(
    `delete from auth.mfa_factors f where status <> 'verified' and created_at < now() - $1 * interval '1 millisecond'
       and not exists (select from auth.mfa_challenges c where c.factor_id = f.id)`,
    [CHALLENGE_LIFETIME_MS],
  );
  const factors = await factorsOf(db, userId);
  if (factors.some(({ friendly_name }) => (friendly_name ?? "") === name))
    throw unprocessable(
      "mfa_factor_name_conflict",
      `A factor with the friendly name ${JSON.stringify(name)} for this user already exists`,
    );
  const verified = factors.filter(({ status }) => status === "verified").length;
  if (factors.length >= most || verified >= MOST_VERIFIED)
    throw unprocessable(
      "too_many_enrolled_mfa_factors",
      "Maximum number of verified factors reached, unenroll to continue",
    );
  if (verified > 0 && !aal2) throw forbidden("insufficient_aal", "AAL2 required to enroll a new factor");
}

/** Throws 422 when factors of this kind may not be verified. */
export function checkVerifiable({ factor_type }: FactorRow, settings: AuthSettings["mfa"]): void {
  if (settings[SETTING[factor_type]].verify_enabled) return;
  throw unprocessable(
    `mfa_${factor_type}_verify_not_enabled`,
    `MFA verification is disabled for ${LABEL[factor_type]}`,
  );
}

/** Begins a verification; only the same address may end it. */
export async function challengeFactor(
  db: Queryable,
  factor: FactorRow,
  ipAddress: string,
  webAuthnSession?: object,
): Promise<{ id: string; type: string; expires_at: number }> {
  const { rows } = await db.query<ChallengeRow>(
    `insert into auth.mfa_challenges (id, factor_id, created_at, ip_address, web_authn_session_data)
     values (gen_random_uuid(), $1, now(), $2, $3) returning *`,
    [factor.id, ipAddress, webAuthnSession ? JSON.stringify(webAuthnSession) : null],
  );
  await db.query("update auth.mfa_factors set last_challenged_at = now() where id = $1", [factor.id]);
  const { id, created_at } = rows[0]!;
  const expires_at = Math.floor((created_at.getTime() + CHALLENGE_LIFETIME_MS) / 1000);
  return { id, type: factor.factor_type, expires_at };
}

/** A challenge that may be answered now. Throws 422 in supabase/auth's words. */
export async function openChallenge(
  db: Queryable,
  factor: FactorRow,
  challengeId: string,
  ipAddress: string,
): Promise<ChallengeRow> {
  const { rows } = UUID.test(challengeId)
    ? await db.query<ChallengeRow>(
        "select * from auth.mfa_challenges where id = $1 and factor_id = $2 for update",
        [challengeId, factor.id],
      )
    : { rows: [] };
  const [challenge] = rows;
  if (!challenge)
    throw unprocessable("mfa_factor_not_found", "MFA factor with the provided challenge ID not found");
  if (challenge.verified_at !== null || challenge.ip_address !== ipAddress)
    throw unprocessable("mfa_ip_address_mismatch", "Challenge and verify IP addresses mismatch.");
  if (Date.now() > challenge.created_at.getTime() + CHALLENGE_LIFETIME_MS)
    throw unprocessable(
      "mfa_challenge_expired",
      `MFA challenge ${challenge.id} has expired, verify against another challenge or create a new challenge.`,
    );
  return challenge;
}

/** Whether a code of an authenticator app fits. */
export function isTotpOf(factor: FactorRow, code: string): boolean {
  return factor.secret !== null && verifyTotp(factor.secret, code) !== undefined;
}

/**
 * Ends a verification that succeeded: the factor is verified, the session has the second level of assurance, the user's
 * sessions of the first level end, and other unverified factors of the kind go.
 * @returns whether the factor was unverified before
 */
export async function completeVerification(
  db: Queryable,
  factor: FactorRow,
  { challengeId, sessionId }: { challengeId: string; sessionId: string },
): Promise<boolean> {
  await db.query("update auth.mfa_challenges set verified_at = now() where id = $1", [challengeId]);
  const first = factor.status === "unverified";
  if (first)
    await db.query("update auth.mfa_factors set status = 'verified', updated_at = now() where id = $1", [
      factor.id,
    ]);
  await db.query(
    `insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
     values (gen_random_uuid(), $1, now(), now(), $2)
     on conflict (session_id, authentication_method) do update set updated_at = now()`,
    [sessionId, METHODS[factor.factor_type]],
  );
  await db.query("update auth.sessions set aal = 'aal2', factor_id = $2, updated_at = now() where id = $1", [
    sessionId,
    factor.id,
  ]);
  await db.query("delete from auth.sessions where user_id = $1 and aal < 'aal2'", [factor.user_id]);
  await db.query(
    "delete from auth.mfa_factors where user_id = $1 and status = 'unverified' and factor_type = $2 and id <> $3",
    [factor.user_id, factor.factor_type, factor.id],
  );
  return first;
}

/** Removes a factor; sessions that it raised fall back to the first level. */
export async function removeFactor(db: Queryable, factor: FactorRow): Promise<void> {
  await db.query(
    `delete from auth.mfa_amr_claims where authentication_method = $2
       and session_id in (select id from auth.sessions where factor_id = $1)`,
    [factor.id, METHODS[factor.factor_type]],
  );
  await db.query(
    "update auth.sessions set aal = 'aal1', factor_id = null, updated_at = now() where user_id = $2 and factor_id = $1",
    [factor.id, factor.user_id],
  );
  await db.query("delete from auth.mfa_factors where id = $1", [factor.id]);
}

/** Throws 422 when a verified factor is to be removed by a session of the first level. */
export function checkRemovable(factor: FactorRow, session: { aal: string | null }): void {
  if (factor.status === "verified" && session.aal !== "aal2")
    throw unprocessable("insufficient_aal", "AAL2 required to unenroll verified factor");
}
