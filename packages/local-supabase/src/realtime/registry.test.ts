import assert from "node:assert/strict";
import { test } from "vitest";
import { identityOfKey } from "./claims.ts";
import type { CompiledFilter } from "./matching.ts";
import { type Entry, Registry } from "./registry.ts";

const target = { deliver() {}, flows() {}, warn() {}, end() {} };
const eq = (value: string): CompiledFilter => ({
  column: "agent_id",
  op: "eq",
  negate: false,
  value,
  canonical: [value],
  typeOid: 25,
  typeName: "text",
  typeKind: "b",
});
const entry = (filters: CompiledFilter[], action: Entry["action"] = "*"): Entry => ({
  table: 1,
  action,
  filters,
  select: null,
  identity: identityOfKey("anon"),
  owner: "guest:",
  needsPast: false,
  target,
  id: 1,
});
const found = (
  registry: Registry,
  agentId: string | null | undefined,
  action: "INSERT" | "DELETE" = "INSERT",
) => registry.candidates(1, action, () => agentId).flatMap(({ entries }) => [...entries]);

test("a change finds those who wait for its value, and those without a filter", () => {
  const registry = new Registry();
  const [a, b, all] = [entry([eq("a")]), entry([eq("b")]), entry([])];
  for (const each of [a, b, all]) registry.add(each);
  assert.deepEqual(new Set(found(registry, "a")), new Set([a, all]));
  assert.deepEqual(found(registry, null), [all]);
  assert.deepEqual(found(registry, undefined), [all]);
  assert.deepEqual(
    registry.candidates(2, "INSERT", () => "a"),
    [],
  );
});

test("equal filters are one group, however many listen", () => {
  const registry = new Registry();
  for (let i = 0; i < 10; i++) registry.add(entry([eq("a")]));
  const groups = registry.candidates(1, "INSERT", () => "a");
  assert.equal(groups.length, 1);
  assert.equal(groups[0]?.entries.size, 10);
});

test("an action that was not asked for finds nobody", () => {
  const registry = new Registry();
  registry.add(entry([eq("a")], "INSERT"));
  assert.equal(found(registry, "a", "DELETE").length, 0);
  assert.equal(found(registry, "a", "INSERT").length, 1);
});

test("what is removed is gone, and nothing of it stays", () => {
  const registry = new Registry();
  const [one, two] = [entry([eq("a")]), entry([eq("a")])];
  registry.add(one);
  registry.add(two);
  registry.remove(one);
  registry.remove(one);
  assert.deepEqual([registry.size, found(registry, "a")], [1, [two]]);
  registry.remove(two);
  assert.deepEqual([registry.size, found(registry, "a")], [0, []]);
});
