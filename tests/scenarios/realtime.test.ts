// Realtime as clients see it: who may join what, broadcast, presence, the feed of an agent, and bad input.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { api, forgedToken } from "../helpers/agents.ts";
import { Inbox, openSocket, type RawSocket, refusal, subscribed } from "../helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";
import { startTcpProxy } from "../helpers/tcp-proxy.ts";

let stack: TestStack;
let owner: TestUser;
let other: TestUser;
let agentId: string;
const clients: SupabaseClient[] = [];
const sockets: RawSocket[] = [];

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  clients.push(owner.client, other.client);
  const { data } = await owner.client.from("agents").insert({ name: "watched" }).select("id").single();
  agentId = data?.id;
});
beforeEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  for (const client of clients) await client.removeAllChannels();
});
afterAll(async () => {
  for (const socket of sockets) socket.close();
  await Promise.all(clients.map((client) => client.removeAllChannels()));
  await stack.stop();
});

/** A client without a user. */
function clientWith(options: { vsn?: "1.0.0" | "2.0.0" } = {}): SupabaseClient {
  const client = createClient(stack.info.apiUrl, stack.info.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    ...(options.vsn === undefined ? {} : { realtime: { vsn: options.vsn } }),
  });
  clients.push(client);
  return client;
}

/** A client that holds somebody's forged token. */
async function forger(): Promise<SupabaseClient> {
  const client = clientWith();
  await client.realtime.setAuth(forgedToken(owner));
  return client;
}

async function socket(key?: string, vsn?: string): Promise<RawSocket> {
  const opened = await openSocket(stack.info, key, vsn);
  sockets.push(opened);
  return opened;
}

const touch = (name: string) =>
  owner.client.from("agents").update({ description: name }).eq("id", agentId).throwOnError();

describe("the handshake", () => {
  for (const [why, query, status] of [
    ["without a key", "", 401],
    ["with a wrong key", "?apikey=sb_publishable_wrong", 401],
  ] as const) {
    test(`${why} is refused`, async () => {
      const answer = await fetch(`${stack.info.apiUrl}/realtime/v1/websocket${query}`);
      assert.equal(answer.status, status);
      const url = `${stack.info.realtimeUrl}/websocket${query}`;
      const ws = new WebSocket(url);
      const event = await new Promise<string>((resolve) => {
        for (const name of ["open", "error"]) ws.addEventListener(name, () => resolve(name));
      });
      assert.equal(event, "error");
    });
  }

  test("supabase-js derives the URL that --json names", () => {
    assert.equal(stack.info.realtimeUrl, `${stack.info.apiUrl.replace("http", "ws")}/realtime/v1`);
  });
});

