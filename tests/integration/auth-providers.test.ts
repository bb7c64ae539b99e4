// Signing in with a real OpenID Connect provider: new and known accounts, links, codes, id tokens, and what is refused.
import assert from "node:assert/strict";
import { importJWK, SignJWT } from "jose";
import { afterAll, beforeAll, describe, test } from "vitest";
import {
  type OpenIdProvider,
  signingKey,
  startOpenIdProvider,
} from "../../packages/local-supabase/src/auth/testing/openid-provider.ts";
import { AUTH_URL, startTestAuth, type TestAuth } from "../helpers/auth.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

const APP = "http://127.0.0.1:3000/after";
const people = {
  ada: { email: "Ada@example.com", email_verified: true, name: "Ada", picture: "https://x/ada.png" },
  eve: { email: "victim@example.com", email_verified: false, name: "Eve" },
  quiet: { name: "No mail" },
  bob: { email: "bob@example.com", email_verified: true, name: "Bob" },
  carl: { email: "carl@example.com", email_verified: true, name: "Carl" },
  dora: { email: "dora@example.com", email_verified: true, name: "Dora" },
  banned: { email: "banned@example.com", email_verified: true, name: "Banned" },
};
let db: TestDatabase;
let openid: OpenIdProvider;
let auth: TestAuth;

const toml = (more = "") => `[auth]
enable_manual_linking = true
enable_anonymous_sign_ins = true
[auth.external.keycloak]
enabled = true
url = "${openid.issuer}"
client_id = "${openid.clientId}"
secret = "${openid.secret}"
${more}`;

beforeAll(async () => {
  db = await createTestDatabase();
  openid = await startOpenIdProvider(people, [`${AUTH_URL}/auth/v1/callback`]);
  auth = await startTestAuth(db, toml());
});
afterAll(async () => {
  await auth?.close();
  await openid?.close();
  await db?.destroy();
});

/** Goes to the provider and back, as a browser does; returns the address of the app. */
async function roundTrip(start: string, person: string, through = auth): Promise<URL> {
  const away = await through.ask(start);
  assert.equal(away.status, 302, await away.clone().text());
  const back = await openid.signIn(away.headers.get("location") ?? "", person);
  assert.equal(`${back.origin}${back.pathname}`, `${AUTH_URL}/auth/v1/callback`);
  const app = await through.ask(back);
  assert.equal(app.status, 302);
  return new URL(app.headers.get("location") ?? "");
}

const authorize = (query: Record<string, string> = {}) =>
  `${AUTH_URL}/auth/v1/authorize?${new URLSearchParams({ provider: "keycloak", redirect_to: APP, ...query })}`;
const fragmentOf = (url: URL) => Object.fromEntries(new URLSearchParams(url.hash.slice(1)));

describe("a sign-in", () => {
  test("without PKCE ends with a session in the fragment, and the provider's token", async () => {
    const back = await roundTrip(authorize(), "ada");
    assert.equal(`${back.origin}${back.pathname}`, APP);
    const { access_token = "", provider_token, token_type, sb } = fragmentOf(back);
    assert.ok(provider_token);
    assert.deepEqual([token_type, sb], ["bearer", ""]);
    const { data } = await auth.client().auth.getUser(access_token);
    assert.equal(data.user?.email, "ada@example.com");
    assert.deepEqual(data.user?.app_metadata, { provider: "keycloak", providers: ["keycloak"] });
    assert.equal(data.user?.user_metadata.full_name, "Ada");
    assert.deepEqual(
      data.user?.identities?.map(({ provider, id }) => [provider, id]),
      [["keycloak", "ada"]],
    );
  });

  test("with PKCE ends with a code that works once, for its verifier alone", async () => {
    const client = auth.client({ flowType: "pkce" });
    const { data } = await client.auth.signInWithOAuth({
      provider: "keycloak",
      options: { redirectTo: APP, skipBrowserRedirect: true },
    });
    const back = await roundTrip(data.url ?? "", "ada");
    const code = back.searchParams.get("code") ?? "";
    assert.equal(back.hash, "");
    const stranger = auth.client({ flowType: "pkce" });
    await stranger.auth.signInWithOAuth({ provider: "keycloak", options: { skipBrowserRedirect: true } });
    assert.equal((await stranger.auth.exchangeCodeForSession(code)).error?.code, "bad_code_verifier");
    const exchanged = await client.auth.exchangeCodeForSession(code);
    assert.equal(exchanged.error, null);
    assert.equal(exchanged.data.session?.user.email, "ada@example.com");
    assert.ok(exchanged.data.session?.provider_token);
    await client.auth.signInWithOAuth({ provider: "keycloak", options: { skipBrowserRedirect: true } });
    assert.equal((await client.auth.exchangeCodeForSession(code)).error?.code, "flow_state_not_found");
  });

  test("of the same person finds the account again", async () => {
    const before = await db.pool.query("select count(*)::int as n from auth.users");
    await roundTrip(authorize(), "ada");
    const after = await db.pool.query("select count(*)::int as n from auth.users");
    assert.deepEqual(after.rows, before.rows);
  });

  test("with a verified address of an account is linked to it", async () => {
    const client = auth.client();
    const made = await client.auth.signUp({ email: "bob@example.com", password: "a password of bob" });
    const back = await roundTrip(authorize(), "bob");
    const { data } = await client.auth.getUser(fragmentOf(back).access_token);
    assert.equal(data.user?.id, made.data.user?.id);
    assert.deepEqual(data.user?.app_metadata.providers, ["email", "keycloak"]);
  });

  test("is begun with the app's own parameters, never with Auth's", async () => {
    const away = await auth.ask(
      authorize({ prompt: "login", state: "mine", redirect_uri: "http://evil", client_id: "x" }),
    );
    const { searchParams } = new URL(away.headers.get("location") ?? "");
    assert.deepEqual(
      ["prompt", "redirect_uri", "client_id"].map((name) => searchParams.get(name)),
      ["login", `${AUTH_URL}/auth/v1/callback`, openid.clientId],
    );
    assert.notEqual(searchParams.get("state"), "mine");
  });

  test("leads to the site when the app's address is not allowed", async () => {
    const back = await roundTrip(authorize({ redirect_to: "https://evil.example/" }), "ada");
    assert.equal(back.origin, "http://127.0.0.1:3000");
  });
});

