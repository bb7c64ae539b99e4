import assert from "node:assert/strict";
import { test } from "vitest";
import { createLog, redact } from "./log.ts";

function gather(options = {}) {
  const lines: string[] = [];
  return { lines, log: createLog({ ...options, write: (line) => lines.push(line) }) };
}

test("a line is one JSON object with the five fields", () => {
  const { lines, log } = gather({ source: "s" });
  log.info("two\nlines", { a: 1 });
  const { timestamp, ...rest } = JSON.parse(lines[0] ?? "");
  assert.ok(!Number.isNaN(Date.parse(timestamp)));
  assert.deepEqual(rest, { level: "INFO", message: "two\nlines", source: "s", metadata: { a: 1 } });
  assert.ok(!lines[0]?.includes("\n"));
});

test("levels below the chosen one are dropped", () => {
  const { lines, log } = gather({ level: "WARN" });
  log.debug("d");
  log.info("i");
  log.warn("w");
  log.named("other").error("e");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)).map(({ level, source }) => [level, source]),
    [
      ["WARN", "runtime"],
      ["ERROR", "other"],
    ],
  );
});

test("a secret is never written, as it stands or as JSON escapes it", () => {
  assert.equal(
    redact("key sk-123456789 twice sk-123456789", ["sk-123456789"]),
    "key [secret] twice [secret]",
  );
  const { lines, log } = gather({ secrets: ['pass"word\\1'] });
  log.info('with pass"word\\1', { deep: { value: 'pass"word\\1' } });
  assert.ok(!lines[0]?.includes("word"));
  assert.equal(JSON.parse(lines[0] ?? "").metadata.deep.value, "[secret]");
});

test("metadata that is no JSON costs only itself", () => {
  const { lines, log } = gather();
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  log.info("kept", cycle);
  assert.equal(JSON.parse(lines[0] ?? "").message, "kept");
});

test("an endless message is cut", () => {
  const { lines, log } = gather();
  log.info("x".repeat(100_000));
  assert.ok((lines[0]?.length ?? 0) < 9_000);
});
