import assert from "node:assert/strict";
import { test } from "vitest";
import { createRedactor, createSplitRedactor } from "./redact.ts";

test("secrets are masked at every depth, in names too, and short ones are left", () => {
  const redact = createRedactor([
    "hunter22",
    "hunter22-longer",
    "short",
    'with "quotes"\nand lines that are long enough',
  ]);
  assert.deepEqual(
    redact({
      a: "x hunter22-longer y hunter22",
      hunter22: [{ b: 'with "quotes"\nand lines that are long enough' }],
      c: 5,
    }),
    { a: "x *** y ***", "***": [{ b: "***" }], c: 5 },
  );
  assert.equal(redact("short"), "short");
  assert.equal(redact("… and lines that are long enough …"), "… *** …");
  assert.equal(
    redact(JSON.stringify({ key: 'with "quotes"\nand lines that are long enough' })),
    '{"key":"***"}',
  );
});

test("without secrets nothing is copied", () => {
  const value = { a: 1 };
  assert.equal(createRedactor([])(value), value);
});

test("of a secret over two or three lines the rest is masked", () => {
  const split = (...lines: string[]) => lines.map(createSplitRedactor(["correct-horse-battery"]));
  assert.deepEqual(split("key: correct-ho", "rse-battery end"), ["key: correct-ho", "*** end"]);
  assert.deepEqual(split("correct-", "horse-", "battery"), ["correct-", "***", "***"]);
  assert.deepEqual(split("correct", "anything else", "horse-battery"), [
    "correct",
    "anything else",
    "horse-battery",
  ]);
  const coded = Buffer.from("correct-horse-battery").toString("base64");
  assert.equal(split(coded.slice(0, 12), coded.slice(12))[1], "***");
  assert.deepEqual(["a", "b"].map(createSplitRedactor([])), ["a", "b"]);
});
