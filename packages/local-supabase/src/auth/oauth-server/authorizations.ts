// Authorization requests of apps: asked by a browser, shown to the user, granted or denied.

import { randomBytes, randomUUID } from "node:crypto";
import type { AuthContext } from "../context.ts";
import { CommitWithError } from "../database.ts";
import { badRequest, notFound } from "../errors.ts";
import type { Queryable } from "../queryable.ts";
import { mayRedirect } from "../redirects.ts";
import { type Answer, type AuthRequest, signedIn, textOf } from "../request.ts";
import { clientForUsers, findClient, isUuid } from "./clients.ts";

/** A row of auth.oauth_authorizations. */
export interface AuthorizationRow {
  id: string;
  authorization_id: string;
  client_id: string;
  user_id: string | null;
  redirect_uri: string;
  scope: string;
  state: string | null;
  resource: string | null;
  code_challenge: string | null;
  code_challenge_method: "s256" | "plain" | null;
  status: "pending" | "approved" | "denied" | "expired";
  authorization_code: string | null;
  expires_at: Date;
  nonce: string | null;
}

const SCOPES = ["openid", "profile", "email", "phone", "offline_access"];
const DEFAULT_SCOPE = "email";
/** How long a user has to decide, and the app to use its code. */
const LIFETIME_MS = 10 * 60_000;

/** The words of a scope. */
export const scopesOf = (scope: string): string[] => scope.split(" ").filter((word) => word !== "");

