// H10: an agent whose provider never answers must not keep other users' agents waiting. A stack of its own, because the
// provider stub's address stands in its environment.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { eventually } from "../helpers/processes.ts";
import { echo, type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stub: ProviderStub;
let stack: TestStack;
let hostile: TestUser;
let victim: TestUser;
const held = Promise.withResolvers<void>();
let silent = 0;

beforeAll(async () => {
  stub = await startProviderStub(async (asked) => {
    if (!asked.system.includes("stay silent")) return await echo(asked);
    silent += 1;
    await held.promise;
    return await echo(asked);
  });
  stack = await startTestStack({ env: stub.environment });
  await stack.raiseRateLimits();
  [hostile, victim] = await Promise.all([stack.createUser(), stack.createUser()]);
});
afterAll(async () => {
  held.resolve();
  await stack.stop();
  await stub.close();
});

async function agentOf({ client }: TestUser, system_prompt: string): Promise<string> {
  const { data, error } = await client
    .from("agents")
    .insert({ name: "Bot", framework: "openai", system_prompt })
    .select("id")
    .single();
  assert.equal(error, null);
  return (data as { id: string }).id;
}

async function say({ client }: TestUser, to_agent_id: string, contents: string[]): Promise<void> {
  const { error } = await client
    .from("messages")
    .insert(contents.map((content) => ({ to_agent_id, content })));
  assert.equal(error, null);
}

test("forty questions to a silent agent leave another user's answers as fast as before", async () => {
  const [mute, quick] = await Promise.all([agentOf(hostile, "stay silent"), agentOf(victim, "answer")]);
  await say(
    hostile,
    mute,
    Array.from({ length: 40 }, (_, n) => `question ${n}`),
  );
  await eventually("the silent agent holds all that one user may hold", () => silent >= 16);
  const started = performance.now();
  await say(victim, quick, ["a", "b", "c", "d"]);
  await eventually("the victim's four answers", async () => {
    const { data } = await victim.client.from("messages").select("id").eq("status", "complete");
    return data?.length === 4;
  });
  assert.ok(
    performance.now() - started < 40_000,
    "a silent provider is given up after 45 s: none waited for it",
  );
  assert.equal(silent, 16, "the silent agent has no more places than one user may hold");
});
