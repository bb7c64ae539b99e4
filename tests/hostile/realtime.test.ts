// What a hostile client gets out of Realtime: other users' changes, topics after a right is gone, places that are others'.
import assert from "node:assert/strict";
import { request } from "node:http";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { openSocket, type RawMessage, type RawSocket } from "../helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let mallory: TestUser;
let alice: TestUser;
let agentId: string;
const sockets: RawSocket[] = [];

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [mallory, alice] = [await stack.createUser(), await stack.createUser()];
  agentId = await newAgent(alice, "alice's");
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});
afterAll(() => stack.stop());

async function newAgent(user: TestUser, name: string): Promise<string> {
  const { data } = await user.client.from("agents").insert({ name }).select("id").single().throwOnError();
  return data.id;
}

async function socket(): Promise<RawSocket> {
  const opened = await openSocket(stack.info);
  sockets.push(opened);
  return opened;
}

/** Joins on a socket of its own; `access_token` absent is a client without a user. */
async function joined(
  topic: string,
  config: Record<string, unknown>,
  user?: { token: string },
): Promise<{ raw: RawSocket; reply: Record<string, unknown> }> {
  const raw = await socket();
  const reply = await raw.join(topic, { config, ...(user ? { access_token: user.token } : {}) }, "1");
  return { raw, reply };
}

const changesOf = (table: string, rest: Record<string, unknown> = {}) => ({
  postgres_changes: [{ event: "*", schema: "public", table, ...rest }],
});
const isChange = (message: RawMessage) => message[3] === "postgres_changes";
const system = async ({ messages }: RawSocket) => (await messages.first((m) => m[3] === "system"))[4];

