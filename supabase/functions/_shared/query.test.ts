import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { listQuery, logsQuery, noQuery } from "./contract/index.ts";
import { readQuery } from "./query.ts";

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
