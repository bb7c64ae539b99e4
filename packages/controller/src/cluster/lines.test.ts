import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "vitest";
import { explainExit } from "./exit-reason.ts";
import { parseLine, readLines } from "./lines.ts";

const FALLBACK = { source: "stdout", level: "INFO" } as const;

function linesOf(...chunks: (string | Buffer)[]): string[] {
  const stream = new PassThrough();
  const lines: string[] = [];
  readLines(stream, (line) => lines.push(line));
  for (const chunk of chunks) stream.emit("data", Buffer.from(chunk));
  stream.emit("end");
  return lines;
}

test("lines are put together from chunks, also within a character", () => {
  const euro = Buffer.from("€");
  assert.deepEqual(linesOf("one\ntw", "o\n\nthr", euro.subarray(0, 1), euro.subarray(1)), [
    "one",
    "two",
    "thr€",
  ]);
});

test("a line without end is cut, and the next one is whole again", () => {
  const lines = linesOf("x".repeat(100_000), "y".repeat(100_000), "\nnext\n");
  assert.deepEqual(
    lines.map((line) => line.length),
    [65_536, 4],
  );
});

test("the runtime's JSON is read; anything else is a message", () => {
  const line = JSON.stringify({
    timestamp: "2030-01-01T00:00:00Z",
    level: "warn",
    message: "hello",
    source: "engine",
    metadata: { a: 1 },
  });
  assert.deepEqual(parseLine(line, FALLBACK), {
    timestamp: "2030-01-01T00:00:00.000Z",
    level: "WARN",
    message: "hello",
    source: "engine",
    metadata: { a: 1 },
  });
  const plain = parseLine("{not json", FALLBACK);
  assert.deepEqual([plain.level, plain.message, plain.source], ["INFO", "{not json", "stdout"]);
  const odd = parseLine('{"message":"m","level":"loud","timestamp":"soon","metadata":[1]}', FALLBACK);
  assert.deepEqual([odd.level, odd.metadata], ["INFO", {}]);
});

test("characters that Postgres does not store are left out", () => {
  const { message, metadata } = parseLine(
    '{"message":"a\\u0000b\\ud800","metadata":{"k\\u0000":["\\u0000"]}}',
    FALLBACK,
  );
  assert.equal(message, "ab\ufffd");
  assert.deepEqual(metadata, { k: [""] });
});

test("an exit is explained by its code and the last words", () => {
  const last = (message: string, metadata = {}) => ({
    agentId: "a",
    replica: "r",
    sequence: 1,
    timestamp: "",
    level: "ERROR" as const,
    source: "runtime",
    message,
    metadata,
  });
  assert.equal(
    explainExit({ code: 1, signal: null }, undefined).message,
    "It exited with code 1. It said nothing.",
  );
  assert.equal(
    explainExit({ code: null, signal: "SIGSEGV" }, last("ouch")).message,
    "It was ended by SIGSEGV. Its last words: ouch",
  );
  const oom = last("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory");
  assert.equal(explainExit({ code: null, signal: "SIGABRT" }, oom).reason, "OOMKilled");
  assert.equal(
    explainExit({ code: 78, signal: null }, last("no", { reason: "ENGINE_NOT_INSTALLED" })).reason,
    "ENGINE_NOT_INSTALLED",
  );
  assert.equal(
    explainExit({ code: 78, signal: null }, last("no", { reason: "free text" })).reason,
    "INVALID_CONFIG",
  );
});
