import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type ErrorCode, errorCodes, errorEnvelope } from "./contract/index.ts";
import { envelopeOf, failureOf } from "./failure.ts";

const USER = "8c9e6679-7425-40de-944b-e07fc1f90ae7";

describe("an upstream error", () => {
  const cases: [status: number, body: unknown, subject: string | null, code: ErrorCode][] = [
    [401, { code: "PGRST301", message: "JWT expired" }, USER, "INVALID_JWT_TOKEN"],
    [401, { code: "PGRST303", message: "JWT expired" }, USER, "INVALID_JWT_TOKEN"],
    [401, { code: "PGRST302", message: "Anonymous access is disabled" }, null, "INVALID_JWT_TOKEN"],
    [
      401,
      { code: "42501", message: "permission denied for function list_agents" },
      null,
      "INVALID_JWT_TOKEN",
    ],
    [401, { message: "Invalid API key", hint: "Double check your API key." }, USER, "INVALID_JWT_TOKEN"],
    [401, "Unauthorized", USER, "INVALID_JWT_TOKEN"],
    [
      403,
      { code: "42501", message: "permission denied for function list_agents" },
      null,
      "INVALID_JWT_TOKEN",
    ],
    [403, { code: "42501", message: "permission denied for table agents" }, USER, "INSUFFICIENT_PERMISSIONS"],
    [
      403,
      { code: "42501", message: "new row violates row-level security policy" },
      USER,
      "RLS_ACCESS_DENIED",
    ],
    [400, { code: "22P05", message: "unsupported Unicode escape sequence" }, USER, "VALIDATION_ERROR"],
    [400, { code: "22003", message: "integer out of range" }, USER, "VALIDATION_ERROR"],
    [400, { code: "23514", message: "violates check constraint" }, USER, "VALIDATION_ERROR"],
    [400, { code: "PGRST102", message: "Empty or invalid json" }, USER, "VALIDATION_ERROR"],
    [
      409,
      { code: "23505", message: "duplicate key", details: "Key (name)=(secret) already exists." },
      USER,
      "CONFLICT",
    ],
    [500, { code: "40P01", message: "deadlock detected" }, USER, "CONFLICT"],
    [
      500,
      { code: "57014", message: "canceling statement due to statement timeout" },
      USER,
      "SUPABASE_CONNECTION_ERROR",
    ],
    [500, { code: "57P01", message: "terminating connection" }, USER, "SUPABASE_CONNECTION_ERROR"],
    [503, { code: "PGRST000", message: "Database connection error" }, USER, "SUPABASE_CONNECTION_ERROR"],
    [
      503,
      { code: "PGRST002", message: "Could not query the database for the schema cache" },
      USER,
      "SUPABASE_CONNECTION_ERROR",
    ],
    [404, { code: "PGRST202", message: "Could not find the function" }, USER, "SUPABASE_CONNECTION_ERROR"],
    [500, { code: "XX000", message: "cache lookup failed" }, USER, "INTERNAL_ERROR"],
    [400, { code: "P0001", message: "raised" }, USER, "INTERNAL_ERROR"],
    [500, { code: "PGRST121", message: "Could not parse JSON in the PGRST error" }, USER, "INTERNAL_ERROR"],
    [502, "<html>Bad gateway</html>", USER, "SUPABASE_CONNECTION_ERROR"],
    [500, { code: "", message: "no connection to the server" }, USER, "SUPABASE_CONNECTION_ERROR"],
    [404, "not here", USER, "SUPABASE_CONNECTION_ERROR"],
    [413, "too large", USER, "PAYLOAD_TOO_LARGE"],
    [429, { message: "slow down" }, USER, "RATE_LIMIT_EXCEEDED"],
    [302, "", USER, "SUPABASE_CONNECTION_ERROR"],
    ...Object.entries(errorCodes).map(([code, { status }]): [number, unknown, string, ErrorCode] => [
      status,
      { code, message: "m" },
      USER,
      code as ErrorCode,
    ]),
  ];
  for (const [status, body, subject, code] of cases) {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    it(`${status} ${text.slice(0, 60)} is ${code}`, () => {
      const failure = failureOf(status, text, null, subject);
      assert.equal(failure.code, code);
      const { error } = errorEnvelope.parse(envelopeOf(failure, "req-1", subject, 0));
      assert.ok(error.message.length > 0);
      assert.doesNotMatch(JSON.stringify(error), /secret|constraint|cache lookup/);
      const own = text.includes(`"code":"${code}"`);
      const accepted = own || (status < 500 && text.includes('"code":"'));
      assert.equal(error.user_id, accepted && status !== 401 && code !== "INVALID_JWT_TOKEN" ? USER : null);
    });
  }

  it("of our own keeps message and details", () => {
    const details = { limit_type: "api", limit: 100 };
    const body = {
      code: "RATE_LIMIT_EXCEEDED",
      message: "Rate limit exceeded",
      details: JSON.stringify(details),
    };
    const failure = failureOf(429, JSON.stringify(body), "active", USER);
    assert.deepEqual(envelopeOf(failure, "req-1", USER, 0), {
      error: {
        code: "RATE_LIMIT_EXCEEDED",
        message: "Rate limit exceeded",
        timestamp: "1970-01-01T00:00:00.000Z",
        requestId: "req-1",
        user_id: USER,
        supabase_details: { rls_applied: true, user_isolation: "active" },
        details,
      },
    });
  });

  it("tells what is known of row-level security", () => {
    const text = JSON.stringify({ code: "CONFLICT", message: "m" });
    const known = (header: string | null) => failureOf(409, text, header, USER).isolation;
    assert.deepEqual(known("active"), { rls_applied: true, user_isolation: "active" });
    assert.deepEqual(known("compromised"), { rls_applied: false, user_isolation: "compromised" });
    assert.deepEqual(known(null), { rls_applied: false, user_isolation: "unknown" });
  });

  it("with details that are no JSON object loses them, not the error", () => {
    for (const details of ["plain text", "[1]", "7", null]) {
      const failure = failureOf(409, JSON.stringify({ code: "CONFLICT", message: "m", details }), null, USER);
      assert.equal(failure.details, undefined);
      assert.equal(failure.code, "CONFLICT");
    }
  });
});
