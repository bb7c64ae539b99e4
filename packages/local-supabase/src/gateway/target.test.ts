import assert from "node:assert/strict";
import fc from "fast-check";
import { Hono } from "hono";
import { describe, test } from "vitest";
import { readAuthRequest } from "./auth-request.ts";
import { changesEveryRow } from "./limits/every-row.ts";
import { routeOf } from "./routes.ts";
import { readTarget } from "./target.ts";

const canonical = (raw: string) => {
  const read = readTarget(raw);
  return "cure" in read ? `refused: ${read.field}` : read.path + read.search;
};

describe("a target that can be read in one way only is passed on in its canonical spelling", () => {
  for (const [raw, expected] of [
    ["/", "/"],
    ["/rest/v1/agents?select=*&name=like.a*", "/rest/v1/agents?select=*&name=like.a*"],
    ["/rest/v1/agents?or=(a.eq.1,b.eq.2)", "/rest/v1/agents?or=(a.eq.1,b.eq.2)"],
    ["/rest/v1/agents?name=eq.%c3%a4", "/rest/v1/agents?name=eq.%C3%A4"],
    ["/rest/v1/agents?name=eq.\xc3\xa4", "/rest/v1/agents?name=eq.%C3%A4"],
    ["/rest/v1/agents?id", "/rest/v1/agents?id="],
    ["/rest/v1/agents?a=eq.1;b=eq.2", "/rest/v1/agents?a=eq.1%3Bb%3Deq.2"],
    ["/rest/v1/agents?", "/rest/v1/agents"],
    ["/rest/v1/agents?=x&&a=b", "/rest/v1/agents?=x&a=b"],
    ["/rest/v1/agents?%73elect=id", "/rest/v1/agents?select=id"],
    ["/auth/v1/token?grant%5Ftype=pass%77ord", "/auth/v1/token?grant_type=password"],
    ["/storage/v1/object/b/a%20file.txt", "/storage/v1/object/b/a%20file.txt"],
    ["/storage/v1/object/b/%c3%bc", "/storage/v1/object/b/%C3%BC"],
    ["/auth/v1/.well-known/jwks.json", "/auth/v1/.well-known/jwks.json"],
    ["/storage/v1/object/b/", "/storage/v1/object/b/"],
  ] as const) {
    test(raw, () => assert.equal(canonical(raw), expected));
  }
});

describe("a target that programs read differently is refused", () => {
  for (const raw of [
    "auth/v1/token",
    "http://evil.example/auth/v1/token",
    "*",
    "//auth/v1/token",
    "/auth//v1/token",
    "/auth/v1/%74oken",
    "/auth/v1/x/../token",
    "/auth/v1/./token",
    "/auth/v1/x/%2e%2e/token",
    "/auth/v1\\token",
    "/auth/v1/token#x",
    "/auth/v1/token?grant_type=password#x",
    "/auth/v1/%zz",
    "/auth/v1/%ff",
    "/auth/v1/to ken",
    "/rest/v1/agents?name=eq.%ff",
    "/rest/v1/agents?name=eq.%",
    "/rest/v1/agents?name=eq.%00",
  ]) {
    test(JSON.stringify(raw), () => assert.match(canonical(raw), /^refused: (path|query)$/));
  }
  for (const raw of ["/auth/v1/token%2f", "/rest/v1/a%09b", "/auth/v1/%2574oken"]) {
    test(`${raw}, where a guard judges by names`, () =>
      assert.equal(routeOf("x", "GET", raw).kind, "unreadable"));
  }
  test("but a function, a topic and an object may have any name", () => {
    for (const raw of [
      "/functions/v1/f/a%2Fb",
      "/functions/v1/f/a%5Cb",
      "/realtime/v1/api/broadcast/a%2Fb/events/c",
      "/storage/v1/object/public%5Cx",
    ])
      assert.notEqual(routeOf("localhost", "GET", raw).kind, "unreadable", raw);
  });
});

/** Ways to write the same or nearly the same again. */
const escaped = (char: string) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
const spellings = (plain: string) =>
  fc
    .array(
      fc.record({
        at: fc.nat(plain.length - 1),
        how: fc.constantFrom(
          "escape",
          "twice",
          "dot",
          "up",
          "slash",
          "back",
          "hash",
          "case",
          "semi",
          "tab",
          "plus",
          "nul",
        ),
      }),
      { maxLength: 3 },
    )
    .map((changes) => {
      let text = plain;
      for (const { at, how } of changes) {
        const [before, char, after] = [text.slice(0, at), text[at] ?? "", text.slice(at + 1)];
        const written = {
          escape: escaped(char),
          twice: `%25${escaped(char).slice(1)}`,
          dot: char === "/" ? "/./" : char,
          up: char === "/" ? "/x/../" : char,
          slash: char === "/" ? "//" : char,
          back: char === "/" ? "\\" : char,
          hash: `#${char}`,
          case: char.toUpperCase(),
          semi: char === "&" ? ";" : char,
          tab: `${char}\t`,
          plus: `${char}+`,
          nul: `${char}%00`,
        }[how];
        text = before + written + after;
      }
      return text;
    });

describe("for every spelling: refused, or guard and service see the same", () => {
  /** A service that routes as Auth here does. */
  const service = new Hono()
    .post("/auth/v1/token", (context) => context.text(`token ${context.req.query("grant_type")}`))
    .post("/auth/v1/otp", (context) => context.text("otp undefined"));

  for (const plain of [
    "/auth/v1/token?grant_type=password",
    "/auth/v1/token?x=1&grant_type=password",
    "/auth/v1/otp",
  ]) {
    test(plain, async () => {
      await fc.assert(
        fc.asyncProperty(spellings(plain), async (raw) => {
          const route = routeOf("localhost", "POST", raw);
          if (route.kind !== "auth") return;
          const request = new Request(`http://gateway${route.path}`, { method: "POST" });
          const served = await (await service.fetch(request)).text();
          const body = Buffer.from('{"email":"a@example.com"}');
          const asked = readAuthRequest("POST", route.path, undefined, body);
          if ("cure" in asked || served === "404 Not Found") return;
          assert.equal(`${asked.action} ${asked.grant}`, served, raw);
        }),
        { numRuns: 3000 },
      );
    });
  }

  test("a change without a filter", () => {
    /** PostgREST's reading: `&` and `;` divide, a parameter without `=` is forgotten. */
    const filters = (path: string) =>
      (path.split("?")[1] ?? "")
        .split(/[&;]/)
        .filter((pair) => pair.includes("="))
        .map((pair) => decodeURIComponent(pair.slice(0, pair.indexOf("=")).replaceAll("+", " ")))
        .filter(
          (name) =>
            !["select", "columns", "order", "limit", "offset", "on_conflict", "apikey"].includes(name),
        );
    fc.assert(
      fc.property(
        fc
          .constantFrom("/rest/v1/agents?select=id", "/rest/v1/agents?limit=1;order=id", "/rest/v1/agents?id")
          .chain(spellings),
        (raw) => {
          const route = routeOf("localhost", "DELETE", raw);
          if (route.kind === "rest" && filters(route.path).length === 0)
            assert.ok(changesEveryRow("DELETE", route.path), `${raw} becomes ${route.path}`);
        },
      ),
      { numRuns: 3000 },
    );
  });
});
