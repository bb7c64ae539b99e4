// The door from outside: the real program, and a stand-in for the project that says who may come in.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "vitest";
import { startProviderStub } from "../../../../tests/helpers/providers.ts";
import { type RunningAgent, startAgent } from "../testing/agent.ts";
import { type Called, MESSAGE_KEY, refused, TEST_KEY } from "../testing/project.ts";

const JWT = "e30.e30.sig";
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const errorOf = ({ status, body }: { status: number; body: Record<string, unknown> }) => [
  status,
  (body.error as { code: string } | undefined)?.code,
];
const judgements = (agent: RunningAgent) => agent.project.calls.filter(({ rpc }) => rpc === "judge_caller");

/** Reads server-sent events as they come. */
async function* eventsOf(
  response: Response,
): AsyncGenerator<{ event: string; data: Record<string, unknown> }> {
  let text = "";
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    for (let at = text.indexOf("\n\n"); at !== -1; at = text.indexOf("\n\n")) {
      const [, event, data] = /^event: (.+)\ndata: (.+)$/.exec(text.slice(0, at)) ?? [];
      text = text.slice(at + 2);
      if (event !== undefined && data !== undefined) yield { event, data: JSON.parse(data) };
    }
  }
}

const stream = (agent: RunningAgent, token: string, signal?: AbortSignal) =>
  fetch(`${agent.url}/message`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream", ...bearer(token) },
    body: JSON.stringify({ text: "hello" }),
    ...(signal && { signal }),
  });

test("strangers see the status of the probes and nothing else", async () => {
  await using agent = await startAgent();
  assert.deepEqual((await agent.get("/health", {})).body, { status: "ok" });
  assert.deepEqual((await agent.get("/ready", {})).body, { status: "ready" });
  for (const path of ["/", "/metrics", "/nothing"]) {
    const answer = await agent.get(path, {});
    assert.deepEqual(errorOf(answer), [401, "INVALID_API_KEY"], path);
    assert.equal(answer.headers.get("www-authenticate"), "Bearer");
  }
  assert.deepEqual(errorOf(await agent.say({ text: "x" }, { headers: {} })), [401, "INVALID_API_KEY"]);
  assert.deepEqual(errorOf(await agent.get("/health", bearer(`lp_${"x".repeat(43)}`))), [
    401,
    "INVALID_API_KEY",
  ]);
  assert.equal((await agent.get("/health")).body.engine, "model");
});

test("what has not the form of a key or token never reaches the project", async () => {
  await using agent = await startAgent();
  for (const authorization of [
    "Basic dXNlcjpwYXNz",
    "Bearer",
    "Bearer nonsense",
    "Bearer a b",
    `Bearer lp_${"%".repeat(30)}`,
  ]) {
    assert.deepEqual(
      errorOf(await agent.get("/", { authorization })),
      [401, "INVALID_API_KEY"],
      authorization,
    );
  }
  assert.equal(agent.project.calls.length, 0);
});

test("the controller reads the figures with its own key", async () => {
  await using agent = await startAgent({ environment: { AGENT_PROBE_KEY: "p".repeat(64) } });
  assert.equal((await agent.get("/metrics", { "x-launchpad-probe": "p".repeat(64) })).status, 200);
  assert.equal((await agent.get("/metrics", { "x-launchpad-probe": "q".repeat(64) })).status, 401);
  assert.equal((await agent.get("/", { "x-launchpad-probe": "p".repeat(64) })).status, 401);
});

