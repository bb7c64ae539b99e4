import assert from "node:assert/strict";
import { test } from "vitest";
import type { LogRow } from "../contract.ts";
import { createOtlpSender, logsRequest, nanoseconds } from "./otlp.ts";
import { RefusedRows } from "./shipper.ts";

const row = (part: Partial<LogRow> = {}): LogRow => ({
  agentId: "agent-a",
  replica: "r1",
  sequence: 1,
  timestamp: "2026-11-30T00:00:00.250Z",
  level: "WARN",
  message: "hello",
  source: "runtime",
  metadata: {},
  ...part,
});

/** A sender whose collector answers so. */
function sender(status: number, text = "{}") {
  const seen: { url: string; headers: Record<string, string>; body: string }[] = [];
  const rejected: [number, string][] = [];
  const send = createOtlpSender(
    { url: "http://collector:4318/v1/logs", headers: { "x-key": "k" } },
    (lines, message) => rejected.push([lines, message]),
    async (url, headers, body) => {
      seen.push({ url, headers, body });
      return { status, text };
    },
  );
  return { rejected, seen, send: (rows: LogRow[]) => send(rows.map((one) => JSON.stringify(one))) };
}

test("lines of one replica are one resource, in their order", () => {
  const { resourceLogs } = logsRequest([
    row(),
    row({ replica: "r2" }),
    row({ sequence: 2, message: "again" }),
  ]);
  assert.deepEqual(
    resourceLogs.map(({ scopeLogs }) => scopeLogs[0]?.logRecords.map(({ body }) => body.stringValue)),
    [["hello", "again"], ["hello"]],
  );
  assert.deepEqual(resourceLogs[1]?.resource.attributes[2], {
    key: "service.instance.id",
    value: { stringValue: "r2" },
  });
});

test("a line keeps its time, level and every kind of detail", () => {
  const details = { text: "t", yes: true, whole: 3, part: 0.5, list: [1, "a"], nested: { a: null } };
  const [resource] = logsRequest([row({ metadata: details })]).resourceLogs;
  assert.deepEqual(resource?.scopeLogs[0]?.logRecords, [
    {
      timeUnixNano: `${Date.UTC(2026, 10, 30) / 1000}250000000`,
      observedTimeUnixNano: `${Date.UTC(2026, 10, 30) / 1000}250000000`,
      severityNumber: 13,
      severityText: "WARN",
      body: { stringValue: "hello" },
      attributes: [
        { key: "text", value: { stringValue: "t" } },
        { key: "yes", value: { boolValue: true } },
        { key: "whole", value: { intValue: "3" } },
        { key: "part", value: { doubleValue: 0.5 } },
        { key: "list", value: { arrayValue: { values: [{ intValue: "1" }, { stringValue: "a" }] } } },
        { key: "nested", value: { kvlistValue: { values: [{ key: "a", value: {} }] } } },
        { key: "launchpad.source", value: { stringValue: "runtime" } },
        { key: "launchpad.sequence", value: { intValue: "1" } },
      ],
    },
  ]);
});

test("a time keeps nine digits of its second", () => {
  assert.equal(nanoseconds("1970-01-01T00:00:01.123456789Z"), "1123456789");
  assert.equal(nanoseconds("1970-01-01T00:00:01Z"), "1000000000");
  assert.equal(nanoseconds("1970-01-01T01:00:01.5+01:00"), "1500000000");
});

test("a batch is one POST with the operator's headers", async () => {
  const { seen, send } = sender(200);
  await send([row()]);
  assert.deepEqual(
    [seen[0]?.url, seen[0]?.headers],
    ["http://collector:4318/v1/logs", { "x-key": "k", "content-type": "application/json" }],
  );
});

test("lines that the collector keeps out are counted", async () => {
  const text = '{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}';
  const { rejected, send } = sender(200, text);
  await send([row(), row({ sequence: 2 }), row({ sequence: 3 })]);
  assert.deepEqual(rejected, [[2, "too old"]]);
});

for (const [status, refused] of [
  [400, true],
  [413, true],
  [500, true],
  [401, false],
  [404, false],
  [429, false],
  [503, false],
] as const) {
  test(`${status}: the batch is ${refused ? "halved, and what is refused left out" : "kept and sent again"}`, async () => {
    await assert.rejects(sender(status, "why").send([row()]), (error: Error) => {
      assert.equal(error instanceof RefusedRows, refused);
      assert.match(error.message, new RegExp(`collector:4318 answered ${status}: why`));
      return true;
    });
  });
}
