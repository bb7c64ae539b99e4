// Auth as an OAuth server: apps sign users in through openid-client and supabase-js, and what strangers, forgers and other apps get.
import assert from "node:assert/strict";
import type { SupabaseClient } from "@supabase/supabase-js";
import * as openid from "openid-client";
import { afterAll, beforeAll, describe, test } from "vitest";
import { AUTH_URL, startTestAuth, type TestAuth } from "../helpers/auth.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

const BACK = "http://localhost:4000/back";
const ISSUER = `${AUTH_URL}/auth/v1`;
let db: TestDatabase;
let auth: TestAuth;
let ada: SupabaseClient;
let bob: SupabaseClient;

beforeAll(async () => {
  db = await createTestDatabase();
  auth = await startTestAuth(
    db,
    "[auth]\n[auth.oauth_server]\nenabled = true\nallow_dynamic_registration = true\n",
  );
  [ada, bob] = await Promise.all([signUp("ada"), signUp("bob")]);
});
afterAll(async () => {
  await auth?.close();
  await db?.destroy();
});

async function signUp(name: string): Promise<SupabaseClient> {
  const client = auth.client({ flowType: "pkce" });
  const { error } = await client.auth.signUp({
    email: `${name}@example.com`,
    password: `a password of ${name}`,
    options: { data: { name } },
  });
  assert.equal(error, null);
  return client;
}

type Method = "none" | "client_secret_basic" | "client_secret_post";
async function app(method: Method = "none") {
  const { data, error } = await auth.admin.auth.admin.oauth.createClient({
    client_name: "An app",
    redirect_uris: [BACK],
    token_endpoint_auth_method: method,
  });
  assert.equal(error, null);
  const { client_id: id = "", client_secret: secret } = data ?? {};
  const how =
    method === "none"
      ? openid.None()
      : method === "client_secret_basic"
        ? openid.ClientSecretBasic(secret)
        : openid.ClientSecretPost(secret);
  const config = await openid.discovery(new URL(ISSUER), id, secret, how, {
    execute: [openid.allowInsecureRequests],
    [openid.customFetch]: (url, init) => auth.ask(url, init as RequestInit),
  });
  return { id, secret, config };
}
type App = Awaited<ReturnType<typeof app>>;

/** Asks for an authorization; returns its id and the verifier. */
async function ask(of: App, more: Record<string, string> = {}) {
  const verifier = openid.randomPKCECodeVerifier();
  const url = openid.buildAuthorizationUrl(of.config, {
    redirect_uri: BACK,
    scope: "openid email profile",
    state: "kept",
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...more,
  });
  const answer = await auth.ask(url);
  assert.equal(answer.status, 302, await answer.clone().text());
  const to = new URL(answer.headers.get("location") ?? "");
  return { id: to.searchParams.get("authorization_id") ?? "", verifier, to };
}

/** The address that the app is sent to once this user agreed. */
async function agree(user: SupabaseClient, id: string): Promise<URL> {
  const shown = await user.auth.oauth.getAuthorizationDetails(id);
  assert.equal(shown.error, null);
  if (shown.data && "redirect_url" in shown.data) return new URL(shown.data.redirect_url);
  const { data, error } = await user.auth.oauth.approveAuthorization(id, { skipBrowserRedirect: true });
  assert.equal(error, null);
  return new URL(data?.redirect_url ?? "");
}

