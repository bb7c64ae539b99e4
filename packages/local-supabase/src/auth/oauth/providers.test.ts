import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { importJWK, SignJWT } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseConfig } from "../../config/read-config.ts";
import { AuthError, OAuthError } from "../errors.ts";
import { type OpenIdProvider, signingKey, startOpenIdProvider } from "../testing/openid-provider.ts";
import { type IdTokenParams, verifyIdToken } from "./id-token.ts";
import { configuredProvider, customProvider, UnsupportedProvider } from "./providers.ts";

const CALLBACK = "http://127.0.0.1:54321/auth/v1/callback";
const people = {
  ada: {
    email: "ada@example.com",
    email_verified: true,
    name: "Ada",
    picture: "https://x/ada.png",
    api: {
      id: 42,
      login: "ada",
      name: "Ada L",
      avatar_url: "https://x/a.png",
      username: "ada",
      discriminator: "0007",
    },
  },
  quiet: { name: "No mail" },
};
let openid: OpenIdProvider;
let github: OpenIdProvider;
let discord: OpenIdProvider;

beforeAll(async () => {
  openid = await startOpenIdProvider(people, [CALLBACK]);
  github = await startOpenIdProvider(people, [CALLBACK], {
    authorization: "/login/oauth/authorize",
    token: "/login/oauth/access_token",
  });
  discord = await startOpenIdProvider(people, [CALLBACK], {
    authorization: "/api/oauth2/authorize",
    token: "/api/oauth2/token",
  });
});
afterAll(async () => {
  await Promise.all([openid, github, discord].map((each) => each?.close()));
});

const settings = (name: string, { issuer, clientId, secret }: OpenIdProvider, more = "") =>
  parseConfig(
    `[auth.external.${name}]\nenabled = true\nurl = "${issuer}/"\nclient_id = "${clientId}"\nsecret = "${secret}"\n${more}`,
  ).auth.external;

const custom = (overrides = {}) => ({
  identifier: "custom:mine",
  provider_type: "oidc" as const,
  client_id: openid.clientId,
  client_secret: openid.secret,
  acceptable_client_ids: [],
  scopes: ["email", "profile"],
  pkce_enabled: true,
  authorization_params: { prompt: "login" },
  issuer: openid.issuer,
  discovery_url: null,
  authorization_url: null,
  token_url: null,
  userinfo_url: null,
  attribute_mapping: {},
  custom_claims_allowlist: [],
  enabled: true,
  skip_nonce_check: false,
  email_optional: false,
  ...overrides,
});

test("a sign-in with OpenID Connect gives tokens and a profile", async () => {
  const { provider } = configuredProvider("keycloak", "", CALLBACK, settings("keycloak", openid));
  const url = await provider.authorizationUrl("the-state", {});
  assert.equal(url.searchParams.get("redirect_uri"), CALLBACK);
  assert.equal(url.searchParams.get("scope"), "openid profile email");
  const back = await openid.signIn(url, "ada");
  assert.equal(back.searchParams.get("state"), "the-state");
  const answer = await provider.exchange(back, "the-state");
  assert.ok(answer.accessToken.length > 20);
  assert.deepEqual(answer.profile.emails, [{ email: "ada@example.com", verified: true, primary: true }]);
  const { sub, iss, name, full_name, provider_id, email_verified } = answer.profile.metadata;
  assert.deepEqual(
    [sub, iss, name, full_name, provider_id, email_verified],
    ["ada", openid.issuer, "Ada", "Ada", "ada", true],
  );
});

test("a state of another sign-in and a code that was used are refused", async () => {
  const { provider } = configuredProvider("keycloak", "", CALLBACK, settings("keycloak", openid));
  const back = await openid.signIn(await provider.authorizationUrl("one", {}), "ada");
  await assert.rejects(provider.exchange(back, "two"));
  await provider.exchange(back, "one");
  await assert.rejects(provider.exchange(back, "one"));
});