describe("a sign-in is refused", () => {
  test("with a provider that is unknown or off", async () => {
    for (const [provider, message] of [
      ["nope", "Unsupported provider: Provider nope could not be found"],
      ["github", "Unsupported provider: provider is not enabled"],
      ["custom:nope", "Unsupported provider: custom provider custom:nope not found"],
    ] as const) {
      const answer = await auth.ask(authorize({ provider }));
      assert.equal(answer.status, 400);
      assert.equal(((await answer.json()) as { msg: string }).msg, message);
    }
  });

  test("at the app, when the person says no or has no address", async () => {
    const denied = await roundTrip(authorize(), "nobody");
    assert.deepEqual(
      [denied.searchParams.get("error"), fragmentOf(denied).error_description],
      ["access_denied", "The person said no"],
    );
    const quiet = await roundTrip(authorize(), "quiet");
    assert.equal(
      quiet.searchParams.get("error_description"),
      "Error getting user email from external provider",
    );
  });

  test("when the state is missing, foreign or used", async () => {
    const callback = `${AUTH_URL}/auth/v1/callback`;
    for (const [query, code] of [
      ["", "bad_oauth_callback"],
      ["?state=x", "bad_oauth_state"],
      [`?state=${crypto.randomUUID()}&code=x`, "bad_oauth_state"],
    ] as const) {
      const answer = await auth.ask(callback + query);
      assert.equal(answer.status, 303);
      const to = new URL(answer.headers.get("location") ?? "");
      assert.deepEqual([to.origin, to.searchParams.get("error_code")], ["http://127.0.0.1:3000", code]);
    }
    const away = await auth.ask(authorize());
    const back = await openid.signIn(away.headers.get("location") ?? "", "ada");
    await auth.ask(back);
    const again = new URL((await auth.ask(back)).headers.get("location") ?? "");
    assert.equal(again.searchParams.get("error_code"), "bad_oauth_state");
    assert.equal(again.hash, "");
  });

  test("when a banned account comes back", async () => {
    await roundTrip(authorize(), "banned");
    await db.pool.query(
      "update auth.users set banned_until = now() + interval '1 day' where email = 'banned@example.com'",
    );
    const back = await roundTrip(authorize(), "banned");
    assert.deepEqual(
      [back.searchParams.get("error"), back.searchParams.get("error_code")],
      ["access_denied", "user_banned"],
    );
  });

  test("when sign-ups are off and the account is new", async () => {
    const closed = await startTestAuth(db, toml().replace("[auth]\n", "[auth]\nenable_signup = false\n"));
    try {
      const back = await roundTrip(authorize(), "dora", closed);
      assert.equal(back.searchParams.get("error_code"), "signup_disabled");
      assert.equal(
        (await db.pool.query("select from auth.users where email = 'dora@example.com'")).rowCount,
        0,
      );
    } finally {
      await closed.close();
    }
  });
});

