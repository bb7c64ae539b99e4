import assert from "node:assert/strict";
import { test } from "vitest";
import { parseConfig } from "../../config/read-config.ts";
import { AuthError } from "../errors.ts";
import { checkFrequency, createRateLimits, type Limited } from "./rate-limits.ts";

const START = Date.UTC(2026, 0, 1);

function limits(toml = "", mails = true) {
  const clock = { now: START };
  const made = createRateLimits(parseConfig(toml).auth.rate_limit, { mails, now: () => clock.now });
  const passes = (kind: Limited, times: number, address = "10.0.0.1") => {
    let passed = 0;
    for (let time = 0; time < times; time++)
      if (refusal(() => made.request(kind, address)) === "none") passed += 1;
    return passed;
  };
  return { made, clock, passes };
}

function refusal(act: () => void): string {
  try {
    act();
    return "none";
  } catch (error) {
    assert.ok(error instanceof AuthError);
    return `${error.status} ${error.code}: ${error.message}`;
  }
}

test("30 requests may come at once, then as many as the rate lets", () => {
  const { clock, passes } = limits("[auth.rate_limit]\ntoken_verifications = 60");
  assert.equal(passes("verify", 40), 30);
  clock.now += 60_000; // a fifth of five minutes
  assert.equal(passes("verify", 40), 12);
  clock.now += 3_600_000;
  assert.equal(passes("verify", 40), 30);
});

test("each address and each kind of request has its own count", () => {
  const { passes } = limits();
  assert.equal(passes("otp", 40), 30);
  assert.equal(passes("otp", 40, "10.0.0.2"), 30);
  assert.equal(passes("recover", 40), 30);
  assert.equal(passes("factor_verify", 40), 30);
});

test("this machine itself is not limited", () => {
  const { passes } = limits();
  for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
    assert.equal(passes("otp", 100, address), 100);
});

test("anonymous sign-ins have their hourly number as the burst", () => {
  const { passes, clock } = limits("[auth.rate_limit]\nanonymous_users = 2");
  assert.equal(passes("anonymous", 5), 2);
  clock.now += 1_800_000;
  assert.equal(passes("anonymous", 5), 1);
});

test("a refused request is 429 with its code", () => {
  const { made, passes } = limits();
  passes("signup", 30);
  assert.equal(
    refusal(() => made.request("signup", "10.0.0.1")),
    "429 over_request_rate_limit: Request rate limit reached",
  );
});

test("mails are counted by the hour, for everybody together", () => {
  const { made, clock } = limits("[auth.rate_limit]\nemail_sent = 2");
  made.email();
  made.email();
  assert.equal(
    refusal(() => made.email()),
    "429 over_email_send_rate_limit: email rate limit exceeded",
  );
  clock.now += 3_600_000;
  made.email();
  const uncounted = limits("[auth.rate_limit]\nemail_sent = 0", false);
  uncounted.made.email();
});

test("10,000 addresses are remembered, the latest ones", () => {
  const { passes } = limits();
  passes("otp", 30, "first");
  for (let index = 0; index < 9_999; index++) passes("otp", 1, `a${index}`);
  assert.equal(passes("otp", 1, "first"), 0, "still remembered");
  passes("otp", 1, "one more");
  assert.equal(passes("otp", 1, "first"), 1, "forgotten");
});

test("the same mail again too soon is refused with the seconds that are left", () => {
  const now = START;
  assert.equal(
    refusal(() => checkFrequency(new Date(now - 1500), 60_000, now)),
    "429 over_email_send_rate_limit: For security purposes, you can only request this after 58 seconds.",
  );
  checkFrequency(new Date(now - 60_000), 60_000, now);
  checkFrequency(null, 60_000, now);
});