describe("changes of other people's rows", () => {
  test("reach neither another user nor a client without one, deletions included", async () => {
    const victim = await newAgent(alice, "victim");
    const [owner, foreign, nobody] = [
      await joined("realtime:a", changesOf("agents"), alice),
      await joined("realtime:m", changesOf("agents"), mallory),
      await joined("realtime:n", changesOf("agents")),
    ];
    assert.match(String((await system(nobody.raw)).message), /Error 401: Unauthorized \(anon cannot read/);
    await Promise.all([system(owner.raw), system(foreign.raw)]);
    await alice.client.from("agents").update({ description: "x" }).eq("id", victim).throwOnError();
    await owner.raw.messages.first(isChange); // a row is looked up while it is there
    await alice.client.from("agents").delete().eq("id", victim).throwOnError();
    const own = await newAgent(mallory, "own");
    await owner.raw.messages.until(() => owner.raw.messages.all.filter(isChange).length === 2);
    await foreign.raw.messages.first(isChange);
    const seen = ({ raw }: { raw: RawSocket }) =>
      raw.messages.all
        .filter(isChange)
        .map(
          ([, , , , { data }]) =>
            data as { type: string; record?: { id: string }; old_record?: { id: string } },
        )
        .map(({ type, record, old_record: old }) => [type, record?.id ?? old?.id]);
    assert.deepEqual(seen(owner), [
      ["UPDATE", victim],
      ["DELETE", victim],
    ]);
    assert.deepEqual(seen(foreign), [["INSERT", own]]);
    assert.deepEqual(seen(nobody), []);
  });

  test("a forged token joins nothing, on a socket and over HTTP", async () => {
    const { reply } = await joined("realtime:f", changesOf("agents"), { token: forgedToken(alice) });
    assert.match(JSON.stringify(reply), /JwtSignatureError/);
    const answer = await broadcast({ messages: [] }, { token: forgedToken(alice) });
    assert.equal(answer.status, 401);
  });

  test("a costly pattern is refused when it is asked for", async () => {
    for (const filter of [
      `name=match.${"a*".repeat(5)}`,
      `name=like.${"%a".repeat(9)}`,
      `name=imatch.${"a".repeat(201)}`,
    ]) {
      const { raw } = await joined("realtime:p", changesOf("agents", { filter }), mallory);
      const { status, message } = await system(raw);
      assert.equal(status, "error");
      assert.match(String(message), /is too costly/);
    }
  });

  test("one user listens to so many changes, and others still can", async () => {
    const many = (filter: (n: number) => string) => ({
      postgres_changes: Array.from({ length: 100 }, (_, n) => ({
        event: "INSERT",
        schema: "public",
        table: "agent_logs",
        filter: filter(n),
      })),
    });
    const raw = await socket();
    for (const topic of ["realtime:1", "realtime:2"]) {
      const config = many((n) => `message=neq.${topic}${n}`);
      assert.equal((await raw.join(topic, { config, access_token: mallory.token }, topic)).status, "ok");
    }
    await raw.messages.until(() => raw.messages.all.filter((m) => m[3] === "system").length === 2);
    assert.deepEqual(
      raw.messages.all.filter((m) => m[3] === "system").map((m) => m[4].status),
      ["ok", "ok"],
    );
    const third = await joined("realtime:3", changesOf("agent_logs", { filter: "message=neq.x" }), mallory);
    assert.match(String((await system(third.raw)).message), /without an eq filter: at most 200 per user/);
    const hers = await joined("realtime:3", changesOf("agent_logs", { filter: "message=neq.x" }), alice);
    assert.equal((await system(hers.raw)).status, "ok");
  });
});

describe("a right that is gone", () => {
  const isPrivate = { private: true };
  const closed = (raw: RawSocket) => raw.messages.first((m) => m[3] === "phx_close");

  test("a revoked permission closes the private channel while the token is valid, and no one else's", async () => {
    const bob = await stack.createUser();
    const [{ raw }, other] = [
      await joined(`realtime:user:${bob.id}`, isPrivate, bob),
      await joined(`realtime:agent:${agentId}`, isPrivate, alice),
    ];
    await stack.sql("delete from public.user_permissions where user_id = $1 and permission = 'agents:read'", [
      bob.id,
    ]);
    assert.match(
      String((await system(raw)).message),
      /^You no longer have permission to read from this Channel/,
    );
    await closed(raw);
    assert.equal(
      (await raw.join(`realtime:user:${bob.id}`, { config: isPrivate, access_token: bob.token })).status,
      "error",
    );
    assert.ok(!other.raw.messages.all.some((m) => m[3] === "phx_close"));
  });

  for (const [what, change, reason] of [
    ["a banned", "update auth.users set banned_until = '2999-01-01' where id = $1", /account is banned/],
    ["a deleted", "delete from auth.users where id = $1", /account of this token does not exist/],
  ] as const) {
    test(`${what} user's sockets close, and the token joins nothing any more`, async () => {
      const bob = await stack.createUser();
      const { raw } = await joined("realtime:lobby", {}, bob);
      const other = await joined("realtime:lobby", {}, alice);
      await stack.sql(change, [bob.id]);
      assert.match(String((await system(raw)).message), reason);
      assert.equal(await raw.closed, 1008);
      const { reply } = await joined("realtime:lobby", {}, bob);
      assert.match(JSON.stringify(reply), reason);
      assert.equal(
        (await broadcast({ messages: [{ topic: "lobby", event: "e", payload: {} }] }, bob)).status,
        403,
      );
      assert.ok(!other.raw.messages.all.some((m) => m[3] === "phx_close"));
    });
  }
});

describe("limits", () => {
  const track = (raw: RawSocket, topic: string, payload: unknown, ref: string) => {
    raw.send(["1", ref, topic, "presence", { type: "presence", event: "track", payload }]);
    return raw.messages.first((m) => m[1] === ref || m[3] === "phx_close");
  };

  test("a presence of more than 10 KB closes the channel; a connection is present in 25 topics", async () => {
    const { raw } = await joined("realtime:large", {}, mallory);
    await track(raw, "realtime:large", { text: "x".repeat(10_240) }, "t");
    assert.match(String((await system(raw)).message), /^Track message size exceeded: at most 10240 bytes/);
    const many = await socket();
    for (let n = 0; n < 26; n++) {
      await many.join(`realtime:p${n}`, { config: {}, access_token: mallory.token }, "1");
      const reply = await track(many, `realtime:p${n}`, { n }, `t${n}`);
      assert.equal(reply[4].status, n < 25 ? "ok" : "error", `topic ${n}`);
    }
  });

  test("a topic full of presences takes no more; who leaves makes room", async () => {
    const raws = await Promise.all(Array.from({ length: 53 }, () => joined("realtime:full", {}, mallory)));
    const answers: string[] = [];
    for (const { raw } of raws) {
      const payload = { text: "x".repeat(10_000) };
      const reply = await track(raw, "realtime:full", payload, "t");
      answers.push(String(reply[4].status));
    }
    assert.deepEqual(answers.indexOf("error"), 52, answers.join());
  });

  test("a crowd of guests and of sockets that join nothing keeps no user out", async () => {
    const idle = await Promise.all(Array.from({ length: 260 }, () => socket()));
    const guests = await Promise.all(
      idle.slice(-250).map((raw) => raw.join("realtime:g", { config: {} }, "1")),
    );
    const refused = guests.filter(({ status }) => status !== "ok").length;
    const late = await joined("realtime:g", {});
    assert.match(JSON.stringify(late.reply), /ConnectionRateLimitReached/, `${refused} refused before`);
    const { reply } = await joined("realtime:g", {}, alice);
    assert.equal(reply.status, "ok");
  });

  test("long names, references and frames are refused one by one; the server goes on", async () => {
    const raw = await socket();
    const long = await raw.join(`realtime:${"x".repeat(300)}`, { config: {} }, "1");
    assert.match(JSON.stringify(long), /InvalidTopic: The topic name is longer than 255 bytes/);
    const nul = await raw.join("realtime:a\0b", { config: {} }, "2");
    assert.match(JSON.stringify(nul), /contains a null character/);
    const key = await raw.join("realtime:k", { config: { presence: { key: "k".repeat(300) } } }, "3");
    assert.match(JSON.stringify(key), /InvalidPresenceKey/);
    const refs = await socket();
    refs.send(["1", "r".repeat(1000), "realtime:a", "phx_join", {}]);
    assert.equal(await refs.closed, 1011);
    const guest = await socket();
    guest.sendRaw(JSON.stringify(["1", "1", "realtime:a", "phx_join", { text: "x".repeat(400_000) }]));
    assert.equal(await guest.closed, 1009);
    assert.equal((await joined("realtime:alive", {})).reply.status, "ok");
  });
});

async function broadcast(body: unknown, user?: { token: string }): Promise<Response> {
  return await stack.fetch("/realtime/v1/api/broadcast", {
    method: "POST",
    headers: { "content-type": "application/json" },
    ...(user ? { token: user.token } : {}),
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** The status of a request that fetch would not send. */
function statusOf(method: string, path: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const { hostname, port } = new URL(stack.info.apiUrl);
  const headers = { apikey: stack.info.publishableKey };
  request({ hostname, port, method, path, headers }, (answer) => {
    answer.resume();
    resolve(answer.statusCode ?? 0);
  })
    .on("error", reject)
    .end();
  return promise;
}

describe("odd requests to the broadcast address", () => {
  const path = "/realtime/v1/api/broadcast";
  for (const [method, target, status] of [
    ["GET", path, 405],
    ["TRACE", path, 405],
    ["PUT", `${path}/t/events/e`, 405],
    ["POST", "/realtime/v1/health", 405],
    ["POST", `${path}/%ff/events/e`, 400],
    ["POST", `${path}/a%00b/events/e`, 422],
    ["POST", `${path}/${"x".repeat(300)}/events/e`, 422],
    ["POST", "/realtime/v1/nothing", 404],
  ] as const) {
    test(`${method} ${target.slice(0, 60)} is ${status}`, async () => {
      assert.equal(await statusOf(method, target), status);
    });
  }

  test("a body that is no JSON is 400, one that nests too deep or names a null character 422", async () => {
    const deep = 20_000;
    assert.equal((await broadcast("{")).status, 400);
    const nested = `{"messages": [{"topic": "t", "event": "e", "payload": {"x": ${"[".repeat(deep)}${"]".repeat(deep)}}}]}`;
    assert.equal((await broadcast(nested)).status, 422);
    const message = { topic: "a\0", event: "e", payload: {}, private: true };
    assert.equal((await broadcast({ messages: [message] }, alice)).status, 422);
    const many = Array.from({ length: 101 }, () => ({ topic: "t", event: "e", payload: {} }));
    assert.equal((await broadcast({ messages: many })).status, 422);
  });
});