/** Asks for tokens as any program can. */
async function post(fields: Record<string, string>) {
  const answer = await auth.ask(`${ISSUER}/oauth/token`, {
    method: "POST",
    body: new URLSearchParams(fields),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, string> };
}

const exchange = (of: App, back: URL, verifier: string) =>
  openid.authorizationCodeGrant(of.config, back, { pkceCodeVerifier: verifier, expectedState: "kept" });

describe("an app", () => {
  test.each(["none", "client_secret_basic", "client_secret_post"] as const)(
    "that authenticates by %s gets tokens, and refreshes them",
    async (method) => {
      const of = await app(method);
      const { id, verifier } = await ask(of);
      const tokens = await exchange(of, await agree(ada, id), verifier);
      assert.equal(tokens.claims()?.email, "ada@example.com");
      assert.equal(tokens.claims()?.name, "ada");
      const info = await openid.fetchUserInfo(of.config, tokens.access_token, tokens.claims()?.sub ?? "");
      assert.equal(info.email, "ada@example.com");
      const { data } = await auth.client().auth.getClaims(tokens.access_token);
      assert.equal(data?.claims.client_id, of.id);
      assert.equal(data?.claims.scope, "openid email profile");
      const next = await openid.refreshTokenGrant(of.config, tokens.refresh_token ?? "");
      assert.notEqual(next.access_token, tokens.access_token);
    },
  );

  test("registers itself where config.toml allows it", async () => {
    const answer = await auth.ask(`${ISSUER}/oauth/clients/register`, {
      method: "POST",
      body: JSON.stringify({ redirect_uris: [BACK], token_endpoint_auth_method: "none" }),
    });
    assert.equal(answer.status, 201);
    const made = (await answer.json()) as Record<string, unknown>;
    assert.deepEqual([made.registration_type, made.client_secret], ["dynamic", undefined]);
  });

  test.each(["javascript://x/%0aalert(1)", "http://example.com/back", "https://example.com/#x", "back"])(
    "cannot register the address %s",
    async (uri) => {
      const { error } = await auth.admin.auth.admin.oauth.createClient({
        client_name: "x",
        redirect_uris: [uri],
      });
      assert.equal(error?.code, "validation_failed");
    },
  );

  test("is denied with access_denied, and its request cannot be granted after", async () => {
    const { id } = await ask(await app());
    await ada.auth.oauth.getAuthorizationDetails(id);
    const { data } = await ada.auth.oauth.denyAuthorization(id, { skipBrowserRedirect: true });
    const to = new URL(data?.redirect_url ?? "");
    assert.deepEqual([to.searchParams.get("error"), to.searchParams.get("state")], ["access_denied", "kept"]);
    assert.equal((await ada.auth.oauth.approveAuthorization(id)).error?.code, "validation_failed");
  });

  test("that names another redirect_uri is not redirected", async () => {
    const of = await app();
    const url = openid.buildAuthorizationUrl(of.config, { redirect_uri: `${BACK}/elsewhere` });
    const answer = await auth.ask(url);
    assert.equal(answer.status, 400);
    assert.equal(answer.headers.get("location"), null);
  });

  test("that asks without PKCE or for an unknown scope is sent back with invalid_request", async () => {
    const of = await app();
    for (const wrong of [{ code_challenge: "" }, { scope: "everything" }])
      assert.equal((await ask(of, wrong)).to.searchParams.get("error"), "invalid_request");
  });
});

describe("a code", () => {
  test("works once", async () => {
    const of = await app();
    const { id, verifier } = await ask(of);
    const back = await agree(ada, id);
    await exchange(of, back, verifier);
    await assert.rejects(exchange(of, back, verifier), { error: "invalid_grant" });
  });

  test("used twice at the same time gives one session", async () => {
    const of = await app();
    const { id, verifier } = await ask(of);
    const back = await agree(ada, id);
    const both = await Promise.allSettled([exchange(of, back, verifier), exchange(of, back, verifier)]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  });

  test("needs its verifier, its app and its redirect_uri; a refusal leaves it usable", async () => {
    const [of, other] = [await app(), await app()];
    const { id, verifier } = await ask(of);
    const back = await agree(ada, id);
    const code = back.searchParams.get("code") ?? "";
    const right = { grant_type: "authorization_code", client_id: of.id, code, code_verifier: verifier };
    for (const wrong of [
      { code_verifier: openid.randomPKCECodeVerifier() },
      { code_verifier: "" },
      { client_id: other.id },
      { redirect_uri: "http://localhost:4000/other" },
    ]) {
      const { status, body } = await post({ ...right, ...wrong });
      assert.deepEqual([status, body.error], [400, "invalid_grant"], JSON.stringify(wrong));
    }
    assert.equal((await post(right)).status, 200);
  });
});

describe("the token endpoint", () => {
  test("refuses a wrong secret, a missing one and another method", async () => {
    const of = await app("client_secret_post");
    for (const client_secret of ["wrong", ""]) {
      const { status, body } = await post({ grant_type: "refresh_token", client_id: of.id, client_secret });
      assert.deepEqual([status, body.error_code], [400, "invalid_credentials"]);
    }
  });

  test("refuses a refresh token of another app, of no app, and an app's at /token", async () => {
    const [of, other] = [await app(), await app()];
    const { id, verifier } = await ask(of);
    const tokens = await exchange(of, await agree(ada, id), verifier);
    const app_token = tokens.refresh_token ?? "";
    const own = (await bob.auth.getSession()).data.session?.refresh_token ?? "";
    for (const [client_id, refresh_token] of [
      [other.id, app_token],
      [of.id, own],
    ] as const) {
      const { status, body } = await post({ grant_type: "refresh_token", client_id, refresh_token });
      assert.deepEqual([status, body.error], [400, "invalid_client"]);
    }
    const { error } = await auth.client().auth.refreshSession({ refresh_token: app_token });
    assert.equal(error?.status, 400);
    assert.ok((await openid.refreshTokenGrant(of.config, app_token)).access_token);
  });
});

describe("an authorization", () => {
  test("of one user is unknown to another", async () => {
    const { id } = await ask(await app());
    assert.equal((await ada.auth.oauth.getAuthorizationDetails(id)).error, null);
    const shown = await bob.auth.oauth.getAuthorizationDetails(id);
    assert.equal(shown.error?.code, "oauth_authorization_not_found");
    const granted = await bob.auth.oauth.approveAuthorization(id, { skipBrowserRedirect: true });
    assert.equal(granted.error?.code, "oauth_authorization_not_found");
  });

  test("needs a user: no token, a forged one and a foreign page are refused", async () => {
    const { id } = await ask(await app());
    const { data } = await ada.auth.getSession();
    const token = data.session?.access_token ?? "";
    const url = `${ISSUER}/oauth/authorizations/${id}`;
    const statusOf = async (headers: HeadersInit) => (await auth.ask(url, { headers })).status;
    assert.equal(await statusOf({}), 401);
    assert.equal(await statusOf({ authorization: `Bearer ${token.slice(0, -6)}AAAAAA` }), 403);
    const authorization = `Bearer ${token}`;
    assert.equal(await statusOf({ authorization, origin: "https://evil.example" }), 400);
    assert.equal(await statusOf({ authorization }), 200);
  });

  test("of an app that the user agreed to before is granted at once; not after a revocation", async () => {
    const of = await app();
    const first = await ask(of);
    const tokens = await exchange(of, await agree(ada, first.id), first.verifier);
    const again = await ada.auth.oauth.getAuthorizationDetails((await ask(of)).id);
    assert.ok(again.data && "redirect_url" in again.data);
    const code = new URL(again.data.redirect_url).searchParams.get("code") ?? "";
    const grants = await ada.auth.oauth.listGrants();
    assert.ok(grants.data?.some(({ client }) => client.id === of.id));
    assert.deepEqual((await bob.auth.oauth.listGrants()).data, []);
    const foreign = await bob.auth.oauth.revokeGrant({ clientId: of.id });
    assert.equal(foreign.error?.code, "oauth_consent_not_found");
    assert.equal((await ada.auth.oauth.revokeGrant({ clientId: of.id })).error, null);
    await assert.rejects(openid.refreshTokenGrant(of.config, tokens.refresh_token ?? ""));
    assert.equal(
      (await auth.client().auth.getUser(tokens.access_token)).error?.name,
      "AuthSessionMissingError",
    );
    const { body } = await post({ grant_type: "authorization_code", client_id: of.id, code });
    assert.equal(body.error, "invalid_grant");
    const asked = await ada.auth.oauth.getAuthorizationDetails((await ask(of)).id);
    assert.ok(asked.data && "client" in asked.data);
  });
});

test("administrators list, change and delete clients; a new secret ends the old", async () => {
  const { oauth } = auth.admin.auth.admin;
  const of = await app("client_secret_post");
  const changed = await oauth.updateClient(of.id, { client_name: "Renamed" });
  assert.equal(changed.data?.client_name, "Renamed");
  const renewed = await oauth.regenerateClientSecret(of.id);
  const asks = (client_secret = "") =>
    post({ grant_type: "authorization_code", client_id: of.id, client_secret });
  assert.equal((await asks(of.secret)).body.error_code, "invalid_credentials");
  assert.equal((await asks(renewed.data?.client_secret)).body.error, "invalid_request");
  assert.ok((await oauth.listClients()).data.clients.some(({ client_id }) => client_id === of.id));
  assert.equal((await oauth.deleteClient(of.id)).error, null);
  assert.equal((await oauth.getClient(of.id)).error?.code, "oauth_client_not_found");
  assert.equal((await asks(renewed.data?.client_secret)).body.error_code, "invalid_credentials");
  assert.equal((await ada.auth.admin.oauth.listClients()).error?.status, 403);
});

test("where it is off every route answers feature_disabled", async () => {
  const off = await startTestAuth(db, "[auth]\n");
  const { error } = await off.admin.auth.admin.oauth.listClients();
  assert.deepEqual([error?.status, error?.code], [404, "feature_disabled"]);
  for (const path of ["oauth/authorize", "oauth/authorizations/x", "oauth/userinfo"])
    assert.equal((await off.ask(`${ISSUER}/${path}`)).status, 404, path);
  await off.close();
});
