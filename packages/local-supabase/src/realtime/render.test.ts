import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { arrayLiteral, parseArray, renderValue, type TypeFacts } from "./render.ts";

const base = (oid: number): TypeFacts => ({ oid, kind: "b", element: 0, elementKind: "" });
const array = (element: number): TypeFacts => ({ oid: 1, kind: "b", element, elementKind: "b" });

// Each as to_jsonb() of the value says it.
const TABLE: [string, TypeFacts, string | null, unknown][] = [
  ["null", base(25), null, null],
  ["text", base(25), 'a"\n', 'a"\n'],
  ["bool", base(16), "t", true],
  ["int4", base(23), "-5", -5],
  ["float8", base(701), "1e-07", 1e-7],
  ["float8 NaN", base(701), "NaN", "NaN"],
  ["numeric", base(1700), "12.50", 12.5],
  ["jsonb", base(3802), '{"a": [1, null]}', { a: [1, null] }],
  ["timestamptz", base(1184), "2026-11-21 22:58:59.123+00", "2026-11-21T22:58:59.123+00:00"],
  ["timestamptz infinity", base(1184), "infinity", "infinity"],
  ["timestamptz BC", base(1184), "0044-03-15 00:00:00+00 BC", "0044-03-15T00:00:00+00:00 BC"],
  ["timestamp", base(1114), "2026-11-21 22:58:59", "2026-11-21T22:58:59"],
  ["date", base(1082), "2026-11-21", "2026-11-21"],
  ["uuid", base(2950), "01a2006a-e2eb-73ca-a4c0-449056cf37a9", "01a2006a-e2eb-73ca-a4c0-449056cf37a9"],
  ["bytea", base(17), "\\x00ff", "\\x00ff"],
  ["interval", base(1186), "1 day", "1 day"],
  ["int4range", { ...base(3904), kind: "r" }, "[1,5)", "[1,5)"],
  ["enum", { oid: 20_000, kind: "e", element: 0, elementKind: "" }, "happy", "happy"],
  ["text[]", array(25), '{a,"b,c",NULL,"NULL",""}', ["a", "b,c", null, "NULL", ""]],
  [
    "int4[][]",
    array(23),
    "{{1,2},{3,4}}",
    [
      [1, 2],
      [3, 4],
    ],
  ],
  ["empty array", array(25), "{}", []],
  ["timestamptz[]", array(1184), '{"2026-01-01 00:00:00+00"}', ["2026-01-01T00:00:00+00:00"]],
];
for (const [name, type, value, expected] of TABLE) {
  test(`${name} is rendered as to_jsonb does`, () => {
    const json = renderValue(value, type);
    assert.ok(json !== undefined);
    assert.deepEqual(JSON.parse(json), expected);
  });
}

test("an int8 keeps all its digits", () => {
  assert.equal(renderValue("9223372036854775807", base(20)), "9223372036854775807");
});

test("composites, domains, extensions' types and arrays with bounds are asked of the database", () => {
  assert.equal(renderValue("(1,a)", { oid: 20_001, kind: "c", element: 0, elementKind: "" }), undefined);
  assert.equal(renderValue("a=>1", { oid: 20_002, kind: "b", element: 0, elementKind: "" }), undefined);
  assert.equal(renderValue("x", { oid: 20_003, kind: "d", element: 0, elementKind: "" }), undefined);
  assert.equal(renderValue("[0:1]={1,2}", array(23)), undefined);
  assert.equal(renderValue('{"(1,a)"}', { oid: 1, kind: "b", element: 20_001, elementKind: "c" }), undefined);
});

test("an array literal is read as it was written", () => {
  const item = fc.option(fc.string({ unit: "grapheme" }), { nil: null });
  fc.assert(
    fc.property(fc.array(item), (items) => {
      assert.deepEqual(parseArray(arrayLiteral(items)), items);
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseArray(`{${text}`);
    }),
    { numRuns: 3000 },
  );
});