describe("changes of tables", () => {
  const changes = (
    client: SupabaseClient,
    inbox: Inbox<Record<string, unknown>>,
    event: "*" | "DELETE" = "*",
  ) =>
    client
      .channel(`changes-${Math.random()}`)
      .on("postgres_changes", { event, schema: "public", table: "agents" }, (payload) =>
        inbox.push(payload as unknown as Record<string, unknown>),
      );

  test("reach the owner alone: not another user, not an anonymous caller", async () => {
    const [mine, theirs, nobodys] = [0, 1, 2].map(() => new Inbox<Record<string, unknown>>());
    assert.ok(mine && theirs && nobodys);
    await Promise.all([
      subscribed(changes(owner.client, mine)),
      subscribed(changes(other.client, theirs)),
      subscribed(changes(clientWith(), nobodys)),
    ]);
    await touch("one");
    // A change from before the subscription may come late.
    const change = await mine.first((c) => (c.new as Record<string, unknown>).description === "one");
    assert.deepEqual(
      [change.eventType, (change.new as Record<string, unknown>).description, change.old, change.errors],
      ["UPDATE", "one", { id: agentId }, null],
    );
    // The other user's own change comes after: what should not come would have come before.
    await other.client.from("agents").insert({ name: "theirs" }).throwOnError();
    await theirs.first();
    assert.equal(theirs.all.length, 1);
    // anon may not select the table: not even that a row changed reaches it.
    assert.equal(nobodys.all.length, 0);
  });

  test("a DELETE carries the key and nothing else", async () => {
    const inbox = new Inbox<Record<string, unknown>>();
    const { data } = await owner.client.from("agents").insert({ name: "short-lived" }).select("id").single();
    await subscribed(changes(owner.client, inbox, "DELETE"));
    await owner.client.from("agents").delete().eq("id", data?.id).throwOnError();
    const change = await inbox.first();
    assert.deepEqual([change.eventType, change.new, change.old], ["DELETE", {}, { id: data?.id }]);
  });

  test("service_role sees every row", async () => {
    const inbox = new Inbox<Record<string, unknown>>();
    const service = stack.client(stack.info.secretKey);
    clients.push(service);
    await subscribed(changes(service, inbox));
    await touch("for the service");
    const seen = await inbox.first((c) => (c.new as Record<string, unknown>).id === agentId);
    assert.equal((seen.new as Record<string, unknown>).description, "for the service");
  });

  test("a forged token cannot join", async () => {
    const inbox = new Inbox<Record<string, unknown>>();
    assert.match(
      await refusal(changes(await forger(), inbox)),
      /JwtSignatureError: Failed to validate JWT signature/,
    );
    assert.equal(inbox.all.length, 0);
  });

  test("a change right after SUBSCRIBED is not missed", async () => {
    for (let round = 0; round < 10; round++) {
      const inbox = new Inbox<Record<string, unknown>>();
      const channel = await subscribed(changes(owner.client, inbox));
      await touch(`round ${round}`);
      await inbox.first((c) => (c.new as Record<string, unknown>).description === `round ${round}`);
      await channel.unsubscribe();
    }
  });

  for (const [why, params, message] of [
    [
      "an unknown table",
      { table: "nope" },
      /^Unable to subscribe to changes with given parameters\. Please check Realtime is enabled/,
    ],
    ["a table that is not published", { table: "quotas" }, /Please check Realtime is enabled/],
    ["an unknown column", { table: "agents", filter: "nope=eq.1" }, /invalid column for filter nope$/],
    [
      "a value of the wrong type",
      { table: "agents", filter: "replicas=eq.many" },
      /invalid input syntax for type integer: "many"$/,
    ],
    [
      "an unknown operator",
      { table: "agents", filter: "id=foo.1" },
      /^Error parsing `filter` params: \["foo", "1"\]$/,
    ],
    [
      "a pattern on a number",
      { table: "agents", filter: "replicas=like.1%" },
      /operator like requires a text-compatible column type, got integer$/,
    ],
    [
      "a costly pattern",
      { table: "agents", filter: `name=match.${"a".repeat(201)}` },
      /the pattern of match is too costly: at most 200 characters/,
    ],
    [
      "a costly like pattern",
      { table: "agents", filter: `name=ilike.${"a%".repeat(9)}` },
      /the pattern of ilike is too costly: at most 200 characters with at most 8 wildcards %/,
    ],
    [
      "a filter that is too long",
      { table: "agents", filter: `name=eq.${"a".repeat(5000)}` },
      /the filter is too long/,
    ],
    [
      "a broken pattern",
      { table: "agents", filter: "name=match.(" },
      /invalid regular expression for match filter/,
    ],
  ] as const) {
    test(`${why} is told in a system message, and the channel stays`, async () => {
      const raw = await socket();
      const reply = await raw.join("realtime:x", {
        config: { postgres_changes: [{ event: "*", schema: "public", ...params }] },
        access_token: owner.token,
      });
      assert.equal(reply.status, "ok");
      const [, , , , system] = await raw.messages.first((m) => m[3] === "system");
      assert.deepEqual([system.extension, system.status, system.channel], ["postgres_changes", "error", "x"]);
      assert.match(String(system.message), message);
    });
  }

  test("the reply echoes what was asked, in order, with ids; the system message says it is subscribed", async () => {
    const raw = await socket();
    const asked = [
      { event: "INSERT", schema: "public", table: "agents", filter: "name=eq.x" },
      { event: "*", schema: "public" },
    ];
    const reply = await raw.join("realtime:x", {
      config: { postgres_changes: asked },
      access_token: owner.token,
    });
    const echoed = (reply.response as { postgres_changes: { id: number }[] }).postgres_changes;
    assert.deepEqual(
      echoed.map(({ id, ...rest }) => [typeof id, id > 0, rest]),
      asked.map((each) => ["number", true, each]),
    );
    const [joinRef, ref, topic, , system] = await raw.messages.first((m) => m[3] === "system");
    assert.deepEqual([joinRef, ref, topic], ["1", null, "realtime:x"]);
    assert.deepEqual(system, {
      extension: "postgres_changes",
      status: "ok",
      message: "Subscribed to PostgreSQL",
      channel: "x",
    });
  });

  test("live subscriptions are counted while they live", async () => {
    const count = async () => {
      const [row] = await stack.sql<{ n: number }>(
        "select (private.supabase_usage($1) ->> 'real_time_subscriptions')::int as n",
        [owner.id],
      );
      return row?.n;
    };
    const inbox = new Inbox<Record<string, unknown>>();
    const settles = async (wanted: number) => {
      while ((await count()) !== wanted) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    await settles(0); // those of the tests before are on their way out
    const channel = await subscribed(changes(owner.client, inbox));
    assert.equal(await count(), 1);
    await channel.unsubscribe();
    await settles(0);
  });
});

describe("private channels", () => {
  const isPrivate = { config: { private: true } };

  test("agent:<agentId> lets its owner in, and nobody else", async () => {
    await subscribed(owner.client.channel(`agent:${agentId}`, isPrivate));
    const denied = new RegExp(
      `Unauthorized: You do not have permissions to read from this Channel topic: agent:${agentId}`,
    );
    assert.match(await refusal(other.client.channel(`agent:${agentId}`, isPrivate)), denied);
    assert.match(await refusal(clientWith().channel(`agent:${agentId}`, isPrivate)), denied);
    const forged = await forger();
    assert.match(await refusal(forged.channel(`agent:${agentId}`, isPrivate)), /JwtSignatureError/);
  });

  test("user:<uid> lets that user in, and nobody else; other private topics are open to nobody", async () => {
    await subscribed(owner.client.channel(`user:${owner.id}`, isPrivate));
    assert.match(await refusal(other.client.channel(`user:${owner.id}`, isPrivate)), /Unauthorized/);
    assert.match(await refusal(owner.client.channel("room:1", isPrivate)), /Unauthorized/);
    assert.match(await refusal(owner.client.channel("agent:", isPrivate)), /Unauthorized/);
  });

  test("a public channel of the same name hears nothing of the private one", async () => {
    const [inside, outside] = [new Inbox<unknown>(), new Inbox<unknown>()];
    const topic = `user:${owner.id}`;
    const writer = await subscribed(
      owner.client
        .channel(topic, { config: { private: true, broadcast: { self: true } } })
        .on("broadcast", { event: "*" }, inside.push),
    );
    const listener = other.client.channel(topic).on("broadcast", { event: "*" }, outside.push);
    await subscribed(listener);
    await writer.send({ type: "broadcast", event: "secret", payload: { n: 1 } });
    await inside.first();
    await stack.sql("select realtime.send('{\"n\": 2}', 'open', $1, false)", [topic]);
    await outside.first();
    assert.deepEqual(
      outside.all.map((message) => (message as { event: string }).event),
      ["open"],
    );
  });

  test("what happens to an agent is broadcast to its topic and to its owner's", async () => {
    const [ofAgent, ofUser] = [new Inbox<Record<string, unknown>>(), new Inbox<Record<string, unknown>>()];
    const listen = (topic: string, inbox: Inbox<Record<string, unknown>>) =>
      subscribed(owner.client.channel(topic, isPrivate).on("broadcast", { event: "*" }, inbox.push));
    await listen(`user:${owner.id}`, ofUser);
    const { body } = await api(stack, owner, "POST", "/agents", {
      agentName: "announced",
      resources: { memory: "256Mi", cpu: "100m" },
    });
    await listen(`agent:${body.agentId}`, ofAgent);
    await ofUser.first((message) => message.event === "DEPLOYED");
    const rows = await stack.sql<{ id: string; seq: string }>(
      "select id, seq from public.agent_events where agent_id = $1 and seq <= (select max(seq) from public.agent_events where agent_id = $1 and to_phase = 'DEPLOYED') order by seq",
      [body.agentId],
    );
    const seen = ofUser.all.map((message) => message.payload as Record<string, unknown>);
    assert.deepEqual(
      seen.slice(0, rows.length).map(({ id, seq }) => [id, seq]),
      rows.map(({ id, seq }) => [id, Number(seq)]),
    );
    await api(stack, owner, "POST", `/agents/${body.agentId}/stop`);
    await ofAgent.first((message) => message.event === "STOPPED");
    await api(stack, owner, "DELETE", `/agents/${body.agentId}`);
  });
});

describe("the resumable feed", () => {
  test("the code of docs/realtime.md shows every event once and in order, though the connection is cut", async () => {
    const page = await readFile(new URL("../../docs/realtime.md", import.meta.url), "utf8");
    const code = /## A feed that misses nothing\n[\s\S]*?```js\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
    await using proxy = await startTcpProxy(stack.info.apiUrl);
    const supabase = createClient(proxy.url, stack.info.publishableKey, {
      auth: { persistSession: false, autoRefreshToken: false },
      realtime: { reconnectAfterMs: () => 50 },
    });
    clients.push(supabase);
    await supabase.auth.signInWithPassword({ email: owner.email, password: owner.password });

    const { data } = await owner.client.from("agents").insert({ name: "feed" }).select("id").single();
    const id: string = data?.id;
    const shown = new Inbox<{ seq: number; message: string }>();
    new Function("supabase", "agentId", "show", code)(supabase, id, shown.push);
    // The agent's creation is its first event.
    await shown.count(1);
    let written = 1;
    const record = async (times: number) => {
      for (let count = 0; count < times; count++) {
        written += 1;
        const message = `event ${written}`;
        await stack.sql("select private.record_event($1, $2, 'DEPLOYED', 'test', $3)", [
          id,
          owner.id,
          message,
        ]);
      }
    };
    for (let round = 0; round < 4; round++) {
      await record(5);
      proxy.cut();
      await record(5);
      proxy.mend();
      await record(10); // while it comes back
      await shown.count(written);
    }
    const rows = await stack.sql<{ seq: string; message: string }>(
      "select seq, message from public.agent_events where agent_id = $1 order by seq",
      [id],
    );
    assert.deepEqual(
      shown.all.map(({ seq, message }) => [seq, message]),
      rows.map(({ seq, message }) => [Number(seq), message]),
    );
    assert.deepEqual(
      shown.all.map(({ seq }) => seq),
      Array.from({ length: written }, (_, i) => i + 1),
    );
  });
});

describe("broadcast", () => {
  test("reaches everyone but the sender; the sender too where it asks for it; acknowledged where it asks", async () => {
    const [a, b] = [new Inbox<unknown>(), new Inbox<unknown>()];
    const sender = await subscribed(
      owner.client
        .channel("room", { config: { broadcast: { ack: true, self: true } } })
        .on("broadcast", { event: "move" }, a.push),
    );
    await subscribed(other.client.channel("room").on("broadcast", { event: "move" }, b.push));
    const message = { type: "broadcast" as const, event: "move", payload: { x: 1, text: "é ✓" } };
    assert.equal(await sender.send(message), "ok");
    assert.deepEqual(await b.first(), message);
    assert.deepEqual(await a.first(), message);
  });

  test("passes between the protocol's versions; bytes reach version 2.0.0", async () => {
    const [old, recent] = [new Inbox<Record<string, unknown>>(), new Inbox<Record<string, unknown>>()];
    const oldRoom = clientWith({ vsn: "1.0.0" }).channel("mixed").on("broadcast", { event: "*" }, old.push);
    await subscribed(oldRoom);
    const room = owner.client.channel("mixed").on("broadcast", { event: "*" }, recent.push);
    await subscribed(room);
    const writer = await subscribed(other.client.channel("mixed"));
    await oldRoom.send({ type: "broadcast", event: "from-old", payload: { n: 1 } });
    await recent.count(1);
    await writer.send({ type: "broadcast", event: "from-new", payload: { n: 2 } });
    await old.first(({ event }) => event === "from-new");
    await recent.count(2);
    await writer.send({ type: "broadcast", event: "bytes", payload: new Uint8Array([0, 200, 255]).buffer });
    const { payload } = await recent.first(({ event }) => event === "bytes");
    assert.deepEqual([...new Uint8Array(payload as ArrayBuffer)], [0, 200, 255]);
    assert.deepEqual(
      recent.all.slice(0, 2).map(({ event, payload }) => [event, payload]),
      [
        ["from-old", { n: 1 }],
        ["from-new", { n: 2 }],
      ],
    );
  });

  test("over HTTP: one message with httpSend(), several with /api/broadcast", async () => {
    const inbox = new Inbox<Record<string, unknown>>();
    await subscribed(owner.client.channel("web").on("broadcast", { event: "*" }, inbox.push));
    assert.deepEqual(await other.client.channel("web").httpSend("one", { n: 1 }), { success: true });
    const answer = await stack.fetch("/realtime/v1/api/broadcast", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        messages: [2, 3].map((n) => ({ topic: "web", event: "more", payload: { n } })),
      }),
    });
    assert.deepEqual([answer.status, await answer.text()], [202, ""]);
    await inbox.count(3);
    assert.deepEqual(
      inbox.all.map(({ event, payload }) => [event, payload]),
      [
        ["one", { n: 1 }],
        ["more", { n: 2 }],
        ["more", { n: 3 }],
      ],
    );
  });

  test("over HTTP into a private topic only with the right to write", async () => {
    const inbox = new Inbox<Record<string, unknown>>();
    const topic = `agent:${agentId}`;
    const config = { config: { private: true } };
    await subscribed(owner.client.channel(topic, config).on("broadcast", { event: "*" }, inbox.push));
    const send = (token: string | undefined, event: string) =>
      stack.fetch("/realtime/v1/api/broadcast", {
        method: "POST",
        ...(token === undefined ? {} : { token }),
        body: JSON.stringify({ messages: [{ topic, event, payload: {}, private: true }] }),
      });
    // Hosted accepts the batch and drops what may not be sent.
    assert.equal((await send(other.token, "others")).status, 202);
    assert.equal((await send(undefined, "anonymous")).status, 202);
    assert.equal((await send(forgedToken(owner), "forged")).status, 401);
    await assert.rejects(
      other.client.channel(topic, config).httpSend("single", {}),
      /Unauthorized|Forbidden/,
    );
    assert.equal((await send(owner.token, "mine")).status, 202);
    await inbox.first();
    assert.deepEqual(
      inbox.all.map(({ event }) => event),
      ["mine"],
    );
  });

  test("a batch with a mistake is refused and names it", async () => {
    const answer = await stack.fetch("/realtime/v1/api/broadcast", {
      method: "POST",
      body: JSON.stringify({
        messages: [
          { topic: "a", event: "b", payload: {} },
          { topic: "a", payload: 5 },
        ],
      }),
    });
    assert.equal(answer.status, 422);
    assert.deepEqual(await answer.json(), {
      errors: { messages: [{}, { event: ["can't be blank"], payload: ["is invalid"] }] },
    });
  });

  test("from SQL: realtime.send reaches who listens, with the message's id", async () => {
    const inbox = new Inbox<Record<string, unknown>>();
    await subscribed(owner.client.channel("sql").on("broadcast", { event: "hello" }, inbox.push));
    await stack.sql("select realtime.send('{\"n\": 1}', 'hello', 'sql', false)");
    const message = await inbox.first();
    assert.equal((message.payload as { n: number }).n, 1);
    assert.match(String((message.meta as { id: string }).id), /^[0-9a-f-]{36}$/);
  });
});

