import assert from "node:assert/strict";
import { APICallError } from "ai";
import { test } from "vitest";
import { AddressError, UnknownHostError } from "../../../../../supabase/functions/_shared/addresses.ts";
import { LASTING } from "../../meter.ts";
import { mapModelError } from "./errors.ts";

/** What fetch throws for a key that cannot stand in a header. */
function headerError(key: string): unknown {
  try {
    return new Headers({ authorization: `Bearer ${key}` });
  } catch (error) {
    return error;
  }
}

for (const key of ["sk-…", "sk-a\nb"]) {
  test(`the key ${JSON.stringify(key)} is told as a key to set again, and repeated nowhere`, () => {
    const error = mapModelError(headerError(key), "openai", false);
    assert.equal(error.code, "MODEL_AUTHENTICATION_FAILED");
    assert.match(error.message, /key for openai .+ set it again\.$/);
    assert.equal(error.cause, undefined);
  });
}

test("another TypeError stays a defect", () => {
  assert.equal(mapModelError(new TypeError("x is not a function"), "openai", false).code, "INTERNAL_ERROR");
});

test("a host name that is not found: the network is named, no permission of an operator", () => {
  const failed = (cause: Error) => mapModelError(new TypeError("fetch failed", { cause }), "openai", false);
  const unknown = failed(new UnknownHostError("The host name was not found."));
  assert.equal(unknown.code, "MODEL_UNAVAILABLE");
  assert.match(unknown.message, /host name was not found\. Check the network/);
  const refused = failed(new AddressError("The host is not on the public Internet."));
  assert.match(refused.message, /not allowed: .* LAUNCHPAD_AGENT_PRIVATE_HOSTS/);
});

/** What providers answer to a key whose account is spent, and what only sounds like it. */
const refusals: [what: string, status: number, body: object, code: string][] = [
  [
    "OpenAI: no credit",
    429,
    {
      error: {
        message: "You exceeded your current quota.",
        type: "insufficient_quota",
        code: "insufficient_quota",
      },
    },
    "MODEL_QUOTA_EXHAUSTED",
  ],
  [
    "OpenAI: a limit in money",
    400,
    { error: { message: "Billing hard limit has been reached.", code: "billing_hard_limit_reached" } },
    "MODEL_QUOTA_EXHAUSTED",
  ],
  [
    "Anthropic: no credit",
    400,
    { type: "error", error: { type: "invalid_request_error", message: "Your credit balance is too low." } },
    "MODEL_QUOTA_EXHAUSTED",
  ],
  [
    "Google: a model without a quota",
    429,
    {
      error: {
        code: 429,
        status: "RESOURCE_EXHAUSTED",
        message: "Quota exceeded for metric: requests, limit: 0",
      },
    },
    "MODEL_QUOTA_EXHAUSTED",
  ],
  [
    "a payment that is required",
    402,
    { error: { message: "Insufficient credits" } },
    "MODEL_QUOTA_EXHAUSTED",
  ],
  [
    "Google: too many a minute",
    429,
    {
      error: {
        code: 429,
        status: "RESOURCE_EXHAUSTED",
        message: "Quota exceeded for metric: requests, limit: 10",
      },
    },
    "MODEL_RATE_LIMITED",
  ],
  [
    "OpenAI: too many a minute",
    429,
    { error: { code: "rate_limit_exceeded", message: "Slow" } },
    "MODEL_RATE_LIMITED",
  ],
  ["a wrong parameter", 400, { error: { message: "stop is not supported" } }, "MODEL_REQUEST_REJECTED"],
];
for (const [what, statusCode, body, code] of refusals) {
  test(`${what} (${statusCode}) is ${code}`, () => {
    const responseBody = JSON.stringify(body);
    const more = { message: "refused", url: "https://x.example", requestBodyValues: {} };
    const error = new APICallError({ ...more, statusCode, responseBody, data: body });
    assert.equal(mapModelError(error, "openai", false).code, code);
    assert.equal(LASTING.has(code), code !== "MODEL_RATE_LIMITED");
  });
}
