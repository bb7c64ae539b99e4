import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { readJson } from "./read.ts";

const read = (text: string | Buffer) => readJson(Buffer.from(text));
const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;

describe("JSON is read where all programs read it alike", () => {
  for (const text of [
    '{"a":"\\u0041"}',
    '{"a":"\\\\u0000"}',
    '"\\ud83d\\ude00"',
    nested(100),
    `"${"[".repeat(500)}"`,
    " 1 ",
  ])
    test(text.slice(0, 40), () => assert.deepEqual(read(text), { value: JSON.parse(text) }));
});

describe("and refused where they differ or break", () => {
  for (const [name, text] of [
    ["no text", ""],
    ["a byte-order mark", "\ufeff{}"],
    ["UTF-16", Buffer.from("{}", "utf16le")],
    ["bytes that are no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
    ["a NUL", '"\\u0000"'],
    ["a NUL in a name", '{"\\u0000":1}'],
    ["half a character", '["\\uD800"]'],
    ["101 levels", nested(101)],
    ["levels behind a quote in a string", `["\\"",${nested(101)}]`],
    ["no JSON", "{a:1}"],
    ["two documents", "{}{}"],
  ] as const) {
    test(name, () => {
      const refused = read(text);
      assert.ok("cure" in refused);
      assert.equal(refused.field, "body");
    });
  }
});
