// H11: an insert that names another user is refused with the same words, whatever that user has: the answer is no way to learn
// which agents, tools and swarms exist, or whether a quota is used up. The same by REST and GraphQL.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let hostile: TestUser;
let victim: TestUser;
const theirs = { agent: "", tool: "", swarm: "" };

const TOOL = {
  name: "weather",
  description: "Tells the weather.",
  input_schema: { type: "object", properties: {} },
  implementation: { type: "http", url: "https://api.example.com/" },
};

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [hostile, victim] = await Promise.all([stack.createUser(), stack.createUser()]);
  const insert = async (table: string, row: object): Promise<string> => {
    const { data, error } = await victim.client.from(table).insert(row).select("id").single();
    assert.equal(error, null);
    return (data as { id: string }).id;
  };
  theirs.agent = await insert("agents", { name: "Bot" });
  theirs.tool = await insert("tools", TOOL);
  theirs.swarm = await insert("swarms", { name: "team" });
  await stack.sql("update public.quotas set max_agents = 1 where user_id = $1", [victim.id]);
});
afterAll(() => stack.stop());

/** Each pair differs by whether what is named exists. */
const pairs = (): Record<string, object[]> => ({
  agents: [{ name: "x" }, { name: "x", model: "no such model" }],
  tools: [TOOL, { ...TOOL, name: "another" }],
  agent_tools: [
    { agent_id: theirs.agent, tool_id: theirs.tool },
    { agent_id: theirs.agent, tool_id: randomUUID() },
    { agent_id: randomUUID(), tool_id: randomUUID() },
  ],
  swarms: [{ name: "team" }, { name: "" }],
  swarm_agents: [
    { swarm_id: theirs.swarm, agent_id: theirs.agent },
    { swarm_id: theirs.swarm, agent_id: randomUUID() },
    { swarm_id: randomUUID(), agent_id: randomUUID() },
  ],
  messages: [
    { to_agent_id: theirs.agent, content: "hello" },
    { to_agent_id: randomUUID(), content: "hello" },
    { swarm_id: theirs.swarm, content: "hello" },
    { swarm_id: randomUUID(), content: "hello" },
  ],
});

const post = (table: string, row: object, token: string) =>
  stack.fetch(`/rest/v1/${table}`, {
    method: "POST",
    token,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user_id: victim.id, ...row }),
  });

for (const table of ["agents", "tools", "agent_tools", "swarms", "swarm_agents", "messages"]) {
  test(`${table}: 403, in the policy's words`, async () => {
    for (const row of pairs()[table] ?? []) {
      const answer = await post(table, row, hostile.token);
      assert.equal(answer.status, 403);
      const { code, message } = (await answer.json()) as { code: string; message: string };
      assert.equal(code, "42501");
      assert.equal(message, `new row violates row-level security policy for table "${table}"`);
      assert.equal((await post(table, row, forgedToken(victim))).status, 401);
      assert.equal((await post(table, row, stack.info.publishableKey)).status, 401);
    }
  });
}

test("GraphQL answers alike", async () => {
  const told = new Set<string>();
  for (const id of [theirs.agent, randomUUID()]) {
    const answer = await stack.fetch("/graphql/v1", {
      method: "POST",
      token: hostile.token,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        query: `mutation ($user: UUID, $id: String) {
          insertIntoMessagesCollection(objects: [{userId: $user, toAgentId: $id, content: "hello"}]) { affectedCount }
        }`,
        variables: { user: victim.id, id },
      }),
    });
    told.add(await answer.text());
  }
  assert.equal(told.size, 1);
  assert.match([...told][0] ?? "", /RLS_ACCESS_DENIED/);
});

test("one's own id, or none, is taken", async () => {
  for (const row of [{}, { user_id: hostile.id }, { user_id: null }]) {
    const answer = await stack.fetch("/rest/v1/agents", {
      method: "POST",
      token: hostile.token,
      headers: { "content-type": "application/json", prefer: "return=representation" },
      body: JSON.stringify({ name: "mine", ...row }),
    });
    assert.equal(answer.status, 201);
    assert.equal(((await answer.json()) as { user_id: string }[])[0]?.user_id, hostile.id);
  }
});
