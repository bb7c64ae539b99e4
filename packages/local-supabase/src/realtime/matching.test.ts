import assert from "node:assert/strict";
import { test } from "vitest";
import { type CompiledFilter, judge, judgeSql } from "./matching.ts";

const TEXT = { typeOid: 25, typeName: "text", typeKind: "b" };
const INT8 = { typeOid: 20, typeName: "bigint", typeKind: "b" };
const NUMERIC = { typeOid: 1700, typeName: "numeric", typeKind: "b" };

function filter(op: CompiledFilter["op"], value: string, more: Partial<CompiledFilter> = {}): CompiledFilter {
  return { column: "c", op, value, canonical: [value], negate: false, ...TEXT, ...more };
}

const TABLE: [CompiledFilter, string | null, boolean | "ask"][] = [
  [filter("eq", "a"), "a", true],
  [filter("eq", "a"), "b", false],
  [filter("eq", "a", { negate: true }), "b", true],
  [filter("neq", "a"), "b", true],
  [filter("in", "{a,b}", { canonical: ["a", "b"] }), "b", true],
  [filter("in", "{a,b}", { canonical: ["a", "b"], negate: true }), "b", false],
  // SQL's three values: a null is neither equal nor unequal.
  [filter("eq", "a"), null, false],
  [filter("eq", "a", { negate: true }), null, false],
  [filter("neq", "a"), null, false],
  [filter("isdistinct", "a"), null, true],
  [filter("isdistinct", "a", { negate: true }), null, false],
  [filter("isdistinct", "a"), "b", true],
  [filter("is", "null"), null, true],
  [filter("is", "null"), "a", false],
  [filter("is", "null", { negate: true }), "a", true],
  [filter("is", "true"), "t", true],
  [filter("is", "true", { negate: true }), null, true],
  [filter("is", "unknown"), null, true],
  [filter("is", "false"), "f", true],
  // Numbers as numbers, beyond what a double holds.
  [filter("gt", "9", INT8), "10", true],
  [filter("gt", "9007199254740992", INT8), "9007199254740993", true],
  [filter("lte", "9", INT8), "10", false],
  [filter("gte", "9", INT8), "9", true],
  [filter("lt", "9", { ...INT8, negate: true }), "9", true],
  // Left to the database: equal numerics may be written differently, order of texts is a collation's.
  [filter("eq", "1.0", NUMERIC), "1.00", "ask"],
  [filter("gt", "a"), "b", "ask"],
  [filter("like", "a%"), "ab", "ask"],
  [filter("match", "^a"), "ab", "ask"],
];
for (const [wanted, value, verdict] of TABLE) {
  const not = wanted.negate ? "not." : "";
  test(`${wanted.typeName} ${value} against ${not}${wanted.op}.${wanted.value}: ${verdict}`, () => {
    assert.equal(judge(wanted, value), verdict);
  });
}

test("what is left to the database is quoted and cast", () => {
  const quote = (text: string) => `'${text.replaceAll("'", "''")}'`;
  assert.equal(judgeSql(filter("ilike", "o'%"), "O'x", quote), "('O''x'::text ilike ('o''%'::text))");
  assert.equal(
    judgeSql(filter("in", "{1,2}", { ...NUMERIC, negate: true }), "1.0", quote),
    "not ('1.0'::numeric = any ('{1,2}'::numeric[]))",
  );
});