test("a key travels as an argument, a user's token as itself; refusals are told as the project says them", async () => {
  await using agent = await startAgent();
  agent.project.answer = ({ headers }) =>
    headers.authorization === undefined ? undefined : refused(404, "AGENT_NOT_FOUND");
  assert.deepEqual(errorOf(await agent.get("/", bearer(JWT))), [404, "AGENT_NOT_FOUND"]);
  await agent.get("/");
  const [byToken, byKey] = judgements(agent) as [Called, Called];
  assert.deepEqual([byToken.headers.authorization, byToken.args.key], [`Bearer ${JWT}`, undefined]);
  assert.deepEqual([byKey.headers.authorization, byKey.args.key], [undefined, TEST_KEY]);
  assert.deepEqual([byKey.args.agent_id, byKey.args.need], ["agent-test", "read"]);
  for (const [status, code, ...expected] of [
    [401, "PGRST301", 401, "INVALID_API_KEY"],
    [403, "42501", 401, "INVALID_API_KEY"],
    [403, "INSUFFICIENT_PERMISSIONS", 403, "INSUFFICIENT_PERMISSIONS"],
    [403, "PERMISSION_DENIED", 403, "INSUFFICIENT_PERMISSIONS"],
    [404, "PGRST202", 503, "SUPABASE_CONNECTION_ERROR"],
    [500, "XX000", 503, "SUPABASE_CONNECTION_ERROR"],
  ] as const) {
    agent.project.answer = () => refused(status, code);
    assert.deepEqual(
      errorOf(await agent.get("/", bearer(`${code}.e30.sig`.replaceAll("_", "")))),
      expected,
      code,
    );
  }
});

test("one question for many callers with one key at once, and none while the answer is fresh", async () => {
  await using agent = await startAgent();
  await Promise.all(Array.from({ length: 20 }, () => agent.get("/")));
  await agent.get("/");
  assert.equal(judgements(agent).length, 1);
});

test("the project down: the last word holds for 5 seconds, then nobody comes in", async () => {
  await using agent = await startAgent();
  assert.equal((await agent.get("/")).status, 200);
  const asked = performance.now();
  await agent.project.down();
  assert.equal((await agent.get("/")).status, 200);
  assert.deepEqual(errorOf(await agent.get("/", bearer(JWT))), [503, "SUPABASE_CONNECTION_ERROR"]);
  assert.equal((await agent.get("/health", {})).status, 200, "the probes are no business of the project's");
  await delay(5_050 - (performance.now() - asked));
  const answer = await agent.get("/");
  assert.deepEqual(errorOf(answer), [503, "SUPABASE_CONNECTION_ERROR"]);
  assert.ok(answer.headers.get("retry-after"));
  await agent.project.up();
  assert.equal((await agent.get("/")).status, 200);
});

test("an agent that does not know its project lets nobody in", async () => {
  await using agent = await startAgent({ environment: { AGENT_PROJECT_URL: "" } });
  assert.deepEqual(errorOf(await agent.get("/")), [503, "SUPABASE_CONNECTION_ERROR"]);
});

test("an answer comes as events: deltas, then the whole", async () => {
  await using stub = await startProviderStub(() => "one two three");
  await using agent = await startAgent({ environment: stub.environment });
  const response = await stream(agent, TEST_KEY);
  assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  const events = await Array.fromAsync(eventsOf(response));
  const said = events.filter(({ event }) => event === "delta").map(({ data }) => data.text);
  assert.equal(said.join(""), "one two three");
  const last = events.at(-1);
  assert.equal(last?.event, "done");
  assert.deepEqual(Object.keys(last?.data ?? {}).sort(), [
    "conversationId",
    "messageId",
    "model",
    "reply",
    "usage",
  ]);
  assert.equal(last?.data.reply, "one two three");
});

test("what fails before the first event has its status, as without events", async () => {
  await using agent = await startAgent();
  const response = await stream(agent, TEST_KEY);
  assert.equal(response.status, 503);
  assert.equal((await response.json()).error.code, "MODEL_UNCONFIGURED");
});

test("a caller that hangs up in a stream ends the call of the model", async () => {
  await using stub = await startProviderStub(() => new Promise(() => undefined));
  await using agent = await startAgent({ environment: stub.environment });
  const caller = new AbortController();
  const response = await stream(agent, TEST_KEY, caller.signal);
  assert.equal(response.status, 200);
  caller.abort();
  while ((await agent.get("/health")).body.messagesInFlight !== 0) await delay(5);
});