test("a person who says no comes back with the provider's error", async () => {
  const { provider } = configuredProvider("keycloak", "", CALLBACK, settings("keycloak", openid));
  const back = await openid.signIn(await provider.authorizationUrl("s", {}), "nobody");
  assert.deepEqual(
    [back.searchParams.get("error"), back.searchParams.get("error_description")],
    ["access_denied", "The person said no"],
  );
});

test("a custom provider uses PKCE, its own scopes and parameters", async () => {
  const provider = customProvider(custom(), "", CALLBACK);
  assert.equal(provider.pkce, true);
  const verifier = "v".repeat(43);
  const url = await provider.authorizationUrl("s", { login_hint: "ada" }, verifier);
  assert.equal(url.searchParams.get("code_challenge_method"), "S256");
  assert.equal(url.searchParams.get("prompt"), "login");
  const back = await openid.signIn(url, "ada");
  await assert.rejects(provider.exchange(back, "s", "w".repeat(43)));
  const again = await openid.signIn(url, "ada");
  assert.equal((await provider.exchange(again, "s", verifier)).profile.metadata.sub, "ada");
});

test("a custom provider's claims get the names of its row", async () => {
  const row = custom({
    pkce_enabled: false,
    attribute_mapping: { preferred_username: "name", locale: 7 },
    custom_claims_allowlist: ["picture", "nope"],
  });
  const provider = customProvider(row, "", CALLBACK);
  const back = await openid.signIn(await provider.authorizationUrl("s", {}), "ada");
  const { preferred_username, custom_claims } = (await provider.exchange(back, "s")).profile.metadata;
  assert.equal(preferred_username, "Ada");
  assert.deepEqual(custom_claims, { picture: "https://x/ada.png" });
});

test("GitHub's profile has the id as a text and all addresses", async () => {
  const { provider } = configuredProvider("github", "read:org", CALLBACK, settings("github", github));
  const url = await provider.authorizationUrl("s", {});
  assert.equal(url.pathname, "/login/oauth/authorize");
  assert.equal(url.searchParams.get("scope"), "user:email read:org");
  const { profile } = await provider.exchange(await github.signIn(url, "ada"), "s");
  assert.deepEqual(profile, {
    emails: [
      { email: "spare-ada@example.com", verified: true, primary: false },
      { email: "ada@example.com", verified: true, primary: true },
    ],
    metadata: {
      iss: `${github.issuer}/api/v3`,
      sub: "42",
      name: "Ada L",
      preferred_username: "ada",
      avatar_url: "https://x/a.png",
      full_name: "Ada L",
      provider_id: "42",
      user_name: "ada",
      email_verified: false,
      phone_verified: false,
    },
  });
});

test("Discord's profile has name, number and a picture", async () => {
  const { provider } = configuredProvider("discord", "", CALLBACK, settings("discord", discord));
  const { profile } = await provider.exchange(
    await discord.signIn(await provider.authorizationUrl("s", {}), "ada"),
    "s",
  );
  assert.equal(profile.metadata.name, "ada#0007");
  assert.equal(profile.metadata.picture, "https://cdn.discordapp.com/embed/avatars/2.png");
  assert.deepEqual(profile.emails, [{ email: "ada@example.com", verified: true, primary: true }]);
});

test("a provider that is unknown, off or without a secret is named", () => {
  const refused = (name: string, external = parseConfig("").auth.external) => {
    try {
      configuredProvider(name, "", CALLBACK, external);
      return "none";
    } catch (error) {
      assert.ok(error instanceof UnsupportedProvider);
      return error.message;
    }
  };
  assert.equal(refused("nope"), "Provider nope could not be found");
  assert.equal(refused("toString"), "Provider toString could not be found");
  assert.equal(refused("github"), "provider is not enabled");
  const google = parseConfig('[auth.external.google]\nenabled = true\nclient_id = "x"').auth.external;
  assert.equal(refused("google", google), "missing OAuth secret");
});

