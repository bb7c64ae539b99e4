import assert from "node:assert/strict";
import { test } from "vitest";
import { shapeFault } from "./query-shape.ts";

const nested = (levels: number) => `${"or(".repeat(levels)}id.eq.1${")".repeat(levels)}`;
const names = (count: number) => Array.from({ length: count }, (_, n) => `a${n}:id`).join();

for (const [what, search, field] of [
  ["a filter that nests", `?or=(${nested(50)})`, "or"],
  ["an escaped filter that nests", `?or=%28${nested(50).replaceAll("(", "%28")})`, "or"],
  ["embedded tables that nest", `?select=${"agents(".repeat(51)}id${")".repeat(51)}`, "select"],
  ["columns", `?select=${names(201)}`, "select"],
  ["an order", `?limit=1&order=${names(201)}`, "order"],
  ["an order of an embedded table", `?messages.order=${names(201)}`, "messages.order"],
  ["columns and an order together", `?select=${names(101)}&order=${names(100)}`, "order"],
] as const) {
  test(`${what} beyond the limit is a fault with its field and a cure`, () => {
    const fault = shapeFault(`/agents${search}`);
    assert.equal(fault?.field, field);
    assert.ok(fault?.cure);
  });
}

test("what clients ask for is none", () => {
  const ids = Array.from({ length: 1500 }, (_, n) => n).join();
  for (const search of [
    "",
    `?id=in.(${ids})`,
    `?or=(${nested(10)})`,
    `?select=${names(100)}&order=${names(100)}`,
    `?name=eq.${")".repeat(60)}`,
  ])
    assert.equal(shapeFault(`/agents${search}`), undefined, search.slice(0, 60));
});