test("a key revoked in the middle of a stream ends it within seconds", async () => {
  await using stub = await startProviderStub(() => new Promise(() => undefined));
  await using agent = await startAgent({ environment: stub.environment });
  const response = await stream(agent, TEST_KEY);
  agent.project.answer = ({ rpc }) => (rpc === "judge_caller" ? refused(401, "INVALID_API_KEY") : undefined);
  const revoked = performance.now();
  const events = await Array.fromAsync(eventsOf(response));
  assert.ok(performance.now() - revoked < 15_000, "the stream itself would go on for minutes");
  assert.deepEqual([events.at(-1)?.event, events.at(-1)?.data.code], ["error", "INVALID_API_KEY"]);
});

test("a project that goes down in the middle of a stream ends it too", async () => {
  await using stub = await startProviderStub(() => new Promise(() => undefined));
  await using agent = await startAgent({ environment: stub.environment });
  const response = await stream(agent, TEST_KEY);
  await agent.project.down();
  const events = await Array.fromAsync(eventsOf(response));
  assert.equal(events.at(-1)?.data.code, "SUPABASE_CONNECTION_ERROR");
});

test("another caller's conversation is a new one", async () => {
  await using stub = await startProviderStub();
  await using agent = await startAgent({ environment: stub.environment });
  agent.project.answer = ({ headers }) =>
    headers.authorization === undefined ? undefined : { body: { caller: `user:${headers.authorization}` } };
  const say = async (token: string) =>
    (await agent.say({ text: "hi", conversationId: "c1", userId: "u1" }, { headers: bearer(token) })).body
      .reply;
  assert.equal(await say(TEST_KEY), 'You said "hi" (message 1)');
  assert.equal(await say(TEST_KEY), 'You said "hi" (message 2)');
  assert.equal(await say(JWT), 'You said "hi" (message 1)');
  assert.equal(await say("e31.e30.sig"), 'You said "hi" (message 1)');
});

const isPublic = ({ rpc, args }: Called) =>
  rpc === "judge_caller" && args.key === undefined ? { body: { caller: "public" } } : undefined;

test("strangers of a public agent leave places for its owner", async () => {
  const gate = Promise.withResolvers<void>();
  await using stub = await startProviderStub(async () => {
    await gate.promise;
    return "seen";
  });
  await using agent = await startAgent({
    environment: { ...stub.environment, AGENT_MAX_CONCURRENT_MESSAGES: "4" },
  });
  agent.project.answer = (call) =>
    call.rpc === "count_public_message" ? { body: { allowed: true, retryAfter: 30 } } : isPublic(call);
  const taken = Array.from({ length: 3 }, () => agent.say({ text: "x" }, { headers: {} }));
  while ((await agent.get("/health")).body.messagesInFlight !== 3) await delay(5);
  assert.deepEqual(errorOf(await agent.say({ text: "x" }, { headers: {} })), [503, "AGENT_BUSY"]);
  const ofKey = agent.say({ text: "x" });
  while ((await agent.get("/health")).body.messagesInFlight !== 4) await delay(5);
  gate.resolve();
  for (const { status } of await Promise.all([...taken, ofKey])) assert.equal(status, 200);
  assert.equal((await agent.say({ text: "x" }, { headers: {} })).status, 200, "their places are free again");
});

