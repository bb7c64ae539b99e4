import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { caller, callerOf } from "./caller.ts";

const KEY = `lp_${"k".repeat(43)}`;
const TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl";
const shown = (headers: Record<string, string>, method = "GET") => {
  const { proof, shows } = callerOf({ headers, method });
  return [shows, proof];
};

describe("a caller shows", () => {
  const preflight = { origin: "https://app.example.com", "access-control-request-method": "POST" };
  const TABLE: [string, Record<string, string>, string, [string, string]][] = [
    ["a key of the agent's form", { authorization: `Bearer ${KEY}` }, "POST", ["key", KEY]],
    ["a token of a user's form", { authorization: `bearer  ${TOKEN} ` }, "GET", ["token", TOKEN]],
    ["the origin of a browser's preflight", preflight, "OPTIONS", ["origin", preflight.origin]],
    ["nothing, without a header", {}, "GET", ["nothing", ""]],
    ["nothing, with any other word", { authorization: "Bearer x" }, "GET", ["nothing", ""]],
    ["nothing, with another scheme", { authorization: `Basic ${KEY}` }, "GET", ["nothing", ""]],
    ["nothing, with a key that is too short", { authorization: "Bearer lp_short" }, "GET", ["nothing", ""]],
    ["nothing, with a signature", { "x-launchpad-signature": "v1=00" }, "POST", ["nothing", ""]],
    ["nothing, with OPTIONS alone", { origin: "https://app.example.com" }, "OPTIONS", ["nothing", ""]],
    ["nothing, with an origin on another method", preflight, "POST", ["nothing", ""]],
  ];
  for (const [what, headers, method, expected] of TABLE)
    test(what, () => assert.deepEqual(shown(headers, method), expected));
});

test("callers are told apart by what they show, and the id holds nothing of it", () => {
  const ids = [
    caller("key", KEY),
    caller("token", TOKEN),
    caller("token", `${TOKEN}x`),
    caller("key", TOKEN),
  ];
  assert.equal(new Set(ids.map(({ id }) => id)).size, 4);
  assert.ok(ids.every(({ id, proof }) => id.length === 44 && !id.includes(proof)));
});

describe("a caller's address is", () => {
  const socket = { remoteAddress: "127.0.0.1" };
  const of = (forwarded?: string) =>
    callerOf({
      headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
      method: "GET",
      socket,
    }).address;
  test("the connection's, without a proxy", () => assert.equal(of(), "127.0.0.1"));
  test("what the proxy in front wrote, not what the caller claims", () =>
    assert.equal(of("1.1.1.1, 203.0.113.9"), "203.0.113.9"));
  test("the connection's, with an empty list", () => assert.equal(of(""), "127.0.0.1"));
  test("bounded in length", () => assert.equal(of("x".repeat(5000))?.length, 64));
});
