// GET /authorize, /callback and /user/identities/authorize, and the grant of id tokens.

import { randomBytes } from "node:crypto";
import { requireUser } from "../caller.ts";
import type { AuthContext } from "../context.ts";
import { AuthError, badRequest, internal, notFound, OAuthError, unprocessable } from "../errors.ts";
import { checkManualLinking } from "../identities/routes.ts";
import { redirectOf } from "../mail/send.ts";
import { type Answer, type AuthRequest, flagOf, textOf } from "../request.ts";
import { issueSession } from "../sessions.ts";
import { findUserBy, type UserRow, userJson } from "../users.ts";
import { findCustomProvider } from "./custom-providers.ts";
import { acceptInvite, accountOf, draftOf, type External, linkTo } from "./external-account.ts";
import { beginFlow, checkPkce, type FlowState, flowOfState, issueCode } from "./flow-states.ts";
import { verifyIdToken } from "./id-token.ts";
import { configuredProvider, customProvider, type KnownProvider, UnsupportedProvider } from "./providers.ts";
import { withCode, withError, withSession } from "./redirect-errors.ts";

/** Parameters that are Auth's own: an app may not set them at the provider. */
const RESERVED = new Set([
  "client_id",
  "client_secret",
  "code_challenge",
  "code_challenge_method",
  "code_verifier",
  "invite_token",
  "provider",
  "redirect_to",
  "redirect_uri",
  "response_mode",
  "response_type",
  "scope",
  "scopes",
  "skip_http_redirect",
  "state",
]);

/** Sends the browser to a provider. */
export async function authorize(context: AuthContext, request: AuthRequest): Promise<Answer> {
  return { status: 302, headers: { location: await addressOf(context, request) } };
}

/** The same for a user who adds a provider; `skip_http_redirect` asks for the address itself. */
export async function linkIdentity(context: AuthContext, request: AuthRequest): Promise<Answer> {
  checkManualLinking(context);
  const location = await addressOf(context, request, request.user);
  if (request.query.get("skip_http_redirect") === "true") return { body: { url: location } };
  return { status: 302, headers: { location } };
}

async function addressOf(context: AuthContext, request: AuthRequest, linking?: UserRow): Promise<string> {
  const { query } = request;
  const given = (name: string) => query.get(name) ?? "";
  const name = given("provider").toLowerCase();
  const { provider, emailOptional } = await providerOf(context, name, given("scopes")).catch(
    (error: unknown) => {
      if (error instanceof UnsupportedProvider)
        throw badRequest("validation_failed", `Unsupported provider: ${error.message}`);
      throw error;
    },
  );
  const inviteToken = given("invite_token");
  if (inviteToken !== "" && !(await findUserBy(context.database, ["confirmation_token"], inviteToken)))
    throw notFound("user_not_found", "User identified by token not found");
  const pkce = {
    code_challenge: given("code_challenge"),
    code_challenge_method: given("code_challenge_method"),
  };
  checkPkce(pkce);
  const verifier = provider.pkce ? randomBytes(32).toString("base64url") : undefined;
  const clientStateId = verifier === undefined ? undefined : await keepVerifier(context, name, verifier);
  const flow = await beginFlow(context.database, {
    ...pkce,
    provider: name,
    method: "oauth",
    inviteToken,
    referrer: redirectOf(context, request),
    clientStateId,
    linkingTargetId: linking?.id,
    emailOptional,
  });
  const parameters = Object.fromEntries([...query].filter(([key]) => !RESERVED.has(key.toLowerCase())));
  try {
    return (await provider.authorizationUrl(flow.id, parameters, verifier)).toString();
  } catch (error) {
    // Its discovery document cannot be had.
    throw badRequest(
      "validation_failed",
      `Unsupported provider: ${error instanceof Error ? error.message : error}`,
    );
  }
}

async function providerOf(context: AuthContext, name: string, scopes: string): Promise<KnownProvider> {
  const callback = `${context.externalUrl}/callback`;
  if (!name.startsWith("custom:"))
    return configuredProvider(name, scopes, callback, context.settings.external);
  const row = await findCustomProvider(context.database, name);
  if (!row) throw new UnsupportedProvider(`custom provider ${name} not found`);
  if (!row.enabled) throw new UnsupportedProvider(`custom provider ${name} is disabled`);
  return { provider: customProvider(row, scopes, callback), emailOptional: row.email_optional };
}

async function keepVerifier({ database }: AuthContext, provider: string, verifier: string): Promise<string> {
  const { rows } = await database.query<{ id: string }>(
    `insert into auth.oauth_client_states (id, provider_type, code_verifier, created_at)
     values (gen_random_uuid(), $1, $2, now()) returning id`,
    [provider, verifier],
  );
  return rows[0]!.id;
}