test("a public agent gives each stranger an id that every replica knows, and takes no other", async () => {
  await using stub = await startProviderStub();
  const environment = { ...stub.environment, AGENT_MESSAGE_KEY: MESSAGE_KEY };
  await using agent = await startAgent({ environment });
  await using replica = await startAgent({ environment });
  agent.project.answer = isPublic;
  replica.project.answer = isPublic;
  const say = (conversationId?: string, to = agent) =>
    to.say({ text: "hi", ...(conversationId && { conversationId }) }, { headers: {} });
  const { body: first } = await say();
  const id = String(first.conversationId);
  const { body: second } = await say(id);
  const { messageId } = second;
  assert.deepEqual(second, { ...first, messageId, reply: 'You said "hi" (message 2)' });
  assert.notEqual(messageId, first.messageId);
  assert.equal((await say(id, replica)).body.conversationId, id);
  for (const other of [
    "c1",
    `${id.slice(0, -1)}x`,
    `${crypto.randomUUID()}.${id.split(".")[1]}`,
    `${id}.x`,
  ]) {
    const { body } = await say(other);
    assert.notEqual(body.conversationId, other);
    assert.equal(body.reply, 'You said "hi" (message 1)');
  }
});

test("strangers are counted by the address that the nearest proxy saw, and turned away without a question", async () => {
  await using stub = await startProviderStub();
  await using agent = await startAgent({
    environment: { ...stub.environment, AGENT_MESSAGE_KEY: MESSAGE_KEY },
  });
  let allowed = true;
  agent.project.answer = (call) =>
    call.rpc === "count_public_message" ? { body: { allowed, retryAfter: 30 } } : isPublic(call);
  const say = (forwarded: string) => agent.say({ text: "hi" }, { headers: { "x-forwarded-for": forwarded } });
  assert.equal((await say("10.0.0.1, 203.0.113.9")).status, 200);
  const counted = () => agent.project.calls.filter(({ rpc }) => rpc === "count_public_message");
  assert.equal(counted()[0]?.args.address, "203.0.113.9");
  assert.match(String(counted()[0]?.args.credential), /^[0-9a-f]{64}$/);
  assert.ok(!JSON.stringify(counted()).includes(MESSAGE_KEY));
  allowed = false;
  assert.deepEqual(errorOf(await say("1.1.1.1, 203.0.113.9")), [429, "RATE_LIMIT_EXCEEDED"]);
  const refusedAgain = await say("2.2.2.2, 203.0.113.9");
  assert.deepEqual([refusedAgain.status, refusedAgain.headers.get("retry-after")], [429, "30"]);
  assert.equal(counted().length, 2);
});

test("a web page is answered where a key lists its origin, and nowhere else", async () => {
  await using stub = await startProviderStub();
  await using agent = await startAgent({ environment: stub.environment });
  const good = "https://app.example.com";
  agent.project.answer = ({ args }) =>
    args.need === "preflight"
      ? { body: { allowed: args.origin === good } }
      : args.origin !== undefined && args.origin !== good
        ? refused(403, "INSUFFICIENT_PERMISSIONS")
        : undefined;
  const preflight = (origin: string) =>
    fetch(`${agent.url}/message`, {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
      },
    });
  const yes = await preflight(good);
  assert.deepEqual([yes.status, yes.headers.get("access-control-allow-origin")], [204, good]);
  assert.match(yes.headers.get("access-control-allow-headers") ?? "", /authorization/);
  assert.match(yes.headers.get("vary") ?? "", /origin/);
  const no = await preflight("https://app.example.com.evil");
  assert.deepEqual([no.status, no.headers.get("access-control-allow-origin")], [403, null]);
  const say = (origin: string, token = TEST_KEY) =>
    agent.say({ text: "hi" }, { headers: { ...bearer(token), origin } });
  const answered = await say(good);
  assert.deepEqual([answered.status, answered.headers.get("access-control-allow-origin")], [200, good]);
  const foreign = await say("https://evil.example");
  assert.deepEqual([foreign.status, foreign.headers.get("access-control-allow-origin")], [403, null]);
  const wrong = await say(good, `lp_${"w".repeat(43)}`);
  assert.deepEqual([wrong.status, wrong.headers.get("access-control-allow-origin")], [401, good]);
});
