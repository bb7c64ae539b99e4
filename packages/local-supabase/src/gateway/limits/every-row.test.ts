import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { changesEveryRow } from "./every-row.ts";

describe("a change without a filter", () => {
  for (const [method, target, refused] of [
    ["DELETE", "/agents", true],
    ["PATCH", "/agents?select=id&limit=1&order=id&columns=name", true],
    ["DELETE", "/agents?select=id,agent_tools(id)&agent_tools.id=eq.1", true],
    ["DELETE", "/agents?agent_tools.or=(id.eq.1,id.eq.2)", true],
    ["DELETE", "/agents?not.or=(id.eq.1,id.eq.2)", false],
    ["DELETE", "/agents?id=eq.1", false],
    ["PATCH", "/agents?or=(id.eq.1,id.eq.2)", false],
    ["DELETE", "/agents?=x", true],
    ["DELETE", "/agents?tools.id=eq.1", true],
    ["DELETE", "/agents?agent_tools.limit=1&tools.or=(a.eq.1)", true],
    ["PATCH", "/agents?not.or=(id.eq.1,id.eq.2)", false],
    ["PATCH", "/agents?settings->>a.b=eq.1", false],
    ["DELETE", "/rpc/x", false],
    ["GET", "/agents", false],
    ["POST", "/agents", false],
  ] as const) {
    test(`${method} ${target}`, () => assert.equal(changesEveryRow(method, target), refused));
  }
});
