import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import fc from "fast-check";
import { test } from "vitest";
import { verifyToken } from "./claims.ts";

const SECRET = "x".repeat(32);
const NOW = Date.UTC(2026, 0, 1);
const SECONDS = NOW / 1000;

function token(claims: unknown, header: unknown = { alg: "HS256", typ: "JWT" }, secret = SECRET): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}
const problem = (text: string) => {
  const result = verifyToken(text, SECRET, NOW);
  return "problem" in result ? `${result.problem.code}: ${result.problem.message}` : "none";
};

test("a good token gives its claims", () => {
  const identity = verifyToken(token({ role: "authenticated", sub: "u", exp: SECONDS + 5 }), SECRET, NOW);
  assert.ok(!("problem" in identity));
  assert.deepEqual([identity.role, identity.sub, identity.expiresAt], ["authenticated", "u", SECONDS + 5]);
});

test("each bad token is refused in hosted's words", () => {
  const claims = { role: "authenticated", exp: SECONDS + 5 };
  const [head, body] = token(claims).split(".");
  assert.equal(problem("nonsense"), "MalformedJWT: The token provided is not a valid JWT");
  assert.equal(problem(""), "MalformedJWT: The token provided is not a valid JWT");
  assert.equal(
    problem(token(claims, undefined, "y".repeat(32))),
    "JwtSignatureError: Failed to validate JWT signature",
  );
  assert.equal(problem(`${head}.${body}.`), "JwtSignatureError: Failed to validate JWT signature");
  assert.match(
    problem(`${token(claims, { alg: "none" })}`),
    /^JwtSignerError: Failed to generate JWT signer/,
  );
  assert.equal(
    problem(token({ ...claims, exp: SECONDS - 7 })),
    "InvalidJWTToken: Token has expired 7 seconds ago",
  );
  for (const lacking of [{ exp: SECONDS + 5 }, { role: "anon" }]) {
    assert.equal(problem(token(lacking)), "InvalidJWTToken: Fields `role` and `exp` are required in JWT");
  }
});

test("no text makes it throw", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (a, b, c) => {
      assert.ok("problem" in verifyToken(`${a}.${b}.${c}`, SECRET, NOW));
    }),
  );
});
