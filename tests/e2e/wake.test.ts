// Requests to sleeping agents on the whole stack: held, woken once, answered; and what the callers see when something dies.
import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { AgentLaunchpadClient } from "@agent-launchpad/sdk";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, forgedToken, launched, reached } from "../helpers/agents.ts";
import { eventually, stillRunning, tree } from "../helpers/processes.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startRegistry } from "../helpers/registry.ts";
import { canListProcesses, replicaCounts } from "../helpers/replicas.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const small = { memory: "128Mi", cpu: "50m" };

describe("requests to sleeping agents", { skip: !canListProcesses }, () => {
  let stack: TestStack;
  let provider: ProviderStub;
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let owner: TestUser;
  let stackPid: number;
  const connections = new Agent({ maxSockets: Number.POSITIVE_INFINITY });

  beforeAll(async () => {
    provider = await startProviderStub(() => "Good morning.");
    registry = await startRegistry(null, []);
    stack = await startTestStack({ env: { ...provider.environment, npm_config_registry: registry.url } });
    stackPid = stack.process?.pid ?? 0;
    await stack.raiseRateLimits();
    owner = await stack.createUser();
  });
  afterAll(async () => {
    connections.destroy();
    await stack?.stop();
    await provider?.close();
    await registry?.[Symbol.asyncDispose]();
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
      "select from public.agent_events where agent_id = $1 and from_phase in ('SLEEPING', 'ASLEEP') and to_phase = 'WAKING'",
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
    more: {
      token?: string;
      headers?: Record<string, string>;
      method?: string;
      body?: string;
      signal?: AbortSignal;
    } = {},
  ) =>
    new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
      const outgoing = request(`${stack.info.apiUrl}/agents/${agentId}${path}`, {
        agent: connections,
        ...(more.signal === undefined ? {} : { signal: more.signal }),
        method: more.method ?? "GET",
        headers: {
          ...(more.token === "" ? {} : { authorization: `Bearer ${more.token ?? owner.token}` }),
          ...more.headers,
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

  test("probes, strangers and forged or foreign credentials do not wake a private agent; a key does", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    const other = await launched(stack, owner, { resources: small });
    const stranger = await stack.createUser();
    const keyOf = async (of: string, more = {}) =>
      (await call("POST", `/agents/${of}/keys`, { name: "k", scopes: ["invoke", "read"], ...more })).body
        .key as string;
    const [key, foreign] = [
      await keyOf(agentId, { origins: ["https://app.example.com"] }),
      await keyOf(other),
    ];
    await asleep(agentId);
    for (const path of ["/health", "/ready"]) {
      const { body, status } = await ask(agentId, path, { token: "" });
      assert.deepEqual([status, JSON.parse(body)], [200, { status: "asleep" }]);
    }
    const preflight = (origin: string) => ({ origin, "access-control-request-method": "POST" });
    const REFUSED: [string, number, string, Parameters<typeof ask>[2]][] = [
      ["nothing", 401, "INVALID_API_KEY", { token: "" }],
      ["any word", 401, "INVALID_API_KEY", { token: "whatever" }],
      ["a signature", 401, "INVALID_API_KEY", { token: "", headers: { "x-launchpad-signature": "v1=00" } }],
      ["a key that is none", 401, "INVALID_API_KEY", { token: `lp_${"x".repeat(43)}` }],
      ["a key of another agent", 401, "INVALID_API_KEY", { token: foreign }],
      ["a forged token of the owner", 401, "INVALID_API_KEY", { token: forgedToken(owner) }],
      ["another user's token", 404, "AGENT_NOT_FOUND", { token: stranger.token }],
      [
        "another page's preflight",
        403,
        "INSUFFICIENT_PERMISSIONS",
        { token: "", method: "OPTIONS", headers: preflight("https://evil.example.com") },
      ],
    ];
    for (const [what, expected, code, shown] of REFUSED) {
      const { body, status } = await ask(agentId, "/", shown);
      assert.deepEqual([status, JSON.parse(body).error.code], [expected, code], what);
    }
    assert.equal(await wakes(agentId), 0);
    const since = await lastEvent(agentId);
    const asked = await ask(agentId, "/", {
      token: "",
      method: "OPTIONS",
      headers: preflight("https://app.example.com"),
    });
    assert.deepEqual([asked.status, await wakes(agentId)], [204, 1]);
    await reached(stack, agentId, "DEPLOYED", since);
    await asleep(agentId);
    assert.equal((await ask(agentId, "/", { token: key })).status, 200);
    assert.equal(await wakes(agentId), 2);
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

  /** What the controller says of the requests that wait at it. */
  async function waiting() {
    const [row] = await stack.sql<{ url: string }>(
      "select report ->> 'url' as url from private.controllers order by heartbeat_at desc limit 1",
    );
    const figure = (text: string, name: string) =>
      Number(
        text
          .split("\n")
          .find((line) => line.startsWith(`${name} `))
          ?.split(" ")[1] ?? 0,
      );
    return async () => {
      const text = await (await fetch(`${row?.url}/metrics`)).text();
      return {
        held: figure(text, "launchpad_held_requests"),
        left: figure(text, 'launchpad_held_request_seconds_count{outcome="left"}'),
      };
    };
  }

  test("a sleeper whose change cannot start wakes as it was before, and its status says why", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    await asleep(agentId);
    const change = (plugins: string[]) => call("PUT", `/agents/${agentId}`, { plugins });
    await stack.sql("insert into private.plugin_rules (pattern) values ('no-such-plugin-of-anyone')");
    assert.equal((await change(["no-such-plugin-of-anyone"])).status, 202);
    let since = await lastEvent(agentId);
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask(agentId)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    assert.equal(await wakes(agentId), 1);
    await reached(stack, agentId, "FAILED", since);
    const { body } = await call("GET", `/agents/${agentId}/status`);
    assert.deepEqual([body.status, body.reason], ["FAILED", "PLUGIN_NOT_FOUND"]);
    since = await lastEvent(agentId);
    assert.equal((await change([])).status, 202);
    await reached(stack, agentId, "DEPLOYED", since);
    assert.equal((await ask(agentId)).status, 200);
  });

  test("a sleeper that is changed, scaled and rolled back wakes as that; deleted, its callers are told", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    await asleep(agentId);
    const id = `/agents/${agentId}`;
    for (const [method, path, body] of [
      ["PUT", id, { system_prompt: "Be brief." }],
      ["POST", `${id}/scale`, { replicas: 2 }],
      ["POST", `${id}/rollback`, { revision: 1 }],
    ] as const) {
      const { body: answer, status } = await call(method, path, body);
      assert.equal(status, 202, JSON.stringify(answer));
    }
    assert.equal((await ask(agentId)).status, 200);
    assert.equal(await wakes(agentId), 1);
    await eventually("two replicas", () => replicaCounts(stackPid).get(agentId) === 2);
    const [row] = await stack.sql<{ revision: number }>(
      "select revision from private.agent_deployments where agent_id = $1",
      [agentId],
    );
    assert.equal(row?.revision, 3);
    await eventually("it has settled", async () => {
      const { body } = await call("GET", `${id}/status`);
      return body.status === "DEPLOYED";
    });
    await asleep(agentId);
    assert.ok([200, 202].includes((await call("DELETE", id)).status));
    const { body, status } = await ask(agentId);
    assert.deepEqual([status, JSON.parse(body).error.code], [404, "AGENT_NOT_FOUND"]);
    assert.equal(await wakes(agentId), 1);
  });

  test("a client that hangs up while it is held is let go, and the others are answered", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    await asleep(agentId);
    // A controller that may claim nothing brings up no replica: whoever asks waits.
    await stack.sql("update private.controllers set drained = true");
    const look = await waiting();
    const before = await look();
    const hangUp = new AbortController();
    const leavers = Array.from({ length: 5 }, () => ask(agentId, "/", { signal: hangUp.signal }));
    const gone = Promise.allSettled(leavers);
    const stayers = Array.from({ length: 5 }, () => ask(agentId));
    await eventually("ten are held", async () => (await look()).held === 10);
    hangUp.abort();
    await gone;
    await eventually("five are let go", async () => {
      const { held, left } = await look();
      return held === 5 && left - before.left === 5;
    });
    await stack.sql("update private.controllers set drained = false");
    assert.deepEqual([...new Set((await Promise.all(stayers)).map(({ status }) => status))], [200]);
    assert.equal(await wakes(agentId), 1);
  });

  /** Stops every process of Postgres, the one that starts the others first. @returns lets them go on */
  function stopDatabase(): () => void {
    const isPostgres = ({ command }: { command: string }) => /^(\S*\/)?postgres[: ]/.test(command);
    const first = tree(stackPid).find(isPostgres);
    assert.ok(first, "Postgres runs");
    const stopped: number[] = [];
    const stop = (pid: number) => {
      if (!signal(pid, "SIGSTOP")) return;
      stopped.push(pid);
    };
    stop(first.pid);
    // No other comes from here on; one that has just ended need not be stopped.
    for (const { pid } of tree(first.pid)) if (pid !== first.pid) stop(pid);
    assert.ok(stopped.length > 1, "its workers too");
    return () => {
      for (const pid of stopped.reverse()) signal(pid, "SIGCONT");
    };
  }

  test("a database that stops while an agent sleeps: its callers are held, and answered when it goes on", async () => {
    const agentId = await launched(stack, owner, { resources: small });
    await asleep(agentId);
    const look = await waiting();
    const goOn = stopDatabase();
    const open = Array.from({ length: 5 }, () => ask(agentId));
    try {
      await eventually("they are held", async () => (await look()).held === 5);
    } finally {
      goOn();
    }
    assert.deepEqual([...new Set((await Promise.all(open)).map(({ status }) => status))], [200]);
    assert.equal(await wakes(agentId), 1);
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
    for (const { body, headers, status } of answers) {
      assert.ok([200, 503].includes(status), `${status} ${body}`);
      if (status === 503) assert.ok(Number(headers["retry-after"]) > 0, `when to try again: ${body}`);
    }
    await reached(stack, agentId, "DEPLOYED", since);
    await eventually("it answers again", async () => (await ask(agentId)).status === 200);
    assert.ok(!stillRunning([before]).length, "the killed controller is gone");
  });
});

/** @returns false: it has ended */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}
