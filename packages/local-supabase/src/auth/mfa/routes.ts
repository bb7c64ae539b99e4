// /factors, and the admin's view of a user's factors.

import { z } from "zod";
import { recordAudit } from "../audit.ts";
import type { AuthContext } from "../context.ts";
import { badRequest, forbidden, internal, unprocessable } from "../errors.ts";
import { notify } from "../mail/send.ts";
import { createWebAuthn, type StoredCredential } from "../passkeys/webauthn.ts";
import { type Answer, type AuthRequest, objectOf, textOf } from "../request.ts";
import { adminOf, userOfPath } from "../routes/admin-users.ts";
import {
  activeRefreshToken,
  endSessions,
  type SessionRow,
  sessionJson,
  swapRefreshToken,
} from "../sessions.ts";
import { findUser, type Json, type UserRow } from "../users.ts";
import {
  type ChallengeRow,
  challengeFactor,
  checkRemovable,
  checkVerifiable,
  completeVerification,
  enrollFactor,
  type FactorRow,
  factorJson,
  factorOf,
  factorsOf,
  isTotpOf,
  METHODS,
  openChallenge,
  removeFactor,
} from "./factors.ts";

interface Caller {
  user: UserRow;
  session: SessionRow;
}

function callerOf({ user, session, claims }: AuthRequest): Caller {
  if (claims?.is_anonymous === true)
    throw forbidden("no_authorization", "Anonymous user not allowed to perform these actions");
  if (!user || !session)
    throw internal("A valid session and a registered user are required to enroll a factor");
  return { user, session };
}

/** POST /factors */
export async function enroll(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { user, session } = callerOf(request);
  const body = request.body();
  const given = (name: string) => textOf(body, name) ?? "";
  const answer = await context.database.transaction(async (on) => {
    const enrolled = await enrollFactor(on, {
      user: { id: user.id, email: user.email ?? "" },
      session,
      params: {
        friendly_name: given("friendly_name"),
        factor_type: given("factor_type"),
        issuer: given("issuer"),
        phone: given("phone"),
      },
      settings: context.settings.mfa,
      siteUrl: context.settings.site_url,
    });
    await recordAudit(on, request, user, "factor_in_progress", {
      factor_id: enrolled.id,
      factor_type: enrolled.type,
    });
    return enrolled;
  });
  return { body: answer };
}

/** POST /factors/:id/challenge */
export async function challenge(
  context: AuthContext,
  request: AuthRequest,
  [factorId = ""]: string[],
): Promise<Answer> {
  const { user } = callerOf(request);
  const factor = await factorOf(context.database, user.id, factorId);
  context.limits.request("factor_challenge", request.ip);
  checkVerifiable(factor, context.settings.mfa);
  if (factor.factor_type === "phone") throw internal("Failed to get SMS provider");
  const asked = factor.factor_type === "webauthn" ? await askKey(context, user, factor) : undefined;
  const begun = await context.database.transaction(async (on) => {
    const made = await challengeFactor(on, factor, request.ip, asked?.session);
    await recordAudit(on, request, user, "challenge_created", {
      factor_id: factor.id,
      factor_status: factor.status,
    });
    return made;
  });
  return { body: asked ? { ...begun, webauthn: asked.webauthn } : begun };
}

async function askKey({ settings, database }: AuthContext, user: UserRow, factor: FactorRow) {
  const webauthn = createWebAuthn(settings.webauthn);
  const known = (await factorsOf(database, user.id)).flatMap(credentialOf);
  if (factor.status === "verified") {
    const { options, session } = await webauthn.authentication(credentialOf(factor));
    return { session, webauthn: { type: "request", credential_options: { publicKey: options } } };
  }
  const name = user.email || user.phone || "";
  const { options, session } = await webauthn.registration({ id: user.id, name, displayName: name }, known, {
    discoverable: false,
  });
  return { session, webauthn: { type: "create", credential_options: { publicKey: options } } };
}

const Kept = z.object({
  id: z.string(),
  publicKey: z.string(),
  signCount: z.number(),
  transports: z.array(z.string()),
});

/** The key of a factor that has one. */
function credentialOf({ web_authn_credential: kept }: FactorRow): StoredCredential[] {
  const read = Kept.safeParse(kept);
  return read.success ? [read.data] : [];
}

/** POST /factors/:id/verify: the session reaches the second level. */
export async function verify(
  context: AuthContext,
  request: AuthRequest,
  [factorId = ""]: string[],
): Promise<Answer> {
  const { user, session } = callerOf(request);
  const factor = await factorOf(context.database, user.id, factorId);
  context.limits.request("factor_verify", request.ip);
  context.limits.request("factor_verify", factor.id); // wherever the guesses come from
  const body = request.body();
  const code = textOf(body, "code") ?? "";
  if (code === "" && factor.factor_type !== "webauthn")
    throw badRequest("validation_failed", "Code needs to be non-empty");
  checkVerifiable(factor, context.settings.mfa);
  if (factor.factor_type === "phone") throw internal("Failed to get SMS provider");
  const challengeId = textOf(body, "challenge_id") ?? "";
  const opened = await openChallenge(context.database, factor, challengeId, request.ip);
  const valid =
    factor.factor_type === "totp"
      ? isTotpOf(factor, code)
      : await isKeyOf(context, factor, opened, objectOf(body, "webauthn"));
  await askHook(context, request, { user, factor, valid });
  if (!valid) throw unprocessable("mfa_verification_failed", "Invalid TOTP code entered");
  const raised = await context.database.transaction(async (on) => {
    // Again, and locked: two requests with one challenge must not both succeed.
    await openChallenge(on, factor, challengeId, request.ip);
    await recordAudit(on, request, user, "verification_attempted", {
      factor_id: factor.id,
      challenge_id: opened.id,
      factor_type: factor.factor_type,
    });
    const first = await completeVerification(on, factor, { challengeId: opened.id, sessionId: session.id });
    const before = await activeRefreshToken(on, session.id);
    const refreshToken = await swapRefreshToken(on, user.id, session.id, before?.token ?? "");
    const now = (await findUser(on, user.id)) ?? user;
    const method = METHODS[factor.factor_type];
    const next = { sessionId: session.id, refreshToken, method };
    return { first, body: await sessionJson(context, on, request, now, next) };
  });
  if (raised.first) await tell(context, "mfa_factor_enrolled", user, factor);
  return { body: raised.body };
}

