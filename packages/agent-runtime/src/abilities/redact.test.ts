// What a trace keeps of arguments and results: no secret, whatever else is in them.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { redactArguments, redactText } from "./redact.ts";

describe("redactArguments", () => {
  it("blanks values with a secret's name, also where the arguments are too long to be kept whole", () => {
    const many = Array.from({ length: 3_000 }, (_, n) => n);
    for (const more of [{}, { many }, { text: "x".repeat(100_000) }]) {
      const kept = JSON.stringify(redactArguments({ password: "correct horse", ...more }));
      assert.ok(!kept.includes("correct horse"), kept.slice(0, 200));
      assert.ok(Buffer.byteLength(kept) <= 4_096, `${kept.length}`);
    }
  });
});

describe("redactText", () => {
  for (const key of [
    `AIzaSy${"A1b2".repeat(8)}`, // as Google writes keys: nothing between the mark and the rest
    `sk-proj-${"a1B2".repeat(10)}`,
    `sk-ant-api03-${"a1B2".repeat(10)}`,
    `Bearer ${"a1B2".repeat(8)}`,
  ]) {
    it(`blanks ${key.slice(0, 8)}… though the agent does not have it`, () => {
      assert.equal(redactText(`It is ${key}, and wrong.`), "It is [secret], and wrong.");
    });
  }

  it("leaves ordinary words", () => {
    const text = "keyboards, key figures and risk-averse task-management";
    assert.equal(redactText(text), text);
  });
});
