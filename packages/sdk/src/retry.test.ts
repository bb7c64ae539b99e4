import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { AgentLaunchpadError, type ErrorCode } from "./errors.ts";
import { retryAfterOf, retryDelay } from "./retry.ts";

const limits = { maxRetries: 3, maxRetryWait: 65_000 };
const error = (code: ErrorCode, retryAfter?: number) =>
  new AgentLaunchpadError({ code, message: "x", retryAfter });
const delay = (
  code: ErrorCode,
  { count = 1, repeatable = true, retryAfter = undefined as number | undefined } = {},
) => retryDelay({ count, repeatable, error: error(code, retryAfter) }, limits, 1);

describe("whether a failed attempt is made again", () => {
  test("what did not reach the server is repeated where that is safe", () => {
    assert.equal(delay("SUPABASE_CONNECTION_ERROR"), 250);
    assert.equal(delay("TIMEOUT"), 250);
    assert.equal(delay("SUPABASE_CONNECTION_ERROR", { repeatable: false }), undefined);
    assert.equal(delay("TIMEOUT", { repeatable: false }), undefined);
  });

  test("what was refused for its rate is repeated whatever the method", () => {
    assert.equal(delay("RATE_LIMIT_EXCEEDED", { repeatable: false, retryAfter: 3 }), 3250);
  });

  test("a quota, a defect and a wrong request are final", () => {
    for (const code of [
      "RESOURCE_LIMIT_EXCEEDED",
      "INTERNAL_ERROR",
      "VALIDATION_ERROR",
      "CONFLICT",
    ] as const) {
      assert.equal(delay(code), undefined, code);
    }
  });

  test("it ends after the retries", () => {
    assert.notEqual(delay("TIMEOUT", { count: 3 }), undefined);
    assert.equal(delay("TIMEOUT", { count: 4 }), undefined);
  });

  test("the wait doubles, is spread over its upper half, and has an end", () => {
    const waits = [1, 2, 3, 4, 9].map((count) =>
      [0, 1].map((random) =>
        retryDelay(
          { count, repeatable: true, error: error("TIMEOUT") },
          { ...limits, maxRetries: 9 },
          random,
        ),
      ),
    );
    assert.deepEqual(waits, [
      [125, 250],
      [250, 500],
      [500, 1000],
      [1000, 2000],
      [4000, 8000],
    ]);
  });

  test("a server that asks for more time than there may be is not waited for", () => {
    assert.equal(delay("RATE_LIMIT_EXCEEDED", { retryAfter: 64 }), 64_250);
    assert.equal(delay("RATE_LIMIT_EXCEEDED", { retryAfter: 900 }), undefined);
  });
});

describe("Retry-After", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  const cases: [headers: Record<string, string>, seconds: number | undefined][] = [
    [{ "retry-after": "7" }, 7],
    [{ "retry-after": "Thu, 01 Jan 2026 00:00:05 GMT" }, 5],
    [{ "retry-after": "Wed, 31 Dec 2025 00:00:05 GMT" }, 0],
    [{ "retry-after": "soon" }, undefined],
    [{}, undefined],
    [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now / 1000 + 30) }, 30],
    [{ "x-ratelimit-remaining": "4", "x-ratelimit-reset": String(now / 1000 + 30) }, undefined],
    [{ "retry-after": "", "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now / 1000 - 30) }, 0],
  ];
  for (const [headers, seconds] of cases) {
    test(JSON.stringify(headers), () => assert.equal(retryAfterOf(new Headers(headers), now), seconds));
  }
});
