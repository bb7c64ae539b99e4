import assert from "node:assert/strict";
import { test } from "vitest";
import { CliError } from "./errors.ts";
import type { Outcome } from "./exit-codes.ts";
import { explain } from "./explain.ts";

const url = "https://abc.supabase.co";
const network = (code: string) =>
  new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code }) });
const api = (facts: object) =>
  Object.assign(new Error("The API's words"), { name: "AgentLaunchpadError" }, facts);
const auth = (code: string | undefined, status: number, name = "AuthApiError") =>
  Object.assign(new Error("Auth's words"), { name, code, status });

const cases: [what: string, error: unknown, outcome: Outcome, says: RegExp][] = [
  [
    "a refused connection",
    network("ECONNREFUSED"),
    "unreachable",
    /abc\.supabase\.co cannot be reached \(connection refused\)/,
  ],
  ["an unknown host", network("ENOTFOUND"), "unreachable", /no such host/],
  [
    "several refused addresses",
    new TypeError("fetch failed", {
      cause: new AggregateError([Object.assign(new Error(), { code: "ECONNREFUSED" })]),
    }),
    "unreachable",
    /connection refused/,
  ],
  ["a time-out", new DOMException("late", "TimeoutError"), "unreachable", /no answer in time/],
  [
    "the SDK's failure of the network",
    api({ code: "SUPABASE_CONNECTION_ERROR", status: 0, cause: network("ECONNREFUSED") }),
    "unreachable",
    /connection refused/,
  ],
  ["an invalid token", api({ code: "INVALID_JWT_TOKEN", status: 401 }), "unauthenticated", /launchpad login/],
  [
    "a missing permission",
    api({ code: "INSUFFICIENT_PERMISSIONS", status: 403 }),
    "forbidden",
    /The API's words/,
  ],
  ["another's agent", api({ code: "AGENT_NOT_FOUND", status: 404 }), "notFound", /The API's words/],
  [
    "a wrong field",
    api({ code: "VALIDATION_ERROR", status: 400, details: { a: "b" } }),
    "invalid",
    /The API's words/,
  ],
  ["a conflict", api({ code: "CONFLICT", status: 409 }), "conflict", /The API's words/],
  [
    "a rate limit",
    api({ code: "RATE_LIMIT_EXCEEDED", status: 429, retryAfter: 12 }),
    "limited",
    /Try again in 12 s\.$/,
  ],
  ["a quota", api({ code: "AGENT_LIMIT_REACHED", status: 403 }), "limited", /The API's words/],
  ["a failed answer", api({ code: "ANSWER_FAILED", status: 0 }), "failed", /The API's words/],
  [
    "an answer that failed for want of a key",
    api({ code: "ANSWER_FAILED", status: 0, details: { code: "MODEL_UNCONFIGURED" } }),
    "failed",
    /words\. Set one with `launchpad secrets set <agent> OPENAI_API_KEY`\.$/,
  ],
  ["a blocked deployment", api({ code: "SECURITY_SCAN_FAILED", status: 422 }), "refuted", /The API's words/],
  [
    "another server",
    api({ code: "INVALID_RESPONSE", status: 200 }),
    "internal",
    /does not answer as Agent Launchpad does/,
  ],
  ["a defect", api({ code: "INTERNAL_ERROR", status: 500 }), "internal", /request id/],
  ["a wrong key", { message: "Invalid API key", status: 401 }, "unauthenticated", /publishable key/],
  ["a wrong password", auth("invalid_credentials", 400), "unauthenticated", /password is wrong/],
  ["a mail to nobody's address", auth("otp_disabled", 422), "unauthenticated", /--sign-up to create one/],
  ["a used code", auth("otp_expired", 403), "unauthenticated", /ask for another/],
  ["an account that exists", auth("user_already_exists", 422), "conflict", /--sign-up/],
  ["a session that ended", auth("refresh_token_not_found", 400), "unauthenticated", /has expired/],
  ["Auth out of reach", auth(undefined, 0, "AuthRetryableFetchError"), "unreachable", /cannot be reached/],
  [
    "PostgREST's own form",
    { code: "42501", message: "permission denied", status: 403, details: null },
    "forbidden",
    /permission denied\./,
  ],
  [
    "PostgREST out of reach",
    {
      message: "TypeError: fetch failed",
      details: "TypeError: fetch failed\n\nCaused by: Error: connect ECONNREFUSED 127.0.0.1:1 (ECONNREFUSED)",
      code: "",
      status: 0,
    },
    "unreachable",
    /abc\.supabase\.co cannot be reached \(connection refused\)/,
  ],
  [
    "PostgREST out of reach for no known reason",
    { message: "TypeError: fetch failed", details: "", code: "", status: 0 },
    "unreachable",
    /cannot be reached \(the request failed\)/,
  ],
  ["an unknown error", new Error("boom"), "internal", /^boom\. `--debug` shows where\.$/],
  ["not even an error", "boom", "internal", /^boom\./],
];

for (const [what, error, outcome, says] of cases) {
  test(`${what} is one sentence and "${outcome}"`, () => {
    const explained = explain(error, { url });
    assert.equal(explained.outcome, outcome);
    assert.match(explained.message, says);
    assert.doesNotMatch(explained.message, /\n/);
  });
}

test("a local project that does not answer is to be started", () => {
  assert.match(explain(network("ECONNREFUSED"), { url, local: true }).message, /npm start/);
  assert.doesNotMatch(explain(network("ECONNREFUSED"), { url }).message, /npm start/);
});

test("a login for a stack that runs elsewhere by now says where", () => {
  const movedTo = "http://127.0.0.1:4000";
  const { message } = explain(network("ECONNREFUSED"), {
    url: "http://127.0.0.1:3000",
    local: true,
    movedTo,
  });
  assert.match(
    message,
    /runs at http:\/\/127\.0\.0\.1:4000: add `--url http:\/\/127\.0\.0\.1:4000` to `launchpad login`/,
  );
  assert.doesNotMatch(message, /npm start/);
});

test("a token of the environment is not to be renewed by signing in", () => {
  const { message } = explain(api({ code: "INVALID_JWT_TOKEN", status: 401 }), { url, token: true });
  assert.match(message, /LAUNCHPAD_TOKEN/);
  assert.doesNotMatch(message, /launchpad login/);
});

test("fields come from an object and from PostgREST's text", () => {
  const fields = { name: "Name is required" };
  for (const details of [fields, JSON.stringify(fields)])
    assert.deepEqual(explain(api({ code: "VALIDATION_ERROR", status: 400, details })).details, fields);
  assert.equal(
    explain(api({ code: "VALIDATION_ERROR", status: 400, details: "{not json" })).details,
    undefined,
  );
});

test("what is explained stays as it is", () => {
  const error = new CliError("conflict", "So it is.");
  assert.equal(explain(error), error);
});
