// The Node SDK against the whole stack, through real supabase-js: the specification's sample, and every call of the client.
import assert from "node:assert/strict";
import { AgentLaunchpadClient, AgentLaunchpadError, type AgentUpdate } from "@agent-launchpad/sdk";
import { createClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { eventually } from "../helpers/processes.ts";
import { startProviderStub } from "../helpers/providers.ts";
import { Inbox, subscribed } from "../helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";
import { startTcpProxy } from "../helpers/tcp-proxy.ts";

const SMALL = { memory: "256Mi", cpu: "100m" };

let stack: TestStack;
let owner: TestUser;
let other: TestUser;
let client: AgentLaunchpadClient;
let others: AgentLaunchpadClient;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  client = clientOf(owner);
  others = clientOf(other);
});
afterAll(async () => {
  await Promise.all([owner, other].map((user) => user.client.removeAllChannels()));
  await stack.stop();
});

function clientOf(user: TestUser, baseUrl = stack.info.apiUrl): AgentLaunchpadClient {
  return new AgentLaunchpadClient({ supabaseClient: user.client, baseUrl });
}

/** What a rejected call says. */
async function failure(call: Promise<unknown> | PromiseLike<unknown>): Promise<AgentLaunchpadError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof AgentLaunchpadError, String(error));
    assert.match(error.message, /^[^\n]+$/);
    return error;
  }
  throw new assert.AssertionError({ message: "the call did not fail" });
}

/** A definition through REST: nothing runs. */
async function definition(user = owner): Promise<string> {
  const { data, error } = await user.client
    .from("agents")
    .insert({ name: "definition" })
    .select("id")
    .single();
  if (error) throw error;
  return data.id;
}

let sequence = 0;
async function log(agentId: string, message: string, replica = "r-1"): Promise<void> {
  await stack.sql(
    `insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, replica, sequence)
     values ($1, $2, clock_timestamp(), 'INFO', $3, 'agent', $4, $5)`,
    [agentId, owner.id, message, replica, ++sequence],
  );
}

