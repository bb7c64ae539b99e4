import assert from "node:assert/strict";
import { test } from "vitest";
import { createLog } from "./log.ts";

test("the log is JSON, leveled, and masks what is named like a secret", () => {
  const lines: string[] = [];
  const log = createLog((line) => lines.push(line), "info");
  log.debug("quiet");
  log.warn("look", {
    agentId: "a",
    leaseToken: "t",
    error: new Error("x", { cause: new Error("y") }),
    none: undefined,
  });
  const { timestamp, ...line } = JSON.parse(lines[0] ?? "");
  assert.ok(Date.parse(timestamp) > 0);
  assert.deepEqual(line, { level: "warn", message: "look", agentId: "a", leaseToken: "***", error: "x (y)" });
  assert.equal(lines.length, 1);
});