describe("presence", () => {
  test("shows who is there, who comes and who goes", async () => {
    const joins = new Inbox<Record<string, unknown>>();
    const leaves = new Inbox<Record<string, unknown>>();
    const syncs = new Inbox<string>();
    const watcher = owner.client
      .channel("lobby", { config: { presence: { key: "owner" } } })
      .on("presence", { event: "join" }, (payload) => joins.push(payload))
      .on("presence", { event: "leave" }, (payload) => leaves.push(payload))
      .on("presence", { event: "sync" }, () => syncs.push(Object.keys(watcher.presenceState()).join()));
    await subscribed(watcher);
    assert.equal(await watcher.track({ at: "desk" }), "ok");
    await joins.first(({ key }) => key === "owner");

    const visitor = other.client
      .channel("lobby", { config: { presence: { key: "visitor" } } })
      .on("presence", { event: "sync" }, () => undefined);
    await subscribed(visitor);
    await visitor.track({ at: "door" });
    const { newPresences } = await joins.first(({ key }) => key === "visitor");
    assert.equal((newPresences as { at: string }[])[0]?.at, "door");
    assert.deepEqual(
      Object.entries(visitor.presenceState<{ at: string }>()).map(([key, metas]) => [key, metas[0]?.at]),
      [
        ["owner", "desk"],
        ["visitor", "door"],
      ],
    );

    await visitor.track({ at: "window" });
    await joins.first(({ newPresences: metas }) => (metas as { at: string }[])[0]?.at === "window");
    await syncs.until(() => watcher.presenceState<{ at: string }>().visitor?.[0]?.at === "window");
    assert.equal(watcher.presenceState<{ at: string }>().visitor?.length, 1);
    await visitor.untrack();
    await syncs.until(() => syncs.all.at(-1) === "owner");
    // Left with the change of place, and then for good.
    assert.deepEqual(
      leaves.all.map(({ key, leftPresences }) => [key, (leftPresences as { at: string }[])[0]?.at]),
      [
        ["visitor", "door"],
        ["visitor", "window"],
      ],
    );
  });

  test("a lost connection leaves", async () => {
    const leaves = new Inbox<Record<string, unknown>>();
    await subscribed(
      owner.client.channel("lost").on("presence", { event: "leave" }, (payload) => leaves.push(payload)),
    );
    const raw = await socket();
    await raw.join("realtime:lost", { config: { presence: { key: "gone" } } });
    raw.send([
      "1",
      "9",
      "realtime:lost",
      "presence",
      { type: "presence", event: "track", payload: { a: 1 } },
    ]);
    await raw.messages.first((m) => m[1] === "9" && m[4].status === "ok");
    raw.close();
    assert.equal((await leaves.first()).key, "gone");
  });

  test("on a private topic only with the right to write", async () => {
    const raw = await socket();
    const topic = `realtime:user:${owner.id}`;
    const reply = await raw.join(topic, { config: { private: true }, access_token: other.token });
    assert.equal(reply.status, "error");
    const own = await raw.join(topic, { config: { private: true }, access_token: owner.token }, "5");
    assert.equal(own.status, "ok");
    raw.send(["5", "6", topic, "presence", { type: "presence", event: "track", payload: {} }]);
    assert.equal((await raw.messages.first((m) => m[1] === "6"))[4].status, "ok");
  });

  test("too many calls in half a minute end the channel", async () => {
    const raw = await socket();
    await raw.join("realtime:busy");
    for (let n = 0; n < 6; n++) {
      raw.send([
        "1",
        `t${n}`,
        "realtime:busy",
        "presence",
        { type: "presence", event: "track", payload: { n } },
      ]);
    }
    const [, , , , system] = await raw.messages.first((m) => m[3] === "system");
    assert.equal(system.message, "Client presence rate limit exceeded");
    await raw.messages.first((m) => m[3] === "phx_close");
  });
});

