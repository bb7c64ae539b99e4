import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { parseChangeParams, parseFilters } from "./filters.ts";

const one = (text: string) => {
  const filters = parseFilters(text);
  assert.ok(!("error" in filters), JSON.stringify(filters));
  return filters.map(({ column, op, value, negate }) => [column, op, value, negate]);
};

// The first rows are the examples of hosted's own documentation of the parser.
const GOOD: [string, unknown[]][] = [
  ["subject=eq.hey", [["subject", "eq", "hey", false]]],
  ["subject=in.(hidee,ho)", [["subject", "in", "{hidee,ho}", false]]],
  ["subject=not.like.hey%", [["subject", "like", "hey%", true]]],
  [
    "id=gt.0,id=lt.100",
    [
      ["id", "gt", "0", false],
      ["id", "lt", "100", false],
    ],
  ],
  ["", []],
  ["   ", []],
  ['name=eq."a,b"', [["name", "eq", "a,b", false]]],
  ['name=eq."a\\"b"', [["name", "eq", 'a"b', false]]],
  ['name=eq.5" disk', [["name", "eq", '5" disk', false]]],
  ["at=gte.2026-01-01T00:00:00.5Z", [["at", "gte", "2026-01-01T00:00:00.5Z", false]]],
  [
    'id=in.(1,2),name=in.("a,b","c")',
    [
      ["id", "in", "{1,2}", false],
      ["name", "in", '{"a,b","c"}', false],
    ],
  ],
  ["a=is.null", [["a", "is", "null", false]]],
  ["a=not.is.null", [["a", "is", "null", true]]],
  [
    "a=imatch.^x,b=isdistinct.1",
    [
      ["a", "imatch", "^x", false],
      ["b", "isdistinct", "1", false],
    ],
  ],
  ["a=eq.b=c", [["a", "eq", "b=c", false]]],
];
for (const [text, expected] of GOOD) {
  test(`filter ${JSON.stringify(text)}`, () => assert.deepEqual(one(text), expected));
}

const BAD: [string, string][] = [
  ["subject=foo.hey", '["foo", "hey"]'],
  ["undefined", '["undefined"]'],
  ["a=eq", '["eq"]'],
  ["id=in.1,2", "`in` filter value must be wrapped by parentheses"],
  ["id=gt.0,", "filter must not contain empty segments (check for extra commas)"],
];
for (const [text, error] of BAD) {
  test(`no filter: ${text}`, () => assert.deepEqual(parseFilters(text), { error }));
}

test("params name a table, a schema or all of them", () => {
  const params = (given: Record<string, unknown>) => {
    const { action, schema, table } = parseChangeParams(given) as Record<string, unknown>;
    return [action, schema, table];
  };
  assert.deepEqual(params({ event: "INSERT", schema: "public", table: "a" }), ["INSERT", "public", "a"]);
  assert.deepEqual(params({ event: "update", schema: "public" }), ["UPDATE", "public", "*"]);
  assert.deepEqual(params({ table: "a" }), ["*", "public", "a"]);
  assert.deepEqual(params({ event: "TRUNCATE", schema: "*" }), ["*", "*", "*"]);
});

test("params that name nothing, or select of all tables, are refused in hosted's words", () => {
  assert.match(
    (parseChangeParams({}) as { error: string }).error,
    /^No subscription params provided\. Please provide at least a `schema` or `table`/,
  );
  assert.match(
    (parseChangeParams({ schema: "public", table: "a", filter: "x" }) as { error: string }).error,
    /^Error parsing `filter` params: \["x"\]$/,
  );
  assert.match(
    (parseChangeParams({ schema: "public", select: ["id"] }) as { error: string }).error,
    /^Column selection is not supported for wildcard subscriptions/,
  );
  assert.match(
    (parseChangeParams({ schema: "public", table: "a", select: "id" }) as { error: string }).error,
    /^Error parsing `select` params/,
  );
});

test("no filter makes the parser throw", () => {
  const piece = fc.constantFrom("a", "=", ".", ",", "(", ")", '"', "\\", "not.", "eq", "in", " ", "é");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      parseFilters(pieces.join(""));
    }),
    { numRuns: 5000 },
  );
});