async function isKeyOf(
  { settings, database }: AuthContext,
  factor: FactorRow,
  { web_authn_session_data: kept }: ChallengeRow,
  given: Json | undefined,
): Promise<boolean> {
  const invalid = (message: string) => badRequest("validation_failed", message);
  if (!given) throw invalid("WebAuthn config required");
  const { type, credential_response: answer } = given;
  if (type !== "create" && type !== "request") throw invalid("WebAuthn type must be create or request");
  // A key that is made now proves nothing of a factor that has one already.
  if (type !== (factor.status === "verified" ? "request" : "create"))
    throw invalid("WebAuthn type does not fit the factor's status");
  if (answer === undefined || answer === null) throw invalid("credential_response required");
  const session = { challenge: String(kept?.challenge ?? ""), rpId: String(kept?.rpId ?? "") };
  const webauthn = createWebAuthn(settings.webauthn);
  if (type === "request") {
    const [credential] = credentialOf(factor);
    const proof = credential && (await webauthn.verifyAuthentication(answer, session, credential));
    if (!proof) throw internal("Failed to validate WebAuthn MFA response");
    await keepCredential({ ...credential, signCount: proof.signCount });
    return true;
  }
  const made = await webauthn.verifyRegistration(answer, session);
  if (!made) throw invalid("Invalid credential_response");
  await keepCredential(made);
  return true;

  async function keepCredential(credential: StoredCredential & { aaguid?: string }): Promise<void> {
    await database.query(
      `update auth.mfa_factors set web_authn_credential = $2, web_authn_aaguid = coalesce($3, web_authn_aaguid), updated_at = now()
        where id = $1`,
      [factor.id, JSON.stringify(credential), credential.aaguid ?? null],
    );
  }
}

async function askHook(
  { hooks, database }: AuthContext,
  { ip }: AuthRequest,
  { user, factor, valid }: { user: UserRow; factor: FactorRow; valid: boolean },
): Promise<void> {
  if (!hooks.enabled("mfa_verification_attempt")) return;
  const input = { user_id: user.id, factor_id: factor.id, factor_type: factor.factor_type, valid };
  const verdict = await hooks.mfaVerification({ ipAddress: ip }, input);
  if (!verdict.rejected) return;
  await endSessions(database, user.id, "all");
  throw forbidden("mfa_verification_rejected", verdict.message);
}

async function tell(
  context: AuthContext,
  notice: "mfa_factor_enrolled" | "mfa_factor_unenrolled",
  { email }: UserRow,
  { factor_type }: FactorRow,
): Promise<void> {
  await notify(context, notice, { to: email ?? "", data: { FactorType: factor_type } });
}

/** DELETE /factors/:id */
export async function unenroll(
  context: AuthContext,
  request: AuthRequest,
  [factorId = ""]: string[],
): Promise<Answer> {
  const { user, session } = callerOf(request);
  const factor = await factorOf(context.database, user.id, factorId);
  checkRemovable(factor, session);
  await context.database.transaction(async (on) => {
    await removeFactor(on, factor);
    await recordAudit(on, request, user, "factor_unenrolled", {
      factor_id: factor.id,
      factor_status: factor.status,
      session_id: session.id,
    });
  });
  await tell(context, "mfa_factor_unenrolled", user, factor);
  return { body: { id: factor.id } };
}

/** GET /admin/users/:id/factors */
export async function adminFactors(
  context: AuthContext,
  _request: AuthRequest,
  [userId = ""]: string[],
): Promise<Answer> {
  const user = await userOfPath(context, userId);
  return { body: (await factorsOf(context.database, user.id)).map(factorJson) };
}

/** DELETE /admin/users/:id/factors/:id */
export async function adminRemoveFactor(
  context: AuthContext,
  request: AuthRequest,
  [userId = "", factorId = ""]: string[],
): Promise<Answer> {
  const user = await userOfPath(context, userId);
  const factor = await factorOf(context.database, user.id, factorId);
  await context.database.transaction(async (on) => {
    await recordAudit(on, request, user, "factor_deleted", { user_id: user.id, factor_id: factor.id });
    await removeFactor(on, factor);
  });
  return { body: factorJson(factor) };
}

/** PUT /admin/users/:id/factors/:id */
export async function adminUpdateFactor(
  context: AuthContext,
  request: AuthRequest,
  [userId = "", factorId = ""]: string[],
): Promise<Answer> {
  const user = await userOfPath(context, userId);
  const factor = await factorOf(context.database, user.id, factorId);
  const name = textOf(request.body(), "friendly_name");
  return await context.database.transaction(async (on) => {
    const { rows } = await on.query<FactorRow>(
      "update auth.mfa_factors set friendly_name = coalesce(nullif($2, ''), friendly_name), updated_at = now() where id = $1 returning *",
      [factor.id, name ?? ""],
    );
    await recordAudit(on, request, adminOf(request), "factor_updated", {
      user_id: user.id,
      factor_id: factor.id,
      factor_type: factor.factor_type,
    });
    return { body: factorJson(rows[0]!) };
  });
}