/** GET /oauth/authorize: notes what an app asks for, and sends the browser to the project's page of consent. */
export async function authorize(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { database, settings, now } = context;
  const value = (name: string) => request.query.get(name) ?? "";
  const [clientId, redirectUri, state] = [value("client_id"), value("redirect_uri"), value("state")];
  if (!clientId) throw badRequest("validation_failed", "client_id is required");
  if (!redirectUri) throw badRequest("validation_failed", "redirect_uri is required");
  if (!isUuid(clientId)) throw badRequest("oauth_client_not_found", "invalid client_id format");
  const client = await findClient(database, clientId);
  if (!client) throw badRequest("oauth_client_not_found", "invalid client_id");
  // Until here an address of the request is not trusted; from here on errors are the app's to show.
  if (!client.redirect_uris.split(",").includes(redirectUri))
    throw badRequest("validation_failed", "invalid redirect_uri");
  const scope = value("scope") || DEFAULT_SCOPE;
  const why = problemOf(value, scope);
  if (why) return redirect(withError(redirectUri, "invalid_request", why, state));
  const path = settings.oauth_server.authorization_url_path;
  if (!path)
    return redirect(withError(redirectUri, "server_error", "oauth authorization path not configured", state));
  const id = randomBytes(16).toString("hex");
  await database.query(
    `insert into auth.oauth_authorizations (id, authorization_id, client_id, redirect_uri, scope, state, resource,
      code_challenge, code_challenge_method, nonce, created_at, expires_at)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      randomUUID(),
      id,
      client.id,
      redirectUri,
      scope,
      state || null,
      value("resource") || null,
      value("code_challenge"),
      value("code_challenge_method").toLowerCase(),
      value("nonce") || null,
      now(),
      new Date(now().getTime() + LIFETIME_MS),
    ],
  );
  return redirect(
    `${settings.site_url.replace(/\/+$/, "")}/${path.replace(/^\//, "")}?authorization_id=${id}`,
  );
}

const redirect = (location: string): Answer => ({ status: 302, headers: { location } });

/** What is wrong with a request of a known app, or undefined. */
function problemOf(value: (name: string) => string, scope: string): string | undefined {
  if ((value("response_type") || "code") !== "code") return "only response_type=code is supported";
  const scopes = scopesOf(scope);
  if (scopes.length === 0) return "scope parameter cannot be empty";
  const unknown = scopes.find((word) => !SCOPES.includes(word));
  if (unknown !== undefined) return `unsupported scope: ${unknown}`;
  const resource = value("resource");
  if (resource) {
    if (!URL.canParse(resource)) return "resource must be an absolute URI";
    if (resource.includes("#")) return "resource must not include a fragment component";
    if (resource.includes("?")) return "resource must not include a query component";
  }
  const [challenge, method] = [value("code_challenge"), value("code_challenge_method").toLowerCase()];
  if (!challenge || !method) return "PKCE flow requires both code_challenge and code_challenge_method";
  if (method !== "s256" && method !== "plain") return "code_challenge_method must be 'S256' or 'plain'";
  if (challenge.length < 43 || challenge.length > 128)
    return "code_challenge must be between 43 and 128 characters";
  return undefined;
}

function withValues(to: string, values: Record<string, string>): string {
  const url = new URL(to);
  for (const [name, value] of Object.entries(values)) if (value) url.searchParams.set(name, value);
  return url.href;
}
const withError = (to: string, error: string, why: string, state: string): string =>
  withValues(to, { error, error_description: why, state });

/** Refuses pages of other origins than the project's own. */
function checkOrigin({ settings }: AuthContext, request: AuthRequest): void {
  const origin = request.headers.get("origin");
  if (origin && !mayRedirect(origin, settings.site_url, settings.additional_redirect_urls))
    throw badRequest("validation_failed", "unauthorized request origin");
}

const unknown = () => notFound("oauth_authorization_not_found", "authorization not found");

/** A pending request of an id, locked. Throws for one that is unknown, ended or decided. */
async function lockPending(
  context: AuthContext,
  on: Queryable,
  id: string,
  decided: string,
): Promise<AuthorizationRow> {
  const { rows } = await on.query<AuthorizationRow>(
    "select * from auth.oauth_authorizations where authorization_id = $1 for update skip locked",
    [id],
  );
  const found = rows[0];
  if (!found) throw unknown();
  if (context.now() > found.expires_at) {
    await on.query(
      "update auth.oauth_authorizations set status = 'expired' where id = $1 and status = 'pending'",
      [found.id],
    );
    throw new CommitWithError(unknown());
  }
  if (found.status !== "pending") throw badRequest("validation_failed", decided);
  return found;
}

/** Grants a request; returns the app's address with the code. */
async function approve(context: AuthContext, on: Queryable, row: AuthorizationRow): Promise<string> {
  const code = randomUUID();
  await on.query(
    "update auth.oauth_authorizations set status = 'approved', approved_at = $2, authorization_code = $3 where id = $1",
    [row.id, context.now(), code],
  );
  return withValues(row.redirect_uri, { code, state: row.state ?? "" });
}

/** GET /oauth/authorizations/*: what the user is asked; the way back at once where they agreed before. */
export async function details(
  context: AuthContext,
  request: AuthRequest,
  [id = ""]: string[],
): Promise<Answer> {
  checkOrigin(context, request);
  const { user } = signedIn(request);
  return await context.database.transaction(async (on): Promise<Answer> => {
    const row = await lockPending(context, on, id, "authorization request cannot be processed");
    if (row.user_id !== null && row.user_id !== user.id) throw unknown();
    const client = await findClient(on, row.client_id);
    if (!client) throw unknown();
    if (row.user_id === null) {
      await on.query("update auth.oauth_authorizations set user_id = $2 where id = $1", [row.id, user.id]);
      const { rows } = await on.query<{ scopes: string }>(
        "select scopes from auth.oauth_consents where user_id = $1 and client_id = $2 and revoked_at is null",
        [user.id, row.client_id],
      );
      const granted = rows[0] && scopesOf(rows[0].scopes);
      if (granted && scopesOf(row.scope).every((word) => granted.includes(word)))
        return { body: { redirect_url: await approve(context, on, row) } };
    }
    return {
      body: {
        authorization_id: row.authorization_id,
        redirect_uri: row.redirect_uri,
        client: clientForUsers(client),
        user: { id: user.id, ...(user.email ? { email: user.email } : {}) },
        scope: row.scope,
      },
    };
  });
}

/** POST /oauth/authorizations/* /consent: `{action: "approve" | "deny"}` */
export async function consent(
  context: AuthContext,
  request: AuthRequest,
  [id = ""]: string[],
): Promise<Answer> {
  checkOrigin(context, request);
  const { user } = signedIn(request);
  const action = textOf(request.body(), "action");
  if (action !== "approve" && action !== "deny")
    throw badRequest("validation_failed", "action must be 'approve' or 'deny'");
  const to = await context.database.transaction(async (on) => {
    const row = await lockPending(context, on, id, "authorization request is no longer pending");
    if (row.user_id !== user.id) throw unknown();
    if (action === "deny") {
      await on.query("update auth.oauth_authorizations set status = 'denied' where id = $1", [row.id]);
      return withError(row.redirect_uri, "access_denied", "User denied the request", row.state ?? "");
    }
    await on.query(
      `insert into auth.oauth_consents (id, user_id, client_id, scopes, granted_at) values ($1, $2, $3, $4, now())
        on conflict on constraint oauth_consents_user_client_unique
        do update set scopes = excluded.scopes, granted_at = now(), revoked_at = null`,
      [randomUUID(), user.id, row.client_id, scopesOf(row.scope).join(" ")],
    );
    return await approve(context, on, row);
  });
  return { body: { redirect_url: to } };
}
