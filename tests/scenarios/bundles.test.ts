// Export and import through /api and PostgREST: the document goes from one user to another and makes an agent that deploys.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { agentBundle, imported } from "../../supabase/functions/_shared/contract/index.ts";
import { api, forgedToken, launched, reached } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let agentId: string;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  agentId = await launched(stack, alice, {
    character: { name: "T", bio: "travels" },
    environment: { TOKEN: "sekrit-value" },
  });
});
afterAll(async () => {
  for (const user of [alice, bob]) await api(stack, user, "POST", "/agents/stop-all");
  await stack.stop();
});

test("an agent goes from one user to another, and deploys there", async () => {
  const files = alice.client.storage.from("agent-assets");
  await files.upload(`${agentId}/knowledge.txt`, new Blob(["facts"], { type: "text/plain" }));
  const { status, body: bundle } = await api(stack, alice, "GET", `/agents/${agentId}/export`);
  assert.equal(status, 200, JSON.stringify(bundle));
  agentBundle.parse(bundle);
  assert.deepEqual(bundle.secrets, ["TOKEN"]);
  assert.doesNotMatch(JSON.stringify(bundle), /sekrit/);
  assert.deepEqual(
    bundle.assets.map((asset: { path: string; size: number }) => [asset.path, asset.size]),
    [["knowledge.txt", 5]],
  );

  const made = await api(stack, bob, "POST", "/agents/import", bundle, { "idempotency-key": "once" });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  imported.parse(made.body);
  assert.deepEqual([made.body.missingSecrets, made.body.missingAssets], [["TOKEN"], 1]);
  const again = await api(stack, bob, "POST", "/agents/import", bundle, { "idempotency-key": "once" });
  assert.equal(again.body.agentId, made.body.agentId);

  const id = made.body.agentId;
  const upload = await bob.client.storage
    .from("agent-assets")
    .upload(`${id}/knowledge.txt`, new Blob(["facts"], { type: "text/plain" }));
  assert.equal(upload.error, null);
  await api(stack, bob, "PUT", `/agents/${id}`, { environment: { TOKEN: "bobs" } });
  assert.equal((await api(stack, bob, "POST", `/agents/${id}/deploy`)).status, 202);
  await reached(stack, id, "DEPLOYED");
  assert.equal((await api(stack, alice, "GET", `/agents/${id}`)).status, 404);
});

test("the same by the RPCs alone", async () => {
  const { data: bundle, error } = await alice.client.rpc("export_agent", { agent_id: agentId });
  assert.equal(error, null);
  const made = await alice.client.rpc("import_agent", { bundle });
  assert.equal(made.error, null);
  assert.equal(
    (await alice.client.from("agents").select("name").eq("id", made.data.agentId)).data?.length,
    1,
  );
});

test("nobody else gets the document", async () => {
  for (const [caller, status, code] of [
    [bob, 404, "AGENT_NOT_FOUND"],
    [undefined, 401, "INVALID_JWT_TOKEN"],
    [forgedToken(alice), 401, "INVALID_JWT_TOKEN"],
  ] as const) {
    const answer = await api(stack, caller, "GET", `/agents/${agentId}/export`);
    assert.deepEqual([answer.status, answer.body.error.code], [status, code]);
    if (caller === bob) continue;
    assert.equal((await api(stack, caller, "POST", "/agents/import", {})).status, status);
  }
});

test("a wrong document is told field by field; one of several MiB is taken, a larger one is not", async () => {
  const wrong = {
    format: "agent-launchpad/agent",
    version: 1,
    definition: { agentName: "", environment: { A: "b" } },
  };
  const refused = await api(stack, bob, "POST", "/agents/import", wrong);
  assert.equal(refused.status, 400);
  assert.deepEqual(Object.keys(refused.body.error.details).sort(), [
    "definition.agentName",
    "definition.environment",
  ]);
  const large = (bytes: number) => ({
    format: "agent-launchpad/agent",
    version: 1,
    definition: { agentName: "large" },
    conversations: [
      {
        messages: Array.from({ length: bytes / 100_000 }, () => ({
          role: "user",
          content: "x".repeat(100_000),
          createdAt: "2026-01-01T00:00:00Z",
        })),
      },
    ],
  });
  assert.equal((await api(stack, bob, "POST", "/agents/import", large(7_000_000))).status, 201);
  const beyond = await api(stack, bob, "POST", "/agents/import", large(9_000_000));
  assert.deepEqual([beyond.status, beyond.body.error.code], [413, "PAYLOAD_TOO_LARGE"]);
});
