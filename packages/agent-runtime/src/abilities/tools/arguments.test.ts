/** Arguments judged by a user's schema: what fits, and that neither patterns nor recursion hold the function up. */
import assert from "node:assert/strict";
import { describe, it, vi } from "vitest";
import { judgeArguments } from "./arguments.ts";

const object = (properties: object, more: object = {}) => ({ type: "object", properties, ...more });
const problems = (schema: object, given: object): readonly string[] => {
  const judged = judgeArguments(schema as Record<string, unknown>, given as Record<string, unknown>);
  return "problems" in judged ? judged.problems : [];
};

describe("a pattern is judged", () => {
  const code = { type: "string", pattern: "^[A-Z]{2}-\\d+$" };
  for (const [place, schema, right, wrong] of [
    ["of a property", object({ x: code }), { x: "AB-1" }, { x: "ab" }],
    ["found anywhere", object({ x: { type: "string", pattern: "b" } }), { x: "abc" }, { x: "acd" }],
    ["with a description", object({ x: { ...code, description: "d" } }), { x: "AB-1" }, { x: "ab" }],
    ["with a default", object({ x: { ...code, default: "AB-1" } }), {}, { x: "ab" }],
    ["of an optional null", object({ x: { ...code, type: ["string", "null"] } }), { x: null }, { x: "ab" }],
    ["without a type", object({ x: { pattern: "^a" } }), { x: 1 }, { x: "b" }],
    ["in an array", object({ x: { type: "array", items: code } }), { x: ["AB-1"] }, { x: ["AB-1", "ab"] }],
    ["in a tuple", object({ x: { type: "array", prefixItems: [code] } }), { x: ["AB-1"] }, { x: ["ab"] }],
    ["in anyOf", object({ x: { anyOf: [{ type: "number" }, code] } }), { x: "AB-1" }, { x: "ab" }],
    ["in oneOf", object({ x: { oneOf: [{ type: "number" }, code] } }), { x: 5 }, { x: "ab" }],
    ["in allOf", object({ x: { allOf: [{ type: "string" }, code] } }), { x: "AB-1" }, { x: "ab" }],
    ["of further properties", object({}, { additionalProperties: code }), { y: "AB-1" }, { y: "ab" }],
    ["of names", object({}, { propertyNames: { pattern: "^[a-z]+$" } }), { y: 1 }, { Y: 1 }],
    ["in contains", object({ x: { type: "array", contains: code } }), { x: [1, "AB-1"] }, { x: [1, "ab"] }],
    [
      "behind a reference",
      object({ x: { $ref: "#/$defs/code" } }, { $defs: { code } }),
      { x: "AB-1" },
      { x: "ab" },
    ],
    [
      "behind a recursive reference",
      object(
        { x: { $ref: "#/$defs/node" } },
        { $defs: { node: object({ code, next: { $ref: "#/$defs/node" } }) } },
      ),
      { x: { next: { code: "AB-1" } } },
      { x: { next: { next: { code: "ab" } } } },
    ],
  ] as const) {
    it(place, () => {
      assert.deepEqual(problems(schema, right), []);
      assert.equal(problems(schema, wrong).length, 1, JSON.stringify(problems(schema, wrong)));
    });
  }

  it("by an engine of linear time, never by RegExp", () => {
    const pattern = "x*x*y";
    const tested: string[] = [];
    const { exec } = RegExp.prototype;
    vi.spyOn(RegExp.prototype, "exec").mockImplementation(function (this: RegExp, text: string) {
      tested.push(this.source);
      return exec.call(this, text);
    });
    const schema = object({ x: { type: "string", pattern }, y: { type: "array", contains: { pattern } } });
    assert.equal(problems(schema, { x: "x".repeat(1000), y: ["xy"] }).length, 1);
    assert.ok(!tested.includes(pattern));
  });

  it("and names the argument and the pattern", () => {
    assert.deepEqual(problems(object({ x: code }), { x: "ab" }), [
      "x: Must match the pattern ^[A-Z]{2}-\\d+$",
    ]);
  });
});

it("a property named pattern is a property; constants keep theirs", () => {
  const schema = object({
    pattern: { type: "string" },
    x: { type: "object", default: { pattern: "a" } },
  });
  assert.deepEqual(judgeArguments(schema, { pattern: "(" }), {
    arguments: { pattern: "(", x: { pattern: "a" } },
  });
  assert.equal(problems(schema, { pattern: 1 }).length, 1);
});

it("defaults are filled in, and further arguments stay", () => {
  const judged = judgeArguments(object({ x: { type: "string", default: "d" } }), { y: 1 });
  assert.deepEqual(judged, { arguments: { x: "d", y: 1 } });
});

it("many alternatives for many values end after a number of steps", () => {
  const alternatives = Array.from({ length: 50 }, (_, n) => ({ type: "string", const: `${n}` }));
  const schema = object({ x: { type: "array", items: { anyOf: alternatives } } });
  assert.deepEqual(problems(schema, { x: Array(1000).fill("1") }), []);
  const started = process.cpuUsage();
  assert.match(problems(schema, { x: Array(60_000).fill("a") })[0] ?? "", /Too many values/);
  assert.ok(process.cpuUsage(started).user < 5_000_000);
});

it("arguments beyond 256 KiB are refused before they are judged", () => {
  assert.match(problems(object({}), { x: "x".repeat(300_000) })[0] ?? "", /at most 262144 characters/);
});

it("a pattern that is none, and patternProperties, make a schema that cannot be used", () => {
  assert.throws(() => judgeArguments(object({ x: { type: "string", pattern: "(" } }), {}));
  assert.throws(() => judgeArguments(object({}, { patternProperties: { a: {} } }), {}));
  assert.throws(() => judgeArguments(object({ x: { type: "string", pattern: "(a)\\1" } }), {}));
});