describe("every call of client.agents, on a real agent", () => {
  test("create, waitUntil, get, getStatus, list, update, scale, restart, revisions, rollback, stop, start, deploy, delete", async () => {
    const seen: string[] = [];
    const made = await client.agents.create({
      agentName: "sdk-agent",
      resources: SMALL,
      platforms: ["discord"],
    });
    assert.equal(made.status, "QUEUED");
    const { agentId } = made;
    const report = await client.agents.waitUntil(agentId, "DEPLOYED", {
      onProgress: (update) => {
        if (update.type === "status") seen.push(update.status);
      },
    });
    assert.equal(report.status, "DEPLOYED");
    assert.equal(seen.at(-1), "DEPLOYED");
    assert.match(report.url ?? "", new RegExp(agentId));
    assert.equal((await client.agents.getStatus(agentId)).health.kubernetes.readyReplicas, 1);
    assert.equal((await client.agents.get(agentId)).name, "sdk-agent");
    assert.deepEqual(
      (await client.agents.list({ platform: "discord", status: "DEPLOYED" })).agents.map(
        (agent) => agent.agentId,
      ),
      [agentId],
    );

    const updated = await client.agents.update(agentId, {
      description: "changed",
      system_prompt: "Be brief.",
    });
    assert.equal(updated.status, "UPDATING");
    await client.agents.waitUntil(agentId);
    assert.equal((await client.agents.scale(agentId, 2)).targetReplicas, 2);
    await client.agents.waitUntil(agentId);
    const scaled = await client.agents.scale(agentId, { replicas: 1, scaling_policy: { max_replicas: 2 } });
    assert.equal(scaled.status, "SCALING");
    await client.agents.waitUntil(agentId);
    assert.equal((await client.agents.restart(agentId)).status, "RESTARTING");
    await client.agents.waitUntil(agentId);
    const { revisions, total } = await client.agents.revisions(agentId);
    assert.equal(revisions.length, total);
    assert.ok(total >= 2);
    assert.equal((await client.agents.revisions(agentId, { limit: 1 }).all()).length, total);
    assert.equal((await client.agents.rollback(agentId, 1)).rolledBackTo, 1);
    await client.agents.waitUntil(agentId);
    await client.agents.update(agentId, { platforms: [], idle: { afterSeconds: 3600 } });
    await client.agents.waitUntil(agentId);
    assert.equal((await client.agents.sleep(agentId)).status, "SLEEPING");
    await client.agents.waitUntil(agentId, ["ASLEEP"]);
    assert.equal((await client.agents.getStatus(agentId)).sleep.reason, "REQUESTED");
    assert.equal((await client.agents.wake(agentId)).status, "WAKING");
    await client.agents.waitUntil(agentId);
    assert.equal((await client.agents.stop(agentId)).status, "STOPPING");
    await client.agents.waitUntil(agentId, ["STOPPED"]);
    assert.equal((await client.agents.start(agentId)).agentId, agentId);
    await client.agents.waitUntil(agentId);
    assert.ok((await client.agents.stopAll()).agents.includes(agentId));
    await client.agents.waitUntil(agentId, "STOPPED");
    assert.equal((await client.agents.deploy(agentId)).agentId, agentId);
    await client.agents.waitUntil(agentId);
    const bundle = await client.agents.export(agentId);
    assert.equal(bundle.format, "agent-launchpad/agent");
    const imported = await client.agents.import(bundle);
    assert.notEqual(imported.agentId, agentId);
    await client.agents.delete(imported.agentId);
    assert.equal((await client.agents.delete(agentId)).status, "DELETING");
    assert.equal(await client.agents.waitUntil(agentId, "DELETED"), null);
    assert.equal((await failure(client.agents.waitUntil(agentId, "DEPLOYED"))).code, "AGENT_NOT_FOUND");
  });

  test("getLogs and tailLogs show each line once, in order", async () => {
    const agentId = await definition();
    await log(agentId, "before 1");
    await log(agentId, "before 2");
    assert.deepEqual(
      (await client.agents.getLogs(agentId)).logs.map(({ message }) => message),
      ["before 1", "before 2"],
    );
    const lines: string[] = [];
    const states: string[] = [];
    const shapes = new Set<string>();
    for await (const line of client.agents.tailLogs(agentId, {
      lines: 1,
      onConnection: (state) => {
        states.push(state);
        if (state === "live") void log(agentId, "after 1").then(() => log(agentId, "after 2"));
      },
    })) {
      lines.push(line.message);
      shapes.add([...Object.keys(line), ...Object.keys(line.metadata)].sort().join());
      assert.match(line.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      if (lines.length === 3) break;
    }
    assert.equal(shapes.size, 1, "what was and what comes have one form");
    assert.deepEqual(lines, ["before 2", "after 1", "after 2"]);
    assert.equal(states.at(-1), "closed");
    assert.equal(owner.client.getChannels().length, 0);
  });

  test("tailLogs ends with its signal", async () => {
    const agentId = await definition();
    const ending = new AbortController();
    const tail = client.agents.tailLogs(agentId, {
      signal: ending.signal,
      onConnection: (state) => state === "live" && ending.abort(),
    });
    assert.deepEqual(await tail.next(), { done: true, value: undefined });
  });

  test("getMetrics tells the newest figures", async () => {
    const agentId = await definition();
    const { metrics } = await client.agents.getMetrics(agentId, { range: "1h" });
    assert.equal(metrics.cpu.usage, null);
  });

  test("a launch that fails rejects waitUntil with its reason", async () => {
    const { agentId } = await client.agents.create({
      agentName: "poor",
      plugins: ["@elizaos/plugin-that-is-not"],
    });
    const error = await failure(client.agents.waitUntil(agentId));
    assert.equal(error.code, "DEPLOYMENT_FAILED");
    assert.equal(typeof error.details?.reason, "string");
    await client.agents.delete(agentId);
  });

  test("waitUntil tells each event once, with `after` also those before it", async () => {
    const { agentId } = await client.agents.create({ agentName: "told" });
    const told: { seq: number; to: string | null }[] = [];
    for (let late = 0; late < 2; late += 1) {
      told.length = 0;
      await client.agents.waitUntil(agentId, "DEPLOYED", {
        after: 0,
        onProgress(update) {
          if (update.type === "event") told.push({ seq: update.event.seq, to: update.event.to_phase });
        },
      });
      assert.deepEqual(
        told.map(({ seq }) => seq),
        told.map((_, index) => index + 1),
      );
      assert.ok(told.some(({ to }) => to === "DEPLOYED"));
    }
    await client.agents.delete(agentId);
  });

  test("waitUntil gives up in time, and at once when told", async () => {
    const agentId = await definition();
    assert.equal(
      (await failure(client.agents.waitUntil(agentId, "DEPLOYED", { timeout: 200 }))).code,
      "TIMEOUT",
    );
    const reason = new Error("enough");
    const given = AbortSignal.abort(reason);
    await assert.rejects(client.agents.waitUntil(agentId, "DEPLOYED", { signal: given }), reason);
  });

  test("a list is read page by page", async () => {
    const user = await stack.createUser();
    const lister = clientOf(user);
    for (let count = 0; count < 5; count += 1) await definition(user);
    const names = [];
    for await (const agent of lister.agents.list({ limit: 2 })) names.push(agent.agentId);
    assert.equal(new Set(names).size, 5);
    const page = await lister.agents.list({ limit: 2, offset: 4 });
    assert.equal(page.agents.length, 1);
    assert.equal(page.total, 5);
    assert.equal(page.nextCursor, null);
  });

  test("deleting each item of a walk leaves none, of agents, swarms and messages", async () => {
    const user = await stack.createUser();
    const walker = clientOf(user);
    await stack.sql("insert into public.agents (user_id, name) select $1, 'a' from generate_series(1, 45)", [
      user.id,
    ]);
    await stack.sql(
      "insert into public.swarms (user_id, name) select $1, 's' || n from generate_series(1, 45) n",
      [user.id],
    );
    const walks = [walker.agents.list({ limit: 7 }), walker.swarms.list({ limit: 7 })] as const;
    let count = 0;
    for await (const { agentId } of walks[0]) {
      await walker.agents.delete(agentId);
      count += 1;
    }
    for await (const { id } of walks[1]) {
      await walker.swarms.delete(id);
      count += 1;
    }
    assert.equal(count, 90);
    assert.equal((await walker.agents.list()).total, 0);
    assert.deepEqual(await walker.swarms.list(), []);
    const swarm = await walker.swarms.create({ name: "talk" });
    for (let word = 0; word < 9; word += 1)
      await walker.messages.send({ swarm_id: swarm.id, content: `${word}` });
    const said = [];
    for await (const { id, content } of walker.messages.list({ swarmId: swarm.id }, { limit: 2 })) {
      said.push(content);
      await walker.messages.delete(id);
    }
    assert.deepEqual(said, ["8", "7", "6", "5", "4", "3", "2", "1", "0"]);
    assert.deepEqual(await walker.messages.list({ swarmId: swarm.id }), []);
  });

  test("log lines beyond one page are read by cursor", async () => {
    const agentId = await definition();
    for (let line = 0; line < 7; line += 1) await log(agentId, `line ${line}`);
    const lines: string[] = [];
    let after: string | undefined;
    do {
      const page = await client.agents.getLogs(agentId, { lines: 3, after });
      lines.unshift(...page.logs.map(({ message }) => message));
      after = page.nextCursor ?? undefined;
    } while (after !== undefined);
    assert.deepEqual(
      lines,
      Array.from({ length: 7 }, (_, line) => `line ${line}`),
    );
  });
});

describe("the other calls", () => {
  test("security: events, scan, checkRlsPolicies, subscribe", async () => {
    const agentId = await definition();
    const updates = new Inbox<unknown>();
    const stop = client.security.subscribe(updates.push, {
      onConnection: (state) => state === "live" && updates.push(state),
    });
    await updates.first((update) => update === "live");
    const scan = await client.security.scan(agentId);
    assert.equal(scan.agentId, agentId);
    await stack.sql(
      "insert into public.security_events (event_type, severity, user_id, message) values ('TEST', 'HIGH', $1, 'a'), ('TEST', 'HIGH', $2, 'b')",
      [owner.id, other.id],
    );
    const found = await updates.first(
      (update) => (update as { event?: { event_type: string } }).event?.event_type === "TEST",
    );
    assert.equal((found as { event: { message: string } }).event.message, "a");
    stop();
    const { events } = await client.security.events({ severity: "HIGH" });
    assert.ok(
      events.some(({ message }) => message === "a") && !events.some(({ message }) => message === "b"),
    );
    const { tables } = await client.security.checkRlsPolicies();
    assert.equal(tables.agents?.rls_enabled, true);
  });

  test("health, system and users", async () => {
    assert.ok(["HEALTHY", "DEGRADED"].includes((await client.health.get()).status));
    assert.equal((await client.health.supabase()).supabase_health.database, "HEALTHY");
    assert.ok((await client.system.getMetrics()).system.totalAgents >= 0);
    assert.equal((await client.users.getProfile()).user.email, owner.email);
    const changed = await client.users.updateProfile({ user_metadata: { full_name: "A Person" } });
    assert.equal(changed.user.user_metadata.full_name, "A Person");
    assert.equal((await client.users.export()).user_id, owner.id);
    assert.equal((await client.users.setSecret("MODEL_KEY", "one")).version, 1);
    assert.deepEqual(await client.users.setSecret("MODEL_KEY", "one").then(({ changed }) => changed), false);
    assert.equal((await client.users.setSecret("MODEL_KEY", "two")).version, 2);
    assert.deepEqual(
      (await client.users.listSecrets()).map(({ name, version }) => ({ name, version })),
      [{ name: "MODEL_KEY", version: 2 }],
    );
    assert.deepEqual(await clientOf(await stack.createUser()).users.listSecrets(), []);
    await client.users.removeSecret("MODEL_KEY");
    assert.equal((await failure(client.users.removeSecret("MODEL_KEY"))).code, "NOT_FOUND");
    const secretive = await definition();
    await client.agents.update(secretive, { environment: { A_KEY: "x" } });
    assert.deepEqual(
      (await client.agents.listSecrets(secretive)).map(({ name }) => name),
      ["A_KEY"],
    );
    const leaver = await stack.createUser();
    assert.equal((await clientOf(leaver).users.deleteAccount(leaver.email)).status, "DELETED");
  });

  test("swarms", async () => {
    const agentId = await definition();
    const swarm = await client.swarms.create({ name: "Team", reply_mode: "addressed" });
    assert.equal((await client.swarms.get(swarm.id)).name, "Team");
    assert.equal((await client.swarms.update(swarm.id, { name: "Crew" })).name, "Crew");
    assert.equal((await client.swarms.addAgent(swarm.id, agentId)).position, 1);
    assert.deepEqual(
      (await client.swarms.agents(swarm.id)).map((member) => member.agent_id),
      [agentId],
    );
    await client.swarms.removeAgent(swarm.id, agentId);
    assert.deepEqual(await client.swarms.agents(swarm.id), []);
    assert.equal((await failure(client.swarms.removeAgent(swarm.id, agentId))).code, "NOT_FOUND");
    assert.deepEqual(
      (await client.swarms.list()).map(({ id }) => id),
      [swarm.id],
    );
    assert.equal((await failure(others.swarms.get(swarm.id))).code, "NOT_FOUND");
    assert.equal((await failure(others.swarms.addAgent(swarm.id, agentId))).code, "NOT_FOUND");
    await client.swarms.delete(swarm.id);
    assert.deepEqual(await client.swarms.list(), []);
    assert.equal((await failure(client.swarms.create({ name: "" }))).details?.name, "Name is required");
  });

  test("messages: ask, subscribe, list, send, delete", async () => {
    await using provider = await startProviderStub(() => "Good day to you");
    const { agentId } = await client.agents.create({
      agentName: "talker",
      resources: SMALL,
      framework: "openai",
      environment: provider.environment,
    });
    await client.agents.waitUntil(agentId);
    const updates = new Inbox<{ type: string; message?: { content: string } }>();
    const stop = client.messages.subscribe({ agentId }, updates.push as () => void);
    let text = "";
    const answer = await client.messages.ask(agentId, "Hello", {
      onText: (piece, restarted) => {
        text = restarted ? piece : text + piece;
      },
    });
    assert.equal(answer.content, "Good day to you");
    assert.equal(text, "Good day to you");
    await updates.first(({ message }) => message?.content === "Good day to you");
    stop();
    const steps = await eventually("the trace is kept", async () => {
      const found = await client.messages.steps(answer.id);
      return found.length > 0 ? found : undefined;
    });
    assert.deepEqual(
      steps.map(({ kind, status, message_id, error }) => [kind, status, message_id, error]),
      [["model", "ok", answer.id, null]],
    );
    assert.deepEqual(await client.messages.steps(answer.reply_to ?? ""), steps, "by the question too");
    assert.deepEqual(await others.messages.steps(answer.id), []);
    const again = await client.messages.ask(agentId, "And again", {
      conversationId: answer.conversation_id ?? "",
    });
    assert.equal(again.conversation_id, answer.conversation_id);
    const conversation = await client.messages.list({ conversationId: answer.conversation_id ?? "" });
    assert.deepEqual(
      conversation.map(({ sender_kind }) => sender_kind),
      ["agent", "user", "agent", "user"],
    );
    assert.deepEqual(await client.messages.list({ agentId }).all(), conversation);
    assert.deepEqual(await others.messages.list({ agentId }), []);
    await client.messages.delete(answer.id);
    assert.equal((await client.messages.list({ agentId })).length, 3);
    const stranger = await failure(others.messages.send({ to_agent_id: agentId, content: "Hi" }));
    assert.equal(stranger.code, "AGENT_NOT_FOUND");
    assert.equal(owner.client.getChannels().length, 0);
    await client.agents.delete(agentId);
  });

  test("an agent without a model says why it cannot answer", async () => {
    const agentId = await definition();
    const error = await failure(client.messages.ask(agentId, "Hello"));
    assert.equal(error.code, "ANSWER_FAILED");
    assert.equal(typeof error.details?.code, "string");
    assert.equal((await failure(others.messages.ask(agentId, "Hello"))).code, "AGENT_NOT_FOUND");
    const reason = new Error("enough");
    const slow = client.messages.ask(agentId, "Hello", { signal: AbortSignal.abort(reason) });
    await assert.rejects(slow, reason);
  });
});

describe("who is nobody, or somebody else", () => {
  test("another user's agent is not found, by call and by subscription", async () => {
    const agentId = await definition();
    const error = await failure(others.agents.getStatus(agentId));
    assert.deepEqual([error.code, error.status], ["AGENT_NOT_FOUND", 404]);
    assert.match(error.requestId ?? "", /^req-/);
    assert.equal(error.supabaseDetails?.user_isolation, "active");
    const updates = new Inbox<AgentUpdate>();
    others.subscribeToAgent(agentId, updates.push);
    const update = await updates.first((each) => each.type !== "error" || each.final);
    assert.ok(update.type === "error");
    assert.equal(update.error.code, "AGENT_NOT_FOUND");
    assert.equal(other.client.getChannels().length, 0);
    assert.equal((await failure(others.agents.delete(agentId))).code, "AGENT_NOT_FOUND");
    assert.equal((await failure(others.agents.waitUntil(agentId))).code, "AGENT_NOT_FOUND");
  });

  test("without a user nothing is requested", async () => {
    let requests = 0;
    const nobody = new AgentLaunchpadClient({
      supabaseClient: stack.client(),
      baseUrl: stack.info.apiUrl,
      fetch: (...request) => {
        requests += 1;
        return fetch(...request);
      },
    });
    for (const call of [
      nobody.agents.list(),
      nobody.agents.create({ agentName: "x" }),
      nobody.swarms.list(),
    ]) {
      const error = await failure(call);
      assert.deepEqual([error.code, error.status], ["INVALID_JWT_TOKEN", 0]);
      assert.match(error.message, /sign in/);
    }
    assert.equal((await failure(nobody.agents.waitUntil("agent-x"))).code, "INVALID_JWT_TOKEN");
    assert.equal((await failure(nobody.agents.tailLogs("agent-x").next())).code, "INVALID_JWT_TOKEN");
    assert.equal(requests, 0);
  });

  test("a forged token is refused, by call and by subscription", async () => {
    const forged = createClient(stack.info.apiUrl, stack.info.publishableKey, {
      accessToken: async () => forgedToken(owner),
    });
    const forger = new AgentLaunchpadClient({ supabaseClient: forged, baseUrl: stack.info.apiUrl });
    const error = await failure(forger.agents.list());
    assert.deepEqual([error.code, error.status], ["INVALID_JWT_TOKEN", 401]);
    const updates = new Inbox<AgentUpdate>();
    const stop = forger.subscribeToAgent(await definition(), updates.push);
    // Realtime may refuse it too, and before.
    await updates.first((told) => told.type === "error" && told.error.code === "INVALID_JWT_TOKEN");
    stop();
    assert.ok(updates.all.every(({ type }) => type === "error"));
  });

  test("a client that takes tokens from a function, and one with a fixed token", async () => {
    const agentId = await definition();
    const byFunction = createClient(stack.info.apiUrl, stack.info.publishableKey, {
      accessToken: async () => owner.token,
    });
    const fixed = createClient(stack.info.apiUrl, stack.info.publishableKey, {
      global: { headers: { Authorization: `Bearer ${owner.token}` } },
      auth: { persistSession: false, autoRefreshToken: false },
    });
    const failing = createClient(stack.info.apiUrl, stack.info.publishableKey, {
      accessToken: () => Promise.reject(new Error("no token today")),
    });
    const refused = new AgentLaunchpadClient({ supabaseClient: failing, baseUrl: stack.info.apiUrl });
    assert.equal((await failure(refused.agents.list())).code, "INVALID_JWT_TOKEN");
    for (const [supabase, isLive] of [
      [byFunction, true],
      [fixed, false],
    ] as const) {
      const calling = new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: stack.info.apiUrl });
      assert.equal((await calling.agents.get(agentId)).agentId, agentId);
      const updates = new Inbox<AgentUpdate>();
      const states = new Inbox<string>();
      const stop = calling.subscribeToAgent(agentId, updates.push, { onConnection: states.push });
      await updates.first(({ type }) => type === "status");
      if (isLive) await states.first((state) => state === "live");
      await log(agentId, "heard", `r-${isLive}`);
      await updates.first((update) => update.type === "log" && update.log.replica === `r-${isLive}`);
      assert.equal(
        updates.all.some((update) => update.type === "error"),
        !isLive,
      );
      stop();
      assert.equal(states.all.at(-1), "closed");
    }
  });
});