describe("an address that the provider has not verified", () => {
  test("does not open the account that has it", async () => {
    const confirming = await startTestAuth(
      db,
      toml("[auth.email]\nenable_confirmations = true\nmax_frequency = '0s'"),
    );
    try {
      const { data } = await confirming.admin.auth.admin.createUser({
        email: "victim@example.com",
        password: "of the victim",
        email_confirm: true,
      });
      const back = await roundTrip(authorize(), "eve", confirming);
      assert.equal(back.searchParams.get("error_code"), "provider_email_needs_verification");
      assert.equal(fragmentOf(back).access_token, undefined);
      const victim = await confirming.admin.auth.admin.getUserById(data.user?.id ?? "");
      assert.deepEqual(
        victim.data.user?.identities?.map(({ provider }) => provider),
        ["email"],
      );
    } finally {
      await confirming.close();
    }
  });

  test("of an unconfirmed account takes its password away when the real owner comes", async () => {
    const confirming = await startTestAuth(
      db,
      toml("[auth.email]\nenable_confirmations = true\nmax_frequency = '0s'"),
    );
    try {
      const squatter = confirming.client();
      await squatter.auth.signUp({
        email: "carl@example.com",
        password: "of a squatter",
        options: { data: { vip: true } },
      });
      const back = await roundTrip(authorize(), "carl", confirming);
      const { data } = await squatter.auth.getUser(fragmentOf(back).access_token);
      assert.equal(data.user?.email, "carl@example.com");
      assert.equal(data.user?.user_metadata.vip, undefined);
      assert.deepEqual(data.user?.app_metadata.providers, ["keycloak"]);
      const wrong = await squatter.auth.signInWithPassword({
        email: "carl@example.com",
        password: "of a squatter",
      });
      assert.equal(wrong.error?.code, "invalid_credentials");
    } finally {
      await confirming.close();
    }
  });
});

describe("identities", () => {
  test("are linked and unlinked by their user, and one always stays", async () => {
    const client = auth.client();
    await client.auth.signUp({ email: "linker@example.com", password: "a password of linker" });
    const { data } = await client.auth.linkIdentity({
      provider: "keycloak",
      options: { redirectTo: APP, skipBrowserRedirect: true },
    });
    const back = await openid.signIn(data.url ?? "", "dora");
    const app = new URL((await auth.ask(back)).headers.get("location") ?? "");
    assert.ok(fragmentOf(app).access_token, app.toString());
    const { data: known } = await client.auth.getUserIdentities();
    assert.deepEqual(
      known?.identities.map(({ provider }) => provider),
      ["email", "keycloak"],
    );
    const [email, keycloak] = known?.identities ?? [];
    // Somebody else cannot have it, nor unlink it.
    const other = auth.client();
    await other.auth.signUp({ email: "other@example.com", password: "a password of other" });
    const second = await other.auth.linkIdentity({
      provider: "keycloak",
      options: { redirectTo: APP, skipBrowserRedirect: true },
    });
    const taken = new URL(
      (await auth.ask(await openid.signIn(second.data.url ?? "", "dora"))).headers.get("location") ?? "",
    );
    assert.equal(taken.searchParams.get("error_code"), "identity_already_exists");
    assert.equal((await other.auth.unlinkIdentity(keycloak!)).error?.code, "single_identity_not_deletable");
    assert.equal((await client.auth.unlinkIdentity(keycloak!)).error, null);
    assert.equal((await client.auth.unlinkIdentity(email!)).error?.code, "single_identity_not_deletable");
  });

  test("make an anonymous user a known one", async () => {
    const client = auth.client();
    const { data: made } = await client.auth.signInAnonymously();
    await db.pool.query("delete from auth.users where email = 'dora@example.com'");
    await db.pool.query("delete from auth.identities where provider_id = 'dora'");
    const { data } = await client.auth.linkIdentity({
      provider: "keycloak",
      options: { redirectTo: APP, skipBrowserRedirect: true },
    });
    const app = new URL(
      (await auth.ask(await openid.signIn(data.url ?? "", "dora"))).headers.get("location") ?? "",
    );
    const { data: after } = await client.auth.getUser(fragmentOf(app).access_token);
    assert.deepEqual(
      [after.user?.id, after.user?.is_anonymous, after.user?.email],
      [made.user?.id, false, "dora@example.com"],
    );
  });

  test("cannot be linked by hand unless config.toml allows it, nor by a forged token", async () => {
    const closed = await startTestAuth(db, toml().replace("enable_manual_linking = true", ""));
    try {
      const client = closed.client();
      await client.auth.signUp({ email: "closed@example.com", password: "a password of closed" });
      const { error } = await client.auth.linkIdentity({
        provider: "keycloak",
        options: { skipBrowserRedirect: true },
      });
      assert.deepEqual([error?.status, error?.code], [404, "manual_linking_disabled"]);
    } finally {
      await closed.close();
    }
    const path = `${AUTH_URL}/auth/v1/user/identities/authorize?provider=keycloak`;
    const [head, body] = `${await idToken({ sub: "ada" })}`.split(".");
    const forged = await auth.ask(path, { headers: { authorization: `Bearer ${head}.${body}.AAAA` } });
    assert.equal(forged.status, 403);
    assert.equal((await auth.ask(path)).status, 401);
  });
});

