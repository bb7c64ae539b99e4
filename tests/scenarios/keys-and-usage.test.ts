// Keys, usage and budgets through the Node SDK and the CLI, against the whole stack: the owner, another user, a revoked key.
import assert from "node:assert/strict";
import { AgentLaunchpadClient, AgentLaunchpadError } from "@agent-launchpad/sdk";
import { afterAll, beforeAll, describe, test } from "vitest";
import { launched } from "../helpers/agents.ts";
import { openTerminal, type Terminal } from "../helpers/cli.ts";
import { eventually } from "../helpers/processes.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let provider: ProviderStub;
let stack: TestStack;
let owner: TestUser;
let other: TestUser;
let client: AgentLaunchpadClient;
let others: AgentLaunchpadClient;
let terminal: Terminal;
let agentId: string;

beforeAll(async () => {
  provider = await startProviderStub();
  stack = await startTestStack({ env: provider.environment });
  await stack.raiseRateLimits();
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  const of = (user: TestUser) =>
    new AgentLaunchpadClient({ supabaseClient: user.client, baseUrl: stack.info.apiUrl });
  client = of(owner);
  others = of(other);
  terminal = await openTerminal(stack.info);
  await terminal.login(owner);
  agentId = await launched(stack, owner, { agentName: "metered", character: { name: "Ada" } });
});
afterAll(async () => {
  await terminal.remove();
  await stack.stop();
  await provider.close();
});

const ok = async (...args: string[]) => {
  const ran = await terminal.run(args);
  assert.equal(ran.code, 0, ran.stderr);
  return ran;
};
const say = async (key: string) => {
  const { status } = await stack.agentFetch(agentId, "/message", {
    method: "POST",
    token: key,
    body: JSON.stringify({ text: "hello" }),
  });
  return status;
};
const codeOf = async (call: PromiseLike<unknown>) => {
  try {
    await call;
  } catch (error) {
    if (error instanceof AgentLaunchpadError) return error.code;
  }
  return undefined;
};

describe("keys", () => {
  test("the SDK creates one that answers, lists it without the key, and revokes it", async () => {
    const created = await client.agents.keys.create(agentId, {
      name: "website",
      origins: ["https://a.example"],
    });
    assert.match(created.key, /^lp_/);
    assert.equal(await say(created.key), 200);
    const listed = await Array.fromAsync(client.agents.keys.list(agentId, { limit: 1 }));
    assert.deepEqual(
      listed.map(({ id, name, origins, revokedAt }) => ({ id, name, origins, revokedAt })),
      [{ id: created.id, name: "website", origins: ["https://a.example"], revokedAt: null }],
    );
    assert.doesNotMatch(JSON.stringify(listed), new RegExp(created.key));
    assert.equal(await codeOf(others.agents.keys.list(agentId)), "AGENT_NOT_FOUND");
    assert.equal(await codeOf(others.agents.keys.revoke(agentId, created.id)), "AGENT_NOT_FOUND");
    await client.agents.keys.revoke(agentId, created.id);
    await eventually("the revoked key is refused", async () => (await say(created.key)) === 401);
  });

  test("the CLI does the same, by the key's name", async () => {
    const { json: created, stderr } = await ok(
      "keys",
      "create",
      "metered",
      "ci",
      "--expires",
      "1d",
      "--json",
    );
    assert.match(stderr, /not shown again/);
    assert.equal(await say(created.key), 200);
    assert.match((await ok("keys", "list", "metered")).stdout, new RegExp(`${created.id} +ci +lp_.* until `));
    assert.match((await ok("keys", "revoke", "metered", "ci")).stdout, /Revoked ci/);
    await eventually("the revoked key is refused", async () => (await say(created.key)) === 401);
    const again = await terminal.run(["keys", "revoke", "metered", "ci"]);
    assert.equal(again.code, 5);
    assert.match(again.stderr, /has no working key "ci"/);
  });

  test("a wrong field is named", async () => {
    const ran = await terminal.run(["keys", "create", "metered", "x", "--origin", "not an origin"]);
    assert.equal(ran.code, 6);
    assert.match(ran.stderr, /origins/);
  });
});

test("usage: what was said at the address is counted, the other user sees none of it", async () => {
  const report = () => client.usage.get({ groupBy: ["agent", "source"] });
  await eventually("both answers are settled", async () => (await report()).total.answers >= 2);
  const { items, total, currency } = await report();
  assert.equal(currency, "USD");
  assert.deepEqual(
    items.map(({ agentId: id, source }) => [id, source]),
    [[agentId, "address"]],
  );
  assert.ok(total.inputTokens > 0 && total.outputTokens > 0, JSON.stringify(total));
  assert.deepEqual((await others.usage.get({ groupBy: "day" })).items, []);
  assert.match((await ok("usage", "--by", "agent,source")).stdout, new RegExp(`${agentId} +address +\\d+`));
  assert.equal((await terminal.run(["usage", "--by", "colour"])).code, 2);
});

describe("budgets", () => {
  test("are set, listed and deleted; the other user's are theirs", async () => {
    const set = { scope: "user", period: "month", limitMicros: 25_000_000, action: "pause" } as const;
    const budget = await client.budgets.set(set);
    assert.equal(budget.reached, false);
    const raised = await client.budgets.set({ ...set, limitMicros: 30_000_000 });
    assert.deepEqual([raised.id, raised.limitMicros], [budget.id, 30_000_000]);
    assert.deepEqual(
      (await Array.fromAsync(client.budgets.list())).map(({ id }) => id),
      [budget.id],
    );
    assert.deepEqual((await others.budgets.list()).budgets, []);
    assert.equal(await codeOf(others.budgets.delete(budget.id)), "NOT_FOUND");
    assert.equal((await client.budgets.delete(budget.id)).deleted, true);
  });

  test("the CLI sets one of an agent, and what is used up is refused with 402", async () => {
    const { json } = await ok("budgets", "set", "0", "--agent", "metered", "--period", "day", "--json");
    const { key } = await client.agents.keys.create(agentId, { name: "broke" });
    // A replica may hold one call that was reserved before the budget was there.
    await eventually("the budget refuses", async () => (await say(key)) === 402);
    assert.match((await ok("budgets", "list")).stdout, new RegExp(`${json.id} +${agentId} +day +\\$0\\.00`));
    await ok("budgets", "delete", json.id);
    assert.equal(await say(key), 200);
  });
});
