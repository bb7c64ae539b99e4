import assert from "node:assert/strict";
import { jwtVerify } from "jose";
import { test } from "vitest";
import { createRoleTokens, judgeToken, mintRoleToken, roleOfToken } from "./tokens.ts";

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
