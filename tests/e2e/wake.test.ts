// Requests to sleeping agents on the whole stack: held, woken once, answered; and what the callers see when something dies.
import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { AgentLaunchpadClient } from "@agent-launchpad/sdk";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, launched, reached } from "../helpers/agents.ts";
import { eventually, stillRunning, tree } from "../helpers/processes.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { canListProcesses, replicaCounts } from "../helpers/replicas.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const small = { memory: "128Mi", cpu: "50m" };

describe("requests to sleeping agents", { skip: !canListProcesses }, () => {
  let stack: TestStack;
  let provider: ProviderStub;
  let owner: TestUser;
  let stackPid: number;
  const connections = new Agent({ maxSockets: Number.POSITIVE_INFINITY });

  beforeAll(async () => {
    provider = await startProviderStub(() => "Good morning.");
    stack = await startTestStack({ env: provider.environment });
    stackPid = stack.process?.pid ?? 0;
    await stack.raiseRateLimits();
    owner = await stack.createUser();
  });
  afterAll(async () => {
    connections.destroy();
    await stack?.stop();
    await provider?.close();
  });

  const call = (method: string, path: string, body?: unknown) => api(stack, owner, method, path, body);
  const lastEvent = async (agentId: string) => {
    const [row] = await stack.sql<{ seq: number }>(
      "select coalesce(max(seq), 0)::integer as seq from public.agent_events where agent_id = $1",
      [agentId],
    );
    return row?.seq ?? 0;
  };
  const wakes = async (agentId: string) => {
    const rows = await stack.sql(
      "select from public.agent_events where agent_id = $1 and to_phase = 'WAKING'",
      [agentId],
    );
    return rows.length;
  };
  const asleep = async (agentId: string) => {
    const since = await lastEvent(agentId);
    const { body, status } = await call("POST", `/agents/${agentId}/sleep`);
    assert.equal(status, 202, JSON.stringify(body));
    await reached(stack, agentId, "ASLEEP", since);
    assert.equal(replicaCounts(stackPid).get(agentId) ?? 0, 0);
  };
  const ask = (
    agentId: string,
    path = "/",
    more: { anonymous?: boolean; method?: string; body?: string } = {},
  ) =>
    new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
      const outgoing = request(`${stack.info.apiUrl}/agents/${agentId}${path}`, {
        agent: connections,
        method: more.method ?? "GET",
        headers: {
          ...(more.anonymous ? {} : { authorization: `Bearer ${owner.token}` }),
          ...(more.body === undefined ? {} : { "content-type": "application/json" }),
        },
      });
      outgoing.on("error", reject);
      outgoing.on("response", (answer) => {
        let body = "";
        answer.setEncoding("utf8").on("data", (part: string) => {
          body += part;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }));
        answer.on("error", reject);
      });
      outgoing.end(more.body);
    });

  test("two hundred requests at once are one wake, and each is answered", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    await asleep(agentId);
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(agentId)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    assert.equal(await wakes(agentId), 1);
  });

  test("a message wakes it and is answered, and a message at its address too", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    const client = new AgentLaunchpadClient({ supabaseClient: owner.client, baseUrl: stack.info.apiUrl });
    await asleep(agentId);
    const since = await lastEvent(agentId);
    assert.equal((await client.messages.ask(agentId, "Are you awake?")).content, "Good morning.");
    assert.equal(await wakes(agentId), 1);
    await reached(stack, agentId, "DEPLOYED", since);
    await asleep(agentId);
    const { body, status } = await ask(agentId, "/message", {
      method: "POST",
      body: JSON.stringify({ text: "And now?" }),
    });
    assert.deepEqual([status, JSON.parse(body).reply], [200, "Good morning."]);
    assert.equal(await wakes(agentId), 2);
  });

  test("probes and callers who show nothing do not wake a private agent", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    await asleep(agentId);
    for (const path of ["/health", "/ready"]) {
      const { body, status } = await ask(agentId, path, { anonymous: true });
      assert.deepEqual([status, JSON.parse(body)], [200, { status: "asleep" }]);
    }
    const stranger = await ask(agentId, "/", { anonymous: true });
    assert.deepEqual([stranger.status, JSON.parse(stranger.body).error.code], [401, "INVALID_API_KEY"]);
    assert.equal(await wakes(agentId), 0);
  });

  test("a stopped agent is not woken, and its callers are told", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    await asleep(agentId);
    const since = await lastEvent(agentId);
    assert.equal((await call("POST", `/agents/${agentId}/stop`)).status, 202);
    await reached(stack, agentId, "STOPPED", since);
    const { body, status } = await ask(agentId);
    assert.ok([404, 409].includes(status), `${status} ${body}`);
    assert.equal(await wakes(agentId), 0);
  });

  test("a controller that is killed while it holds requests: each is answered, and the agent wakes", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    await asleep(agentId);
    const since = await lastEvent(agentId);
    const open = Array.from({ length: 20 }, () => ask(agentId));
    const controller = () =>
      tree(stackPid).find(({ command }) => command.includes("packages/controller/src/main.ts"));
    const before = controller();
    assert.ok(before);
    await eventually("the database knows of the wake", async () => (await wakes(agentId)) === 1);
    process.kill(before.pid, "SIGKILL");
    const answers = await Promise.all(open);
    for (const { body, status } of answers) assert.ok([200, 503].includes(status), `${status} ${body}`);
    await reached(stack, agentId, "DEPLOYED", since);
    await eventually("it answers again", async () => (await ask(agentId)).status === 200);
    assert.ok(!stillRunning([before]).length, "the killed controller is gone");
  });
});
