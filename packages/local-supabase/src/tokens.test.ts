import assert from "node:assert/strict";
import { importJWK, jwtVerify, SignJWT } from "jose";
import { test } from "vitest";
import { generateKeys, verifyingKeys } from "./keys.ts";
import { createRoleTokens, judgeToken, mintRoleToken, plainToken, roleOfToken } from "./tokens.ts";

const SECRET = "a-secret-of-at-least-thirty-two-characters";
const NOW = Date.UTC(2026, 0, 1);

test("a minted token is a JWT that another library verifies", async () => {
  const token = mintRoleToken("service_role", SECRET, NOW, 300);
  const { payload } = await jwtVerify(token, new TextEncoder().encode(SECRET), {
    currentDate: new Date(NOW),
  });
  assert.deepEqual(payload, {
    iss: "launchpad",
    aud: "authenticated",
    role: "service_role",
    iat: NOW / 1000,
    exp: NOW / 1000 + 300,
  });
});

test("a token is used again until half its life is over", () => {
  const tokenFor = createRoleTokens(SECRET, 300);
  const first = tokenFor("anon", NOW);
  assert.equal(tokenFor("anon", NOW + 149_999), first);
  assert.notEqual(tokenFor("anon", NOW + 150_000), first);
  assert.notEqual(tokenFor("service_role", NOW), first);
});

test("garbage has no role", () => {
  for (const token of ["", "a", "a.b", "a.b.c", "a.b.c.d", `${mintRoleToken("anon", SECRET, NOW, 9)}.x`]) {
    assert.equal(roleOfToken(token, SECRET, NOW), undefined);
  }
});

test("a JWT is judged by its signature alone; what is no JWT is not judged", () => {
  const token = mintRoleToken("anon", SECRET, NOW, 9);
  assert.deepEqual(judgeToken(token, SECRET), { genuine: true, claims: { role: "anon" } });
  assert.equal(judgeToken(token, `${SECRET}.`)?.genuine, false);
  const [head, payload] = token.split(".");
  for (const forged of [`${head}.${payload}.`, `${head}.${payload}.AAAA`]) {
    assert.equal(judgeToken(forged, SECRET)?.genuine, false);
  }
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  assert.equal(judgeToken(`${none}.${payload}.`, SECRET)?.genuine, false);
  for (const garbage of ["", "a", "a.b", "a.b.c", "sb_publishable_x", `${token}.x`, "e".repeat(9000)]) {
    assert.equal(judgeToken(garbage, SECRET), undefined);
  }
});

test("a genuine token is judged once, for its secret, until 500 others came", () => {
  const token = mintRoleToken("anon", SECRET, NOW, 10);
  const judged = judgeToken(token, SECRET);
  assert.equal(judged?.genuine, true);
  assert.equal(judgeToken(token, SECRET), judged, "the judgement that was kept");
  assert.equal(judgeToken(token, `${SECRET}.`)?.genuine, false);
  assert.equal(judgeToken(`${token.slice(0, -4)}AAAA`, SECRET)?.genuine, false, "one like it");
  for (let life = 11; life <= 511; life++) judgeToken(mintRoleToken("anon", SECRET, NOW, life), SECRET);
  assert.notEqual(judgeToken(token, SECRET), judged);
  assert.deepEqual(judgeToken(token, SECRET), judged);
});

test("forged tokens push no genuine one out", () => {
  const token = mintRoleToken("service_role", SECRET, NOW, 9);
  const judged = judgeToken(token, SECRET);
  for (let life = 0; life < 1000; life++) judgeToken(mintRoleToken("anon", `${SECRET}x`, NOW, life), SECRET);
  assert.equal(judgeToken(token, SECRET), judged);
});

test("an ES256 token becomes the same claims in HS256, made once", async () => {
  const keys = generateKeys();
  const set = verifyingKeys(keys);
  const [key] = keys.signingKeys;
  const token = await new SignJWT({ role: "authenticated", sub: "u", name: "Zoë" })
    .setProtectedHeader({ alg: "ES256", kid: key!.kid })
    .sign(await importJWK(key!, "ES256"));
  const plain = plainToken(token, set, keys.jwtSecret);
  const { payload, protectedHeader } = await jwtVerify(plain, new TextEncoder().encode(keys.jwtSecret));
  assert.deepEqual([protectedHeader.alg, payload.sub, payload.name], ["HS256", "u", "Zoë"]);
  assert.equal(plainToken(token, set, keys.jwtSecret), plain);
  assert.equal(plainToken(plain, set, keys.jwtSecret), plain, "HS256 stays as it is");
  const forged = `${token.slice(0, -6)}AAAAAA`;
  assert.equal(plainToken(forged, set, keys.jwtSecret), forged, "a forged one is not signed");
  assert.equal(plainToken("sb_publishable_x", set, keys.jwtSecret), "sb_publishable_x");
  assert.equal(plainToken("", set, keys.jwtSecret), "");
});
