import assert from "node:assert/strict";
import { test } from "vitest";
import type { ColumnFacts, TableFacts } from "./catalog.ts";
import { type ChangeFacts, dataJson } from "./payload.ts";

const column = (name: string, roles: string[], isKey = false): ColumnFacts => ({
  name,
  roles,
  isKey,
  type: "text",
  sqlType: "text",
  oid: 25,
  kind: "b",
  element: 0,
  elementKind: "",
});
const table: TableFacts = {
  oid: 1,
  name: "public.t",
  rls: true,
  columns: [column("id", ["authenticated"], true), column("shown", ["authenticated"]), column("hidden", [])],
};
const facts = (action: ChangeFacts["action"]): ChangeFacts => ({
  action,
  schema: "public",
  table: "t",
  committedAt: new Date("2026-01-02T03:04:05.678Z"),
});
const row = new Map([
  ["id", '"1"'],
  ["shown", '"new"'],
  ["hidden", '"secret"'],
]);
const old = new Map([
  ["id", '"1"'],
  ["shown", '"old"'],
  ["hidden", '"secret"'],
]);
const view = { role: "authenticated", select: null, tooLarge: false };
const columns = [
  { name: "id", type: "text" },
  { name: "shown", type: "text" },
];
const common = {
  schema: "public",
  table: "t",
  commit_timestamp: "2026-01-02T03:04:05.678Z",
  columns,
  errors: null,
};
const read = (json: string) => JSON.parse(json);

test("an INSERT has a record and no old one; columns that may not be selected are absent", () => {
  assert.deepEqual(read(dataJson(facts("INSERT"), table, row, new Map(), view)), {
    ...common,
    type: "INSERT",
    record: { id: "1", shown: "new" },
  });
});

test("an UPDATE has both; a value that the log left out comes from the old row", () => {
  const toasted = new Map([["id", '"1"']]);
  assert.deepEqual(read(dataJson(facts("UPDATE"), table, toasted, old, view)), {
    ...common,
    type: "UPDATE",
    record: { id: "1", shown: "old" },
    old_record: { id: "1", shown: "old" },
  });
  // Without the old row's value the column is absent.
  const keyOnly = new Map([["id", '"1"']]);
  assert.deepEqual(read(dataJson(facts("UPDATE"), table, toasted, keyOnly, view)).record, { id: "1" });
});

test("a DELETE under RLS shows the key alone, without RLS what the log has", () => {
  assert.deepEqual(read(dataJson(facts("DELETE"), table, new Map(), old, view)), {
    ...common,
    type: "DELETE",
    old_record: { id: "1" },
  });
  const open = { ...table, rls: false };
  assert.deepEqual(read(dataJson(facts("DELETE"), open, new Map(), old, view)).old_record, {
    id: "1",
    shown: "old",
  });
});

test("a selection keeps the key", () => {
  const json = dataJson(facts("INSERT"), table, row, new Map(), { ...view, select: ["hidden"] });
  assert.deepEqual(read(json).record, { id: "1" });
});

test("of a row that is too large only short values are sent, with an error", () => {
  const large = new Map([
    ["id", '"1"'],
    ["shown", JSON.stringify("x".repeat(100))],
  ]);
  const json = read(dataJson(facts("INSERT"), table, large, new Map(), { ...view, tooLarge: true }));
  assert.deepEqual(json.record, { id: "1" });
  assert.deepEqual(json.errors, ["Error 413: Payload Too Large"]);
});