async function takeVerifier(
  { database }: AuthContext,
  { oauth_client_state_id: id, provider_type }: FlowState,
) {
  if (id === null) return undefined;
  const { rows } = await database.query<{
    provider_type: string;
    code_verifier: string | null;
    created_at: Date;
  }>("delete from auth.oauth_client_states where id = $1 returning *", [id]);
  const [kept] = rows;
  if (!kept) throw unprocessable("oauth_client_state_not_found", "OAuth state not found");
  if (kept.provider_type !== provider_type)
    throw badRequest("oauth_invalid_state", "OAuth provider mismatch");
  if (Date.now() > kept.created_at.getTime() + 300_000)
    throw unprocessable("oauth_client_state_expired", "OAuth state expired");
  return kept.code_verifier ?? undefined;
}

/** Takes a browser back from a provider and sends it to the app, with a session, a code or an error. */
export async function callback(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const posted = request.method === "POST" && request.hasBody ? request.body() : undefined;
  const query = posted
    ? new URLSearchParams(Object.entries(posted).map(([name, value]) => [name, String(value)]))
    : request.query;
  let flow: FlowState;
  try {
    flow = await flowOfState(context.database, query.get("state") ?? "");
  } catch (error) {
    return {
      status: 303,
      headers: { location: withError(context.settings.site_url, error, { fragment: false }) },
    };
  }
  const app = flow.referrer ?? context.settings.site_url;
  try {
    return {
      status: 302,
      headers: { location: await finish(context, request, { flow, query, app }) },
    };
  } catch (error) {
    return { status: 302, headers: { location: withError(app, error) } };
  }
}

async function finish(
  context: AuthContext,
  request: AuthRequest,
  { flow, query, app }: { flow: FlowState; query: URLSearchParams; app: string },
): Promise<string> {
  const refused = query.get("error");
  if (refused) throw new OAuthError(refused, query.get("error_description") ?? "");
  const code = query.get("code");
  if (!code) throw badRequest("bad_oauth_callback", "OAuth callback with missing authorization code missing");
  const { provider } = await providerOf(context, flow.provider_type, "").catch((error: unknown) => {
    if (error instanceof UnsupportedProvider)
      throw badRequest("oauth_provider_not_supported", `Unsupported provider: ${error.message}`);
    throw error;
  });
  const verifier = await takeVerifier(context, flow);
  if (provider.pkce && verifier === undefined)
    throw badRequest("oauth_invalid_state", "OAuth PKCE code verifier missing");
  const back = new URL(request.url);
  back.search = query.toString();
  const answer = await provider.exchange(back, flow.id, verifier).catch((error: unknown) => {
    throw internal(`Unable to exchange external code: ${code.slice(0, 4)}`, error);
  });
  const external = {
    provider: flow.provider_type,
    profile: answer.profile,
    emailOptional: flow.email_optional,
  };
  if (external.profile.emails.length === 0 && !flow.email_optional)
    throw internal("Error getting user email from external provider");
  if (flow.linking_target_id === null && flow.invite_token === null)
    await askHook(context, request, external);
  return await context.database.transaction(async (on) => {
    const work = { context, on, request };
    const user =
      flow.linking_target_id !== null
        ? await linkTo(work, flow.linking_target_id, external)
        : flow.invite_token !== null
          ? await acceptInvite(work, flow.invite_token, external)
          : (await accountOf(work, external)).user;
    if (flow.code_challenge !== null)
      return withCode(app, await issueCode(on, flow, { userId: user.id, ...answer }));
    const session = await issueSession(context, on, request, user, { method: "oauth" });
    await on.query("delete from auth.flow_state where id = $1", [flow.id]);
    return withSession(app, session, {
      provider_token: answer.accessToken,
      ...(answer.refreshToken === "" ? {} : { provider_refresh_token: answer.refreshToken }),
    });
  });
}

async function askHook(context: AuthContext, request: AuthRequest, external: External): Promise<void> {
  const draft = context.hooks.enabled("before_user_created") ? await draftOf(context, external) : undefined;
  if (draft) await context.hooks.beforeUserCreated({ ipAddress: request.ip }, { user: userJson(draft) });
}

/** The grant `id_token`: a session for who shows a provider's id token. */
export async function idTokenGrant(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const body = request.body();
  const given = (name: string) => textOf(body, name) ?? "";
  const links = flagOf(body, "link_identity") ?? false;
  const params = {
    id_token: given("id_token"),
    provider: given("provider"),
    access_token: given("access_token"),
    nonce: given("nonce"),
    client_id: given("client_id"),
    issuer: given("issuer"),
  };
  if (links && !request.headers.get("authorization"))
    throw new OAuthError("invalid request", "Linking requires a valid user access token in Authorization");
  if (links) await requireUser(context, request);
  const target = links ? request.user : undefined;
  const external: External = await verifyIdToken(params, context.settings.external, (name) =>
    findCustomProvider(context.database, name),
  );
  if (!target) await askHook(context, request, external);
  try {
    const session = await context.database.transaction(async (on) => {
      const work = { context, on, request };
      const user = target ? await linkTo(work, target.id, external) : (await accountOf(work, external)).user;
      return await issueSession(context, on, request, user, { method: "oauth" });
    });
    return { body: session };
  } catch (error) {
    if (error instanceof AuthError || error instanceof OAuthError) throw error;
    throw new OAuthError("server_error", "Internal Server Error", { cause: error });
  }
}
