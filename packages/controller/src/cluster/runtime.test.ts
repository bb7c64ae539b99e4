import assert from "node:assert/strict";
import { test } from "vitest";
import { parseFigures } from "./runtime.ts";

test("counters are read from the Prometheus text; without them there are none", () => {
  const text =
    "# HELP x y\nagent_requests_total 5\nagent_requests_errors_total 1\nagent_request_duration_seconds_sum 0.5\n";
  assert.deepEqual(parseFigures(text).requests, { total: 5, success: 0, errors: 1, seconds: 0.5 });
  assert.equal(parseFigures("other 1").requests, null);
});

test("a runtime that does not say for how long it has been idle has no idle time", () => {
  assert.equal(parseFigures("agent_idle_seconds 12.5\n").idleSeconds, 12.5);
  assert.equal(parseFigures("agent_idle_seconds 0\n").idleSeconds, 0);
  assert.equal(parseFigures("agent_requests_total 5\n").idleSeconds, null);
});
