import assert from "node:assert/strict";
import { test } from "vitest";
import { parseRequests } from "./runtime.ts";

test("request counters are read from the runtime's text", () => {
  const text =
    "# HELP x y\nagent_requests_total 5\nagent_requests_errors_total 1\nagent_request_duration_seconds_sum 0.5\n";
  assert.deepEqual(parseRequests(text), { total: 5, success: 0, errors: 1, seconds: 0.5 });
  assert.equal(parseRequests("other 1"), null);
});
