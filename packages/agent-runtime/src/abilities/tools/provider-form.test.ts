/** Names and schemas of tools, as providers take them. */
import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { completeSchema, toolName } from "./provider-form.ts";

describe("a tool's name", () => {
  for (const [given, expected] of [
    ["weather", "weather"],
    ["1password", "_1password"],
    ["-x", "_-x"],
    ["Data Analyst!", "Data_Analyst_"],
    ["天気", "_"],
    ["", "tool"],
    [`9${"x".repeat(80)}`, `_9${"x".repeat(58)}`],
  ] as const) {
    it(`${given.slice(0, 20)} → ${expected.slice(0, 20)}`, () => assert.equal(toolName(given), expected));
  }
});

describe("a tool's schema", () => {
  it("has properties in every object and items in every array", () => {
    assert.deepEqual(completeSchema({ type: "object" }), { type: "object", properties: {} });
    assert.deepEqual(
      completeSchema({
        type: "object",
        properties: {
          list: { type: "array" },
          maybe: { type: ["object", "null"] },
          either: { anyOf: [{ type: "object" }, { type: "string" }] },
          open: { type: "object", additionalProperties: { type: "array" } },
        },
        $defs: { x: { type: "object" } },
      }),
      {
        type: "object",
        properties: {
          list: { type: "array", items: {} },
          maybe: { type: ["object", "null"], properties: {} },
          either: { anyOf: [{ type: "object", properties: {} }, { type: "string" }] },
          open: { type: "object", properties: {}, additionalProperties: { type: "array", items: {} } },
        },
        $defs: { x: { type: "object", properties: {} } },
      },
    );
  });

  it("that is complete stays as it is", () => {
    const schema = {
      type: "object",
      properties: {
        type: { type: "string", enum: ["object"] },
        items: { type: "array", items: { type: "number" } },
      },
      required: ["type"],
      additionalProperties: false,
      default: { type: "object" },
    };
    assert.deepEqual(completeSchema(schema), schema);
  });
});
