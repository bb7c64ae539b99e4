import assert from "node:assert/strict";
import { test } from "vitest";
import { specOf } from "../testing/memory-database.ts";
import { canonical, templateOf } from "./template.ts";

test("a template is what a replica is started with, in any order of fields", () => {
  const spec = specOf({ settings: { a: 1, b: { c: 2 } } });
  const same = [
    { ...spec, settings: { b: { c: 2 }, a: 1 } },
    { ...spec, scalingPolicy: { max_replicas: 5 } },
  ];
  for (const other of same) assert.equal(templateOf(other, 0), templateOf(spec, 0));
  const different = [specOf({ ...spec, model: "x" }), specOf({ ...spec, secretVersions: { A: 2 } })];
  for (const other of different) assert.notEqual(templateOf(other, 0), templateOf(spec, 0));
  assert.notEqual(templateOf(spec, 1), templateOf(spec, 0));
  assert.equal(canonical({ b: undefined, a: [null, "x"] }), '{"a":[null,"x"]}');
});