describe("a subscription", () => {
  test("begins when someone signs in, ends with the agent, and tells the others nothing", async () => {
    const user = await stack.createUser();
    const supabase = stack.client();
    const late = new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: stack.info.apiUrl });
    const { data } = await user.client.from("agents").insert({ name: "late" }).select("id").single();
    const agentId = data?.id as string;
    const updates = new Inbox<AgentUpdate>();
    const states = new Inbox<string>();
    const returned = late.subscribeToAgent(agentId, updates.push, { onConnection: states.push });
    assert.equal(typeof returned, "function");
    const first = await updates.first();
    assert.equal(first.type === "error" && first.error.code, "INVALID_JWT_TOKEN");
    assert.ok(first.type === "error" && !first.final);
    await supabase.auth.signInWithPassword({ email: user.email, password: user.password });
    await states.first((state) => state === "live");
    assert.equal((await updates.first(({ type }) => type === "status")).type, "status");
    await supabase.from("agents").update({ status: "thinking" }).eq("id", agentId);
    await updates.first((update) => update.type === "status" && update.status === "THINKING");
    await supabase.from("agents").delete().eq("id", agentId);
    await updates.first((update) => update.type === "status" && update.status === "DELETED");
    await states.first((state) => state === "closed");
    assert.equal(supabase.getChannels().length, 0);
    returned();
  });

  test("several of one agent are apart, and each has what it asked for", async () => {
    const agentId = await definition();
    const [all, logs] = [new Inbox<AgentUpdate>(), new Inbox<AgentUpdate>()];
    const states = new Inbox<string>();
    const stopAll = client.subscribeToAgent(agentId, all.push, { onConnection: states.push, after: 0 });
    const stopLogs = client.subscribeToAgent(agentId, logs.push, {
      onConnection: states.push,
      include: ["log"],
    });
    await states.until(() => states.all.filter((state) => state === "live").length === 2);
    const created = await all.first(({ type }) => type === "event");
    assert.equal(created.type === "event" && created.event.seq, 1);
    stopAll();
    await log(agentId, "for one");
    await logs.first(({ type }) => type === "log");
    assert.ok(!all.all.some(({ type }) => type === "log"));
    assert.ok(logs.all.every(({ type }) => type === "log"));
    stopLogs();
    assert.equal(owner.client.getChannels().length, 0);
  });

  test("that has ended leaves the connection to a channel of the user's own that follows it at once", async () => {
    const agentId = await definition();
    for (let round = 0; round < 10; round += 1) {
      const states = new Inbox<string>();
      const stop = client.subscribeToAgent(agentId, () => {}, { onConnection: states.push });
      await states.first((state) => state === "live");
      stop();
      // At every moment of the subscription's end: at once, and a little later.
      await new Promise((resolve) => setTimeout(resolve, round));
      const told: string[] = [];
      const own = await subscribed(owner.client.channel(`own-${round}`), (status) => told.push(status));
      assert.deepEqual(told, ["SUBSCRIBED"]);
      await owner.client.removeChannel(own);
    }
  });

  test("closes the connection when it was the last channel for a while", async () => {
    const stop = client.subscribeToAgent(await definition(), () => {});
    await eventually("it is open", () => owner.client.realtime.isConnected());
    stop();
    await eventually("it is closed", () => !owner.client.realtime.isConnected());
  });

  test("a callback that throws stops neither the subscription nor the others", async (t) => {
    const agentId = await definition();
    const thrown = new Inbox<Error>();
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", thrown.push);
    t.onTestFinished(() => {
      process.removeAllListeners("uncaughtException");
      for (const listener of listeners) process.on("uncaughtException", listener);
    });
    const stop = client.subscribeToAgent(agentId, () => {
      throw new Error("mine");
    });
    assert.equal((await thrown.first()).message, "mine");
    await log(agentId, "again");
    await thrown.count(2);
    stop();
  });

  test("misses nothing and repeats nothing when its connection is cut again and again", async () => {
    await using proxy = await startTcpProxy(stack.info.apiUrl);
    const supabase = createClient(proxy.url, stack.info.publishableKey, {
      auth: { persistSession: false, autoRefreshToken: false },
      realtime: { reconnectAfterMs: () => 50 },
    });
    await supabase.auth.signInWithPassword({ email: owner.email, password: owner.password });
    const cutOff = new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: proxy.url });
    const agentId = await definition();
    const updates = new Inbox<AgentUpdate>();
    const states = new Inbox<string>();
    const stop = cutOff.subscribeToAgent(agentId, updates.push, { onConnection: states.push, after: 0 });
    const written: string[] = [];
    const lines = () => updates.all.flatMap((update) => (update.type === "log" ? [update.log] : []));
    const events = () => updates.all.flatMap((update) => (update.type === "event" ? [update.event.seq] : []));
    /** Waits, and says what is missing where it waits in vain. */
    const until = async (inbox: Pick<Inbox<unknown>, "until">, done: () => boolean) => {
      try {
        await inbox.until(done);
      } catch {
        const shown = new Set(lines().map(({ message }) => message));
        const numbers = new Set(events());
        const missing = {
          lines: written.filter((line) => !shown.has(line)),
          events: written.map((_, index) => index + 2).filter((seq) => !numbers.has(seq)),
          written: written.length,
          states: states.all,
          lastLine: lines().at(-1),
          lastEvent: events().at(-1),
          errors: updates.all.flatMap((update) => (update.type === "error" ? [update.error.message] : [])),
        };
        assert.fail(`not in time: ${JSON.stringify(missing, undefined, 1)}`);
      }
    };
    const countOf = (wanted: string) => states.all.filter((state) => state === wanted).length;
    await until(states, () => countOf("live") === 1);

    const write = async (times: number) => {
      for (let count = 0; count < times; count += 1) {
        written.push(`line ${written.length + 1}`);
        await log(agentId, written.at(-1) as string, `cut-${written.length % 3}`);
        await stack.sql("select private.record_event($1, $2, 'TEST', 'test', 'test')", [agentId, owner.id]);
      }
    };
    for (let round = 1; round <= 4; round += 1) {
      await write(10);
      proxy.cut();
      await until(states, () => countOf("interrupted") >= round);
      await write(10);
      proxy.mend();
      await write(10); // while it comes back
      await until(states, () => countOf("live") >= round + 1);
    }
    await until(updates, () => lines().length >= written.length && events().length >= written.length + 1);
    stop();
    assert.deepEqual(
      events(),
      Array.from({ length: written.length + 1 }, (_, index) => index + 1),
    );
    assert.deepEqual(
      lines()
        .map(({ message }) => message)
        .sort(),
      [...written].sort(),
    );
    for (const replica of ["cut-0", "cut-1", "cut-2"]) {
      const numbers = lines().flatMap((line) => (line.replica === replica ? [line.sequence] : []));
      assert.deepEqual(
        numbers,
        [...numbers].sort((a, b) => a - b),
      );
    }
  });

  test("goes on by asking where Realtime cannot be reached", async () => {
    const supabase = createClient(stack.info.apiUrl, stack.info.publishableKey, {
      accessToken: async () => owner.token,
      realtime: { transport: NoWebSocket as unknown as typeof WebSocket },
    });
    const agentId = await definition();
    const updates = new Inbox<AgentUpdate>();
    const stop = new AgentLaunchpadClient({
      supabaseClient: supabase,
      baseUrl: stack.info.apiUrl,
    }).subscribeToAgent(agentId, updates.push);
    await updates.first(({ type }) => type === "status");
    await log(agentId, "by asking");
    await updates.first((update) => update.type === "log" && update.log.message === "by asking");
    await log(agentId, "and asking again");
    await updates.first((update) => update.type === "log" && update.log.message === "and asking again");
    stop();
  });
});