async function idToken(claims: Record<string, unknown>): Promise<string> {
  return await new SignJWT({ email: "ada@example.com", email_verified: true, ...claims })
    .setProtectedHeader({ alg: "RS256", kid: "provider-key" })
    .setIssuer(openid.issuer)
    .setAudience(openid.clientId)
    .setExpirationTime("1h")
    .setIssuedAt()
    .sign(await importJWK(signingKey, "RS256"));
}

describe("an id token", () => {
  test("of the provider opens the account of its person", async () => {
    const client = auth.client();
    const { data, error } = await client.auth.signInWithIdToken({
      provider: "keycloak",
      token: await idToken({ sub: "ada" }),
    });
    assert.equal(error, null);
    assert.equal(data.user?.email, "ada@example.com");
    assert.equal((await client.auth.getUser()).data.user?.id, data.user?.id);
  });

  test("of another audience, or spoilt, is refused", async () => {
    const client = auth.client();
    const token = await idToken({ sub: "ada" });
    for (const bad of [`${token.slice(0, -8)}AAAAAAAA`, "x"]) {
      const { error } = await client.auth.signInWithIdToken({ provider: "keycloak", token: bad });
      assert.equal(error?.status, 400);
    }
  });
});

describe("custom providers", () => {
  test("are made, shown without their secret, changed and removed by the secret key alone", async () => {
    const { customProviders } = auth.admin.auth.admin;
    const made = await customProviders.createProvider({
      provider_type: "oauth2",
      identifier: "custom:mine",
      name: "Mine",
      client_id: "id",
      client_secret: "very secret",
      authorization_url: "https://x.example/authorize",
      token_url: "https://x.example/token",
      userinfo_url: "https://x.example/me",
      scopes: ["email"],
    });
    assert.equal(made.error, null);
    assert.equal(JSON.stringify(made.data).includes("very secret"), false);
    const { data: listed } = await customProviders.listProviders();
    assert.deepEqual(
      listed?.providers.map(({ identifier }) => identifier),
      ["custom:mine"],
    );
    const away = await auth.ask(authorize({ provider: "custom:mine" }));
    const to = new URL(away.headers.get("location") ?? "");
    assert.deepEqual(
      [to.origin, to.searchParams.get("scope"), to.searchParams.get("code_challenge_method")],
      ["https://x.example", "email", "S256"],
    );
    const changed = await customProviders.updateProvider("custom:mine", { enabled: false });
    assert.equal(changed.data?.enabled, false);
    assert.equal((await auth.ask(authorize({ provider: "custom:mine" }))).status, 400);
    const anonymous = await auth.client().auth.admin.customProviders.listProviders();
    assert.ok(anonymous.error);
    assert.equal((await customProviders.deleteProvider("custom:mine")).error, null);
    assert.equal((await customProviders.getProvider("custom:mine")).error?.code, "custom_provider_not_found");
  });

  test("that would raise a person's rights or leave Auth's parameters to others are refused", async () => {
    const { customProviders } = auth.admin.auth.admin;
    const base = {
      provider_type: "oauth2" as const,
      identifier: "custom:bad",
      name: "Bad",
      client_id: "id",
      client_secret: "s",
      authorization_url: "https://x.example/a",
      token_url: "https://x.example/t",
      userinfo_url: "https://x.example/m",
    };
    for (const change of [
      { attribute_mapping: { role: "admin" } },
      { authorization_params: { redirect_uri: "https://evil" } },
      { identifier: "mine" },
      { token_url: "http://x.example/t" },
      { name: "" },
    ]) {
      const { error } = await customProviders.createProvider({ ...base, ...change });
      assert.equal(error?.code, "validation_failed", JSON.stringify(change));
    }
  });
});
