import assert from "node:assert/strict";
import { test } from "vitest";
import { withRfcTimes } from "./times.ts";

test("times are written as hosted Auth writes them; all else stays", async () => {
  const body = {
    created_at: "2026-01-15 10:30:00.5+00",
    last_sign_in_at: null,
    user_metadata: { note: '"sent_at":"2026-01-15 10:30:00+00"', born: "2026-01-15 10:30:00+00" },
    identities: [{ updated_at: "2026-01-15 10:30:00+00" }],
  };
  const answer = await withRfcTimes(Response.json(body, { status: 201, headers: { "x-kept": "yes" } }));
  assert.deepEqual([answer.status, answer.headers.get("x-kept")], [201, "yes"]);
  assert.deepEqual(await answer.json(), {
    ...body,
    created_at: "2026-01-15T10:30:00.5Z",
    identities: [{ updated_at: "2026-01-15T10:30:00Z" }],
  });
});

test("what is not JSON is not touched", async () => {
  const page = new Response('"created_at":"2026-01-15 10:30:00+00"', {
    headers: { "content-type": "text/html" },
  });
  assert.equal(await withRfcTimes(page), page);
});