/** A WebSocket that never opens. */
class NoWebSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readyState = 0;
  send(): void {}
  close(): void {
    this.readyState = 3;
  }
}

describe("calls in trouble", () => {
  test("a launch whose answer was lost is repeated, and makes one agent", async () => {
    await using proxy = await startTcpProxy(stack.info.apiUrl);
    const user = await stack.createUser();
    const losing = clientOf(user, proxy.url);
    await losing.agents.list();
    proxy.loseNextAnswer();
    const { agentId } = await losing.agents.create({ agentName: "once", resources: SMALL });
    assert.equal(proxy.lost, 1);
    const { agents } = await losing.agents.list();
    assert.deepEqual(
      agents.map((agent) => agent.agentId),
      [agentId],
    );
    await losing.agents.delete(agentId);
  });

  test("a change whose answer was lost is not repeated", async () => {
    await using proxy = await startTcpProxy(stack.info.apiUrl);
    const losing = clientOf(owner, proxy.url);
    const agentId = await definition();
    await losing.agents.get(agentId);
    proxy.loseNextAnswer();
    const error = await failure(losing.agents.update(agentId, { description: "lost" }));
    assert.deepEqual([error.code, error.status], ["SUPABASE_CONNECTION_ERROR", 0]);
    assert.equal(proxy.lost, 1);
  });

  test("a rate limited call waits for its window, and no longer than it may", async (t) => {
    const user = await stack.createUser();
    const limited = clientOf(user);
    await stack.sql(
      "update public.rate_limits set max_requests = 2, window_seconds = 2 where bucket = 'api_burst'",
    );
    t.onTestFinished(async () => {
      await stack.sql(
        "update public.rate_limits set max_requests = 1000000, window_seconds = 60 where bucket = 'api_burst'",
      );
    });
    const began = performance.now();
    for (let count = 0; count < 5; count += 1) await limited.agents.list();
    assert.ok(performance.now() - began > 1_000, "five calls take more than one window of two seconds");
    assert.ok((limited.rateLimit?.limit ?? 0) > 0);
    // A window that no machine is too slow for.
    await stack.sql("update public.rate_limits set window_seconds = 600 where bucket = 'api_burst'");
    const impatient = new AgentLaunchpadClient({
      supabaseClient: user.client,
      baseUrl: stack.info.apiUrl,
      maxRetryWait: 0,
    });
    const error = await failure(
      (async () => {
        for (let count = 0; count < 5; count += 1) await impatient.agents.list();
      })(),
    );
    assert.deepEqual([error.code, error.status], ["RATE_LIMIT_EXCEEDED", 429]);
    assert.ok((error.retryAfter ?? 0) >= 1 && (error.retryAfter ?? 601) <= 600);
    assert.equal(error.details?.limit_type, "api_burst");
  });

  test("a body that is not valid names its fields; an id that is empty never leaves", async () => {
    const error = await failure(client.agents.create({ agentName: "" }));
    assert.equal(error.code, "VALIDATION_ERROR");
    assert.equal(typeof error.details?.agentName, "string");
    for (const id of ["", ".", ".."]) {
      assert.equal((await failure(client.agents.delete(id))).code, "VALIDATION_ERROR");
    }
    assert.throws(() => client.subscribeToAgent("", () => {}), { code: "VALIDATION_ERROR" });
  });
});
