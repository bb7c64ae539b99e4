import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { isJsonType } from "./body.ts";
import { isIdempotencyKey } from "./headers.ts";

describe("headers", () => {
  const keys: [key: string, fits: boolean][] = [
    ["a", true],
    ["x".repeat(255), true],
    ["!~", true],
    ["", false],
    ["x".repeat(256), false],
    ["a b", false],
    ["é", false],
  ];
  for (const [key, fits] of keys) {
    it(`${fits ? "take" : "refuse"} the idempotency key ${key.slice(0, 10)}`, () =>
      assert.equal(isIdempotencyKey(key), fits));
  }

  const types: [type: string | null, json: boolean][] = [
    ["application/json", true],
    ["Application/JSON; charset=UTF-8", true],
    ['application/json;charset="utf-8"', true],
    [null, true],
    ["application/json; charset=latin1", false],
    ["application/jsonp", false],
    ["text/plain", false],
    ["multipart/form-data; boundary=application/json", false],
  ];
  for (const [type, json] of types)
    it(`${json ? "take" : "refuse"} ${type}`, () => assert.equal(isJsonType(type), json));
});