describe("bad input", () => {
  afterAll(async () => {
    // Whatever came before, the server is up.
    const raw = await socket();
    assert.equal((await raw.join("realtime:alive")).status, "ok");
  });

  for (const [why, data] of [
    ["text that is no JSON", "{"],
    ["JSON that is no frame", "[1,2]"],
    ["an unknown binary kind", new Uint8Array([9, 1, 2, 3])],
    ["a binary frame that ends early", new Uint8Array([3, 200, 1, 1, 1, 1, 1])],
  ] as const) {
    test(`${why} ends the connection with 1011`, async () => {
      const raw = await socket();
      raw.sendRaw(data);
      assert.equal(await raw.closed, 1011);
    });
  }

  test("a frame larger than 5 MB ends the connection with 1009", async () => {
    const raw = await socket();
    raw.sendRaw("x".repeat(5_000_001));
    assert.equal(await raw.closed, 1009);
  });

  test("a payload of a million bytes arrives; one of more than 3 MB is refused", async () => {
    const inbox = new Inbox<Record<string, unknown>>();
    await subscribed(owner.client.channel("big").on("broadcast", { event: "*" }, inbox.push));
    const writer = await subscribed(other.client.channel("big", { config: { broadcast: { ack: true } } }));
    const text = "x".repeat(1_000_000);
    assert.equal(await writer.send({ type: "broadcast", event: "large", payload: { text } }), "ok");
    assert.equal(((await inbox.first()).payload as { text: string }).text.length, text.length);
    const larger = { text: "x".repeat(3_100_000) };
    assert.equal(await writer.send({ type: "broadcast", event: "larger", payload: larger }), "error");
    assert.equal(inbox.all.length, 1);
  });

  for (const [topic, reason] of [
    ["other:topic", "unmatched topic"],
    ["realtime:", "TopicNameRequired: You must provide a topic name"],
  ] as const) {
    test(`topic ${topic}: ${reason}`, async () => {
      const raw = await socket();
      assert.deepEqual(await raw.join(topic), { status: "error", response: { reason } });
    });
  }

  test("a message to a topic that was not joined", async () => {
    const raw = await socket();
    raw.send([null, "7", "realtime:nowhere", "broadcast", { type: "broadcast", event: "e", payload: {} }]);
    const reply = await raw.messages.first((m) => m[1] === "7");
    assert.deepEqual(reply[4], { status: "error", response: { reason: "unmatched topic" } });
  });

  for (const [why, payload] of [
    ["no object", 5],
    ["null", null],
    ["a config of the wrong type", { config: [] }],
    [
      "flags and lists of the wrong type",
      { config: { private: 7, broadcast: 1, presence: "x", postgres_changes: {} } },
    ],
  ] as const) {
    test(`a join whose payload is ${why} is taken as it can be`, async () => {
      const raw = await socket();
      raw.send(["1", "1", "realtime:odd", "phx_join", payload]);
      const [, , , , reply] = await raw.messages.first((m) => m[3] === "phx_reply");
      assert.equal(reply.status, "ok");
    });
  }

  test("an unknown event is passed over, a heartbeat is answered", async () => {
    const raw = await socket();
    await raw.join("realtime:odd");
    raw.send(["1", "8", "realtime:odd", "nonsense", {}]);
    raw.send([null, "9", "phoenix", "heartbeat", {}]);
    assert.deepEqual(await raw.messages.first((m) => m[1] === "9"), [
      null,
      "9",
      "phoenix",
      "phx_reply",
      { status: "ok", response: {} },
    ]);
  });

  test("a second join replaces the first; a leave is answered and closes", async () => {
    const raw = await socket();
    await raw.join("realtime:twice", { config: {} }, "1");
    await raw.join("realtime:twice", { config: {} }, "2");
    await raw.messages.first((m) => m[3] === "phx_close" && m[0] === "1");
    raw.send(["2", "3", "realtime:twice", "phx_leave", {}]);
    await raw.messages.first((m) => m[1] === "3" && m[4].status === "ok");
    await raw.messages.first((m) => m[3] === "phx_close" && m[0] === "2");
  });

  test("the 101st channel of a connection is refused", async () => {
    const raw = await socket();
    for (let n = 0; n < 100; n++)
      assert.equal((await raw.join(`realtime:${n}`, { config: {} }, `j${n}`)).status, "ok");
    assert.deepEqual(await raw.join("realtime:100", { config: {} }, "last"), {
      status: "error",
      response: { reason: "ChannelRateLimitReached: Too many channels" },
    });
  });

  test("the 101st connection of a user is refused, another user's is not", async () => {
    const joined = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const raw = await socket();
        return (await raw.join("realtime:crowd", { config: {}, access_token: owner.token })).status;
      }),
    );
    assert.deepEqual(new Set(joined), new Set(["ok"]));
    const raw = await socket();
    assert.deepEqual(await raw.join("realtime:crowd", { config: {}, access_token: owner.token }), {
      status: "error",
      response: { reason: "ConnectionRateLimitReached: Too many connected users" },
    });
    const free = await raw.join("realtime:crowd", { config: {}, access_token: other.token }, "2");
    assert.equal(free.status, "ok");
  });

  test("more than 500 messages in a second end the channel", async () => {
    const raw = await socket();
    await raw.join("realtime:flood");
    for (let n = 0; n < 600; n++)
      raw.send(["1", null, "realtime:flood", "broadcast", { type: "broadcast", event: "e", payload: {} }]);
    const [, , , , system] = await raw.messages.first((m) => m[3] === "system");
    assert.equal(system.message, "Too many messages per second");
  });
});
