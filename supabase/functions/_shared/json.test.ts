import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import { locateFault, parseJson, storageProblems } from "./json.ts";

describe("a fault in JSON", () => {
  const cases: [text: string, position: number, problem: string][] = [
    ["", 0, "unexpected end of text"],
    ["{", 1, "unexpected end of text"],
    ['{"a":1,}', 7, 'expected a name in double quotes instead of "}"'],
    ["{'a':1}", 1, `expected a name in double quotes instead of "'"`],
    ['{"a" 1}', 5, 'expected : instead of "1"'],
    ['{"a":1 "b":2}', 7, 'expected , or } instead of "\\""'],
    ["[1,]", 3, 'unexpected "]"'],
    ["[1 2]", 3, 'expected , or ] instead of "2"'],
    ["[1}", 2, 'expected , or ] instead of "}"'],
    ["tru", 0, 'unexpected "t"'],
    ["01", 1, 'unexpected "1" after the value'],
    ["{} x", 3, 'unexpected "x" after the value'],
    ['"a\nb"', 2, "unescaped control character in a string"],
    ['"a\\x"', 2, "unknown escape in a string"],
    ['"abc', 4, "unexpected end of text"],
    ["NaN", 0, 'unexpected "N"'],
  ];
  for (const [text, position, problem] of cases) {
    it(`${JSON.stringify(text)}: ${problem} at ${position}`, () => {
      const fault = locateFault(text);
      assert.equal(fault.problem, problem);
      assert.equal(fault.position, position);
    });
  }

  it("has a line and a column", () => {
    const { line, column } = locateFault('{\n  "a": 1,\n  b\n}');
    assert.deepEqual({ line, column }, { line: 3, column: 3 });
  });

  it("is found where, and only where, the engine refuses", () => {
    const broken = fc.tuple(
      fc.json(),
      fc.nat(),
      fc.constantFrom("", ",", "}", '"', "\\", "0", "e", "\u0001", ":"),
    );
    fc.assert(
      fc.property(broken, ([json, at, inserted]) => {
        const cut = at % (json.length + 1);
        const text = json.slice(0, cut) + inserted + json.slice(cut + 1);
        const result = parseJson(text);
        if ("value" in result) return;
        assert.ok(result.fault.position <= text.length);
        assert.ok(result.fault.problem.length > 0);
        // Everything before the fault could still begin a JSON text: a shorter prefix faults at its own end or not at all.
        const prefix = parseJson(text.slice(0, result.fault.position));
        if ("fault" in prefix) assert.ok(prefix.fault.position <= result.fault.position);
      }),
      { numRuns: 2000 },
    );
  });

  it("does not exhaust the stack", () => {
    const deep = `${"[".repeat(500_000)}x`;
    assert.equal(locateFault(deep).position, 500_000);
  });
});

describe("what cannot be stored", () => {
  const cases: [json: string, problems: Record<string, string>][] = [
    ['{"a":[1,"x",null,true]}', {}],
    ['{"a":{"b":["ok","\\u0000"]}}', { "a.b.1": "Has a character that cannot be stored" }],
    ['{"a":"\\ud800"}', { a: "Has a character that cannot be stored" }],
    ['{"a":"\\ud83d\\ude00"}', {}],
    ['{"a":1e400}', { a: "Is too large a number" }],
    ['"\\u0000"', { body: "Has a character that cannot be stored" }],
  ];
  for (const [json, problems] of cases) {
    it(json, () => assert.deepEqual(storageProblems(JSON.parse(json)), problems));
  }

  it("is a key, too, whose name is made fit to be told", () => {
    const problem = "Has a character that cannot be stored";
    assert.deepEqual(storageProblems({ a: { "b\u0000": 1 } }), { "a.b\uFFFD": problem });
    assert.deepEqual(storageProblems({ "\ud800": 1 }), { "\uFFFD": problem });
    assert.ok(
      Object.keys(storageProblems({ [`${"k".repeat(5000)}\u0000`]: 1 })).every((key) => key.length < 202),
    );
  });

  it("is too deep a value, whatever its depth", () => {
    const nested = (depth: number) => JSON.parse("[".repeat(depth) + "]".repeat(depth)) as unknown;
    assert.deepEqual(storageProblems(nested(64)), {});
    assert.deepEqual(Object.values(storageProblems(nested(65))), ["Nested deeper than 64 levels"]);
    assert.deepEqual(Object.values(storageProblems(nested(400_000))), ["Nested deeper than 64 levels"]);
  });

  it("is too long a list", () => {
    assert.deepEqual(storageProblems({ plugins: new Array(40_000).fill(1) }), {
      plugins: "Has too many items",
    });
  });
});
