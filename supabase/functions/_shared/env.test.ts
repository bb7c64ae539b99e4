import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { readConfig } from "./env.ts";

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
