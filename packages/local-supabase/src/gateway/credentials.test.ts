import assert from "node:assert/strict";
import { test } from "vitest";
import { generateKeys, verifyingKeys } from "../keys.ts";
import { mintRoleToken } from "../tokens.ts";
import { checkApiKey, upstreamAuthorization } from "./credentials.ts";

const keys = { ...generateKeys(), jwtKeys: "" };
keys.jwtKeys = verifyingKeys(keys);
const NOW = Date.UTC(2026, 0, 1);
const check = (headers: Record<string, string>, target = "/rest/v1/x") =>
  checkApiKey(headers, target, keys, NOW);

test("the publishable key is anon, the secret key service_role, in header or query", () => {
  assert.deepEqual(check({ apikey: keys.publishableKey }), { status: "known", role: "anon" });
  assert.deepEqual(check({ apikey: keys.secretKey }), { status: "known", role: "service_role" });
  assert.deepEqual(check({}, `/rest/v1/x?apikey=${keys.publishableKey}`), { status: "known", role: "anon" });
});

test("no key is missing; another one, or only its beginning, is unknown", () => {
  assert.equal(check({}).status, "missing");
  assert.equal(check({ apikey: "" }).status, "missing");
  assert.equal(check({ apikey: "sb_publishable_other" }).status, "unknown");
  assert.equal(check({ apikey: keys.secretKey.slice(0, -1) }).status, "unknown");
  assert.equal(check({ apikey: `${keys.secretKey}x` }).status, "unknown");
});

test("a JWT of this stack with an API role is a legacy key; a foreign, expired or user's one is none", () => {
  const legacy = mintRoleToken("anon", keys.jwtSecret, NOW, 60);
  assert.deepEqual(check({ apikey: legacy }), { status: "known", role: "anon" });
  assert.equal(check({ apikey: mintRoleToken("service_role", "x".repeat(40), NOW, 60) }).status, "unknown");
  assert.equal(check({ apikey: mintRoleToken("anon", keys.jwtSecret, NOW - 120_000, 60) }).status, "unknown");
  assert.equal(check({ apikey: `${legacy.slice(0, -2)}xx` }).status, "unknown");
});

test("a caller's own token passes; none, or a key in its place, becomes a token of the key's role", () => {
  const tokenFor = (role: string) => `token-of-${role}`;
  assert.equal(upstreamAuthorization("user.jwt.x", "anon", tokenFor), "Bearer user.jwt.x");
  assert.equal(upstreamAuthorization(undefined, "anon", tokenFor), "Bearer token-of-anon");
  const withKey = upstreamAuthorization(keys.secretKey, "service_role", tokenFor);
  assert.equal(withKey, "Bearer token-of-service_role");
  assert.equal(upstreamAuthorization("sb_secret_stolen", "anon", tokenFor), "Bearer token-of-anon");
});
