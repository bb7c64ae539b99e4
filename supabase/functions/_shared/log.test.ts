import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { logLine } from "./log.ts";

describe("a log line", () => {
  const entry = { requestId: "r", method: "GET", path: "/api/agents", durationMs: 1 };
  for (const [status, level] of [
    [200, "INFO"],
    [404, "WARN"],
    [503, "ERROR"],
  ] as const) {
    it(`of ${status} is ${level}`, () => {
      const line = JSON.parse(logLine({ ...entry, status }, 0)) as Record<string, unknown>;
      assert.deepEqual(line, {
        timestamp: "1970-01-01T00:00:00.000Z",
        level,
        source: "api",
        message: "request",
        ...entry,
        status,
      });
    });
  }
});
