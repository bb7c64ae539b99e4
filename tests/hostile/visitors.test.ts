// Visitors without an account who ask as fast as they can keep no agent from answering: runtimes call the database without a
// user too, but by a share of their own agent's.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { api, launched } from "../helpers/agents.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

/** More than the gateway lets run and wait for one address. */
const VISITORS = 260;

let stub: ProviderStub;
let stack: TestStack;
let agentId: string;
let key: string;

beforeAll(async () => {
  stub = await startProviderStub();
  stack = await startTestStack({ env: stub.environment });
  await stack.raiseRateLimits();
  const alice = await stack.createUser();
  agentId = await launched(stack, alice, { agentName: "Answering" });
  key = (await api(stack, alice, "POST", `/agents/${agentId}/keys`, { name: "app" })).body.key;
});
afterAll(async () => {
  await stack.stop();
  await stub.close();
});

test("a flood of anonymous reads fills its address's share, and an agent with a key answers on", async () => {
  let over = false;
  let crowded = 0;
  const { promise: full, resolve: isFull } = Promise.withResolvers<void>();
  const visits = Array.from({ length: VISITORS }, async () => {
    while (!over) {
      const response = await stack.fetch("/rest/v1/frameworks?select=name");
      await response.text();
      if (response.status === 429 && ++crowded === VISITORS) isFull();
    }
  });
  try {
    await full;
    for (let n = 0; n < 8; n++) {
      const { status, body } = await stack.agentFetch(agentId, "/message", {
        method: "POST",
        token: key,
        body: JSON.stringify({ text: "hello" }),
      });
      assert.equal(status, 200, `message ${n}: ${body}`);
    }
  } finally {
    over = true;
    await Promise.all(visits);
  }
});
