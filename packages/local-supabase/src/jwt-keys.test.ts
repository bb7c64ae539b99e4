import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { importJWK, SignJWT } from "jose";
import { test } from "vitest";
import { generateSigningKey, hasKeyFor, isSignedBy, publicPart, SigningKey } from "./jwt-keys.ts";

const SECRET = "a-secret-of-at-least-thirty-two-characters";
const mine = generateSigningKey();
const other = generateSigningKey();
const SET = setOf(mine);

function setOf(...keys: SigningKey[]): string {
  const oct = { kty: "oct", k: Buffer.from(SECRET).toString("base64url"), alg: "HS256" };
  return JSON.stringify({ keys: [oct, ...keys.map(publicPart)] });
}

async function signed(header: { alg: string; kid?: string }, key: SigningKey | string) {
  const by = typeof key === "string" ? new TextEncoder().encode(key) : await importJWK(key, header.alg);
  return await new SignJWT({ role: "authenticated" }).setProtectedHeader(header).sign(by);
}

function check(token: string, keys: string): { known: boolean; genuine: boolean } {
  const [head, payload, signature] = token.split(".") as [string, string, string];
  const header = JSON.parse(Buffer.from(head, "base64url").toString());
  const text = `${head}.${payload}`;
  return { known: hasKeyFor(keys, header), genuine: isSignedBy(keys, header, { text, signature }) };
}

test("a set accepts its secret and its ES256 key", async () => {
  for (const token of [
    await signed({ alg: "HS256" }, SECRET),
    await signed({ alg: "HS256", kid: "any" }, SECRET),
    await signed({ alg: "ES256", kid: mine.kid }, mine),
    await signed({ alg: "ES256" }, mine),
  ])
    assert.deepEqual(check(token, SET), { known: true, genuine: true });
});

test("an RS256 key of a signing_keys_path is accepted", async () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = SigningKey.parse({ ...privateKey.export({ format: "jwk" }), alg: "RS256", kid: "r" });
  assert.deepEqual(check(await signed({ alg: "RS256", kid: "r" }, key), setOf(key)), {
    known: true,
    genuine: true,
  });
});

test("a stranger's key, a wrong kid and another algorithm are refused", async () => {
  assert.deepEqual(check(await signed({ alg: "ES256", kid: mine.kid }, other), SET), {
    known: true,
    genuine: false,
  });
  assert.deepEqual(check(await signed({ alg: "ES256", kid: other.kid }, mine), SET), {
    known: false,
    genuine: false,
  });
  assert.equal(check(await signed({ alg: "HS256" }, `${SECRET}x`), SET).genuine, false);
  assert.equal(check(await signed({ alg: "HS512" }, SECRET.repeat(2)), SET).known, false);
  const [, payload] = (await signed({ alg: "HS256" }, SECRET)).split(".");
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  assert.deepEqual(check(`${none}.${payload}.`, SET), { known: false, genuine: false });
});

test("a public key is never used as an HMAC's secret", async () => {
  const { x, y } = publicPart(mine) as { x: string; y: string };
  for (const secret of [x, y, JSON.stringify(publicPart(mine)), SET])
    assert.equal(check(await signed({ alg: "HS256", kid: mine.kid }, secret), SET).genuine, false);
});

test("the public part shows nothing private", () => {
  assert.deepEqual(Object.keys(publicPart(mine)).sort(), [
    "alg",
    "crv",
    "ext",
    "key_ops",
    "kid",
    "kty",
    "use",
    "x",
    "y",
  ]);
});
