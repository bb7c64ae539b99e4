import assert from "node:assert/strict";
import { test } from "vitest";
import { reasonIn } from "./ready-child.ts";

test("a program that ends says why in its own words", () => {
  const log = JSON.stringify({
    level: "error",
    message: "could not start",
    error: "The store /x cannot be used.",
  });
  assert.equal(reasonIn(['{"level":"info","message":"hello"}', log]), "The store /x cannot be used.");
  assert.equal(reasonIn(["at file.ts:1", "Error: no luck", "more"]), "Error: no luck");
  assert.equal(reasonIn(['{"level":"error"', "last words"]), '{"level":"error"');
  assert.equal(reasonIn(["a", "b", "c", "d"]), "b | c | d");
  assert.equal(reasonIn([]), "");
});
