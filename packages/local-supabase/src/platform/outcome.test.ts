import assert from "node:assert/strict";
import { test } from "vitest";
import { refusalOf } from "../gateway/refusals.ts";
import { noteRefusals, withOutcome } from "./outcome.ts";

const request = new Request("http://localhost/storage/v1/object/b/k", { method: "POST" });
const POLICY = {
  statusCode: "403",
  error: "Unauthorized",
  message: "new row violates row-level security policy",
};

/** What is answered where the database said `message` and lite answers `body`. */
async function answerTo(message: string, code = "42501", body: object = POLICY, status = 400) {
  const connection = { normalizeDbError: (error: unknown) => error };
  noteRefusals(connection);
  const response = await withOutcome(async () => {
    connection.normalizeDbError(Object.assign(new Error(message), { code }));
    return Response.json(body, { status });
  })(request);
  return [response.status, await response.json(), refusalOf(response)?.code];
}

test("a rule that refused is told in its own words", async () => {
  const message = "RESOURCE_LIMIT_EXCEEDED: Quota of 2 files exceeded";
  assert.deepEqual(await answerTo(message), [400, { ...POLICY, message }, "RESOURCE_LIMIT_EXCEEDED"]);
});

test("a policy's refusal, another error and a success stay as they are", async () => {
  const policy = 'new row violates row-level security policy for table "objects"';
  assert.deepEqual(await answerTo(policy), [400, POLICY, "42501"]);
  assert.deepEqual(await answerTo("duplicate key", "23505"), [400, POLICY, undefined]);
  const exists = { statusCode: "409", message: "exists" };
  assert.deepEqual(await answerTo("refused", "42501", exists), [400, exists, undefined]);
  assert.deepEqual(await answerTo("refused", "42501", { Key: "b/k" }, 200), [200, { Key: "b/k" }, undefined]);
});