async function idToken(
  claims: Record<string, unknown>,
  { key = signingKey, exp = "1h" } = {},
): Promise<string> {
  return await new SignJWT({ email: "ada@example.com", email_verified: true, ...claims })
    .setProtectedHeader({ alg: "RS256", kid: "provider-key" })
    .setIssuer(String(claims.iss ?? openid.issuer))
    .setAudience(String(claims.aud ?? openid.clientId))
    .setExpirationTime(exp)
    .setIssuedAt()
    .sign(await importJWK(key, "RS256"));
}

const verify = async (
  params: Partial<IdTokenParams>,
  row: ReturnType<typeof custom> | undefined = custom(),
) =>
  await verifyIdToken(
    { id_token: "", provider: "keycloak", access_token: "", nonce: "", client_id: "", issuer: "", ...params },
    settings("keycloak", openid),
    async () => row,
  );

test("an id token of the provider is accepted with its nonce and access token", async () => {
  const nonce = createHash("sha256").update("n").digest("hex");
  const at_hash = createHash("sha256").update("at").digest().subarray(0, 16).toString("base64url");
  const token = await idToken({ sub: "ada", nonce, at_hash });
  const person = await verify({ id_token: token, nonce: "n", access_token: "at" });
  assert.deepEqual([person.provider, person.profile.metadata.sub], ["keycloak", "ada"]);
  const mine = await verify({ id_token: await idToken({ sub: "ada" }), provider: "custom:mine" });
  assert.equal(mine.provider, "custom:mine");
});

test("each bad id token is refused in supabase/auth's words", async () => {
  const nonce = createHash("sha256").update("n").digest("hex");
  const at_hash = "AAAA";
  const { generateKeyPairSync } = await import("node:crypto");
  const stranger = {
    ...signingKey,
    ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }),
  };
  const good = await idToken({ sub: "ada" });
  const cases: [Partial<IdTokenParams>, string][] = [
    [{}, "invalid request: id_token required"],
    [{ id_token: "x", provider: "" }, "invalid request: provider or client_id and issuer required"],
    [{ id_token: "x" }, "invalid request: Bad ID token"],
    [{ id_token: await idToken({ sub: "ada" }, { key: stranger }) }, "invalid request: Bad ID token"],
    [{ id_token: await idToken({ sub: "ada" }, { exp: "-1h" }) }, "invalid request: Bad ID token"],
    [{ id_token: await idToken({ sub: "ada", iss: "http://other" }) }, "invalid request: Bad ID token"],
    [
      { id_token: await idToken({ sub: "ada", at_hash }), access_token: "at" },
      "invalid request: Bad ID token",
    ],
    [{ id_token: await idToken({}) }, "invalid request: Missing sub claim in id_token"],
    [
      { id_token: await idToken({ sub: "ada", aud: "another-app" }) },
      "invalid request: Unacceptable audience in id_token: [another-app]",
    ],
    [{ id_token: await idToken({ sub: "ada", nonce }), nonce: "m" }, "invalid nonce: Nonces mismatch"],
    [
      { id_token: good, nonce: "n" },
      "invalid request: Passed nonce and nonce in id_token should either both exist or not.",
    ],
    [
      { id_token: good, provider: "google" },
      'provider_disabled: Provider (issuer "https://accounts.google.com") is not enabled',
    ],
    [{ id_token: good, provider: "nope" }, 'validation_failed: Custom OIDC provider "nope" not allowed'],
    [
      { id_token: good, provider: "apple" },
      "validation_failed: Detected ID token issuer is not an Apple ID token issuer",
    ],
    [
      { id_token: "x", provider: "azure" },
      "validation_failed: Unable to detect issuer in ID token for Azure provider",
    ],
  ];
  for (const [params, message] of cases) {
    const error: unknown = await verify(params).then(
      () => "accepted",
      (thrown: unknown) => thrown,
    );
    if (error instanceof OAuthError) expect(`${error.error}: ${error.message}`).toBe(message);
    else if (error instanceof AuthError) expect(`${error.code}: ${error.message}`).toBe(message);
    else assert.fail(`${message}: ${String(error)}`);
  }
});
