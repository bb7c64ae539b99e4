/** The small parts: query, token, environment, log, headers. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isJsonType } from "./body.ts";
import { listQuery, logsQuery, noQuery } from "./contract/index.ts";
import { readConfig } from "./env.ts";
import { isIdempotencyKey } from "./headers.ts";
import { logLine } from "./log.ts";
import { readQuery } from "./query.ts";
import { tokenFor } from "./testing/upstream.ts";
import { subjectOf } from "./token.ts";

describe("query parameters", () => {
  const read = (schema: Parameters<typeof readQuery>[0], text: string) =>
    readQuery(schema, new URLSearchParams(text));
  const good: [schema: typeof listQuery | typeof logsQuery | typeof noQuery, text: string, values: object][] =
    [
      [listQuery, "", { limit: 20, offset: 0 }],
      [listQuery, "limit=100&offset=1000000", { limit: 100, offset: 1_000_000 }],
      [
        listQuery,
        "status=Deployed&platform=discord",
        { limit: 20, offset: 0, status: "DEPLOYED", platform: "discord" },
      ],
      [listQuery, "status=idle", { limit: 20, offset: 0, status: "IDLE" }],
      [logsQuery, "lines=1000&since=30m&level=warn", { lines: 1000, since: "30m", level: "WARN" }],
      [logsQuery, "since=45s", { lines: 100, since: "45s" }],
      [noQuery, "apikey=x&forceFunctionRegion=any", {}],
    ];
  for (const [schema, text, values] of good) {
    it(`${text || "(none)"} is read`, () => assert.deepEqual(read(schema, text), { values, problems: {} }));
  }

  const bad: [
    schema: typeof listQuery | typeof logsQuery | typeof noQuery,
    text: string,
    problems: object,
  ][] = [
    [listQuery, "limit=0", { limit: "Must be a whole number from 1 to 100" }],
    [listQuery, "limit=101", { limit: "Must be a whole number from 1 to 100" }],
    [listQuery, "limit=", { limit: "Must be a whole number from 1 to 100" }],
    [listQuery, "limit=1.5", { limit: "Must be a whole number from 1 to 100" }],
    [listQuery, "limit=99999999999999999999", { limit: "Must be a whole number from 1 to 100" }],
    [listQuery, "offset=-1", { offset: "Must be a whole number from 0 to 1000000" }],
    [listQuery, "limit=1&limit=2", { limit: "Must be given once" }],
    [
      listQuery,
      "limt=1&platform=X",
      { limt: "Unknown parameter", platform: "Must be a short lower-case name" },
    ],
    [
      logsQuery,
      "since=1w&lines=x",
      {
        since: "Must be a duration such as 45s, 30m, 1h or 2d",
        lines: "Must be a whole number from 1 to 1000",
      },
    ],
    [logsQuery, "level=TRACE", { level: "Must be one of: INFO, WARN, ERROR, DEBUG" }],
    [noQuery, "__proto__=1", Object.fromEntries([["__proto__", "Unknown parameter"]])],
    [noQuery, "constructor=1", { constructor: "Unknown parameter" }],
  ];
  for (const [schema, text, problems] of bad) {
    it(`${text} is refused`, () => assert.deepEqual(read(schema, text).problems, problems));
  }
});

describe("the subject of a token", () => {
  const id = "8c9e6679-7425-40de-944b-e07fc1f90ae7";
  const cases: [header: string | null, subject: string | null][] = [
    [`Bearer ${tokenFor({ sub: id })}`, id],
    [`bearer ${tokenFor({ sub: id, name: "Zoë 🤖" })}`, id],
    [`Bearer ${tokenFor({ sub: "not-a-uuid" })}`, null],
    [`Bearer ${tokenFor({})}`, null],
    ["Bearer sb_publishable_x", null],
    ["Bearer a.b.c", null],
    ["Bearer a.@@.c", null],
    ["Basic dXNlcjpwYXNz", null],
    ["", null],
    [null, null],
  ];
  for (const [header, subject] of cases)
    it(`of ${header?.slice(0, 24)}`, () => assert.equal(subjectOf(header), subject));
});

describe("the environment", () => {
  const url = "https://ref.supabase.co";
  it("needs the project's address alone", () =>
    assert.deepEqual(readConfig({ SUPABASE_URL: `${url}/` }), { restUrl: `${url}/rest/v1` }));

  it("may name PostgREST's own address, to save a hop", () => {
    const { restUrl } = readConfig({ SUPABASE_URL: url, LAUNCHPAD_REST_URL: "http://127.0.0.1:3000/" });
    assert.equal(restUrl, "http://127.0.0.1:3000");
  });

  it("that is wrong is named", () => {
    assert.throws(() => readConfig({}), /SUPABASE_URL/);
    assert.throws(() => readConfig({ SUPABASE_URL: "ftp://x" }), /SUPABASE_URL/);
  });
});

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

describe("a log line", () => {
  const entry = { requestId: "r", method: "GET", path: "/api/agents", durationMs: 1 };
  for (const [status, level] of [
    [200, "INFO"],
    [404, "WARN"],
    [503, "ERROR"],
  ] as const) {
    it(`of ${status} is ${level}`, () => {
      const line = JSON.parse(logLine({ ...entry, status }, 0)) as Record<string, unknown>;
      assert.deepEqual(line, {
        timestamp: "1970-01-01T00:00:00.000Z",
        level,
        source: "api",
        message: "request",
        ...entry,
        status,
      });
    });
  }
});
