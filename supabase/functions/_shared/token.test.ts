import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { tokenFor } from "./testing/upstream.ts";
import { subjectOf } from "./token.ts";

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
