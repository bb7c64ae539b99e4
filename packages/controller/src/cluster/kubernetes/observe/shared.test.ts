import assert from "node:assert/strict";
import { test } from "vitest";
import { SharedParts } from "./shared.ts";

const deployment = (name: string) => ({
  metadata: { name, labels: { agent: name } },
  spec: { probe: { path: "/ready", periodSeconds: 2, ports: ["http", 8080] }, replicas: 1, paused: null },
});

test("equal parts become one copy, and what is kept equals what was given", () => {
  const parts = new SharedParts();
  const [one, two] = [deployment("agent-one"), deployment("agent-two")].map((object) => parts.of(object));
  assert.deepEqual([one, two], [deployment("agent-one"), deployment("agent-two")]);
  assert.equal(one?.spec, two?.spec);
  assert.notEqual(one?.metadata, two?.metadata);
});

test("values that only look alike stay apart", () => {
  const parts = new SharedParts();
  const values: unknown[] = [
    { a: 1 },
    { a: "1" },
    { a: null },
    { a: "null" },
    { a: true },
    { a: [] },
    { a: {} },
    [],
    {},
    { a: [1, 2] },
    { a: [[1], 2] },
    { a: { b: 1 }, c: 2 },
    { a: { b: 1, c: 2 } },
    { "a:1,b": 2 },
    { a: 1, b: 2 },
    { 'a":"x': "y" },
    { a: 'x",b:"y' },
    { 0: "x" },
    ["x"],
  ];
  for (let round = 0; round < 2; round += 1) {
    for (const value of values) assert.deepEqual(parts.of(structuredClone(value)), value);
  }
});

test("a shared part cannot be changed", () => {
  const shared = new SharedParts().of(deployment("agent-one"));
  assert.throws(() => {
    shared.spec.replicas = 2;
  }, TypeError);
});

test("a bounded number is remembered, and what is used often stays", () => {
  const parts = new SharedParts(10);
  const first = parts.of({ common: "everywhere" });
  for (let index = 0; index < 1000; index += 1) {
    parts.of({ only: `one-${index}` });
    assert.equal(parts.of({ common: "everywhere" }), first);
  }
});
