import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { readConfig } from "./env.ts";

describe("the environment", () => {
  const url = "https://ref.supabase.co";
  it("needs the project's address alone", () =>
    assert.deepEqual(readConfig({ SUPABASE_URL: `${url}/` }), {
      restUrl: `${url}/rest/v1`,
      direct: false,
    }));

  it("may name PostgREST's own address, to save a hop", () => {
    const named = (LAUNCHPAD_REST_URL: string) => readConfig({ SUPABASE_URL: url, LAUNCHPAD_REST_URL });
    assert.deepEqual(named("http://127.0.0.1:3000/"), { restUrl: "http://127.0.0.1:3000", direct: true });
    assert.deepEqual(named("https://rest.example"), { restUrl: "https://rest.example", direct: false });
  });

  it("that is wrong is named", () => {
    assert.throws(() => readConfig({}), /SUPABASE_URL/);
    assert.throws(() => readConfig({ SUPABASE_URL: "ftp://x" }), /SUPABASE_URL/);
  });
});
