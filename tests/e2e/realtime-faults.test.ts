// What connected clients see while Postgres and the stack die under load, compared with the table.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@supabase/supabase-js";
import { test } from "vitest";
import { eventually, stillRunning, tree } from "../helpers/processes.ts";
import { Inbox, openSocket, subscribed } from "../helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const options = { skip: !(process.platform === "linux") };

async function killPostgres(stack: TestStack): Promise<void> {
  const server = await eventually("a running server", () =>
    tree(stack.process?.pid ?? 0).find(({ command }) => /postgres -D/.test(command)),
  );
  process.kill(server.pid, "SIGKILL");
  await eventually("the server's end", () => stillRunning([server]).length === 0);
}

/** When the server that answers was started. */
async function startOf(stack: TestStack): Promise<string | undefined> {
  const [row] = await stack.sql<{ at: string }>("select pg_postmaster_start_time()::text as at");
  return row?.at;
}

test("Postgres killed again and again under load: no change lost or doubled", options, async () => {
  const stack = await startTestStack({ env: {} });
  let owner: TestUser | undefined;
  try {
    owner = await stack.createUser();
    const { id, client } = owner;
    const seen = new Inbox<number>();
    const broadcasts = new Inbox<number>();
    await subscribed(
      client
        .channel("faults")
        .on("postgres_changes", { event: "INSERT", schema: "public", table: "agent_logs" }, (payload) =>
          seen.push(payload.new.sequence),
        )
        .on("broadcast", { event: "n" }, ({ payload }) => broadcasts.push(payload.n)),
    );
    let stop = false;
    let next = 0;
    const write = async () => {
      while (!stop) {
        // Transactions of one row and of many, each with a broadcast; one that fails may yet have committed.
        const size = next % 7 === 0 ? 40 : 1;
        const from = next;
        next += size;
        await stack
          .sql(
            `with rows as (
               insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, replica, sequence)
               select 'a', $1, now(), 'INFO', repeat('x', 100), 's', 'r', n from generate_series($2::int, $3::int) n returning 1)
             select realtime.send(jsonb_build_object('n', $2::int), 'n', 'faults', false)`,
            [id, from, from + size - 1],
          )
          .catch(() => delay(20));
      }
    };
    const writing = write();
    for (let round = 0; round < 5; round++) {
      const before = next;
      await eventually("more rows", () => next > before + 200);
      const killed = await startOf(stack);
      await killPostgres(stack);
      // A backend of the killed server may answer once more before it notices: only another start is the server again.
      await eventually("the server again", () =>
        startOf(stack).then(
          (start) => start !== killed,
          () => false,
        ),
      );
    }
    const before = next;
    await eventually("rows of the last server", () => next > before + 200);
    stop = true;
    await writing;
    const rows = await stack.sql<{ sequence: string }>(
      "select sequence from public.agent_logs order by sequence",
    );
    const sent = await stack.sql<{ n: number }>(
      "select (payload ->> 'n')::int as n from realtime.messages where topic = 'faults' order by 1",
    );
    await seen.until(() => seen.all.length >= rows.length);
    await broadcasts.until(() => broadcasts.all.length >= sent.length);
    // Whatever might come twice comes before what is written now.
    const last = next;
    await stack.sql(
      `with row as (
         insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, replica, sequence)
         values ('a', $1, now(), 'INFO', 'last', 's', 'r', $2) returning 1)
       select realtime.send(jsonb_build_object('n', $2::int), 'n', 'faults', false) from row`,
      [id, last],
    );
    await seen.first((sequence) => sequence === last);
    await broadcasts.first((n) => n === last);
    const committed = rows.map(({ sequence }) => Number(sequence));
    assert.ok(committed.length > 1000, `${committed.length} rows`);
    assert.deepEqual(seen.all, [...committed, last], "in order, each once");
    assert.deepEqual(broadcasts.all, [...sent.map(({ n }) => n), last]);
  } finally {
    await owner?.client.realtime.disconnect();
    await stack.stop();
  }
});

test(
  "a stack killed and started again: supabase-js comes back by itself, nothing of the old slot is left",
  options,
  async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "launchpad-realtime-"));
    const first = await startTestStack({ dataDir });
    const owner = await first.createUser();
    const port = Number(new URL(first.info.apiUrl).port);
    const { client } = owner;
    const seen = new Inbox<string>();
    const statuses = new Inbox<string>();
    let second: Awaited<ReturnType<typeof startTestStack>> | undefined;
    try {
      await subscribed(
        client
          .channel("restart")
          .on("postgres_changes", { event: "INSERT", schema: "public", table: "agent_logs" }, (payload) =>
            seen.push(payload.new.message),
          ),
        statuses.push,
      );
      const insert = (stack: TestStack, message: string, n: number) =>
        stack.sql(
          `insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, replica, sequence)
         values ('a', $1, now(), 'INFO', $2, 's', 'r', $3)`,
          [owner.id, message, n],
        );
      await insert(first, "before", 1);
      await seen.first((message) => message === "before");
      const old = tree(first.process?.pid ?? 0);
      const gone = once(first.process as NonNullable<typeof first.process>, "exit");
      first.process?.kill("SIGKILL");
      await gone;
      await eventually("the end of every process", () => stillRunning(old).length === 0);
      second = await startTestStack({ dataDir, port });
      await statuses.until(() => statuses.all.filter((status) => status === "SUBSCRIBED").length === 2);
      await insert(second, "after", 2);
      await seen.first((message) => message === "after");
      assert.deepEqual(seen.all, ["before", "after"]);
      const slots = await second.sql<{ slot_name: string; active: boolean }>(
        "select slot_name, active from pg_replication_slots",
      );
      assert.deepEqual(slots, [{ slot_name: "launchpad_realtime", active: true }]);
      const subscriptions = await second.sql("select from realtime.subscription");
      assert.equal(subscriptions.length, 1);
    } finally {
      await client.removeAllChannels();
      await first.stop();
      await second?.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
);

test(
  "Realtime killed again and again: clients come back, and their feed misses and doubles nothing",
  options,
  async () => {
    const stack = await startTestStack({ env: {} });
    const realtimeOf = () =>
      tree(stack.process?.pid ?? 0).find(({ command }) =>
        /local-supabase\/src\/realtime\/main\.ts$/.test(command),
      );
    let owner: TestUser | undefined;
    try {
      owner = await stack.createUser();
      const supabase = createClient(stack.info.apiUrl, stack.info.publishableKey, {
        auth: { persistSession: false, autoRefreshToken: false },
        realtime: { reconnectAfterMs: () => 100 },
      });
      await supabase.auth.signInWithPassword({ email: owner.email, password: owner.password });
      const { data } = await owner.client
        .from("agents")
        .insert({ name: "feed" })
        .select("id")
        .single()
        .throwOnError();
      const page = await readFile(new URL("../../docs/realtime.md", import.meta.url), "utf8");
      const code = /## A feed that misses nothing\n[\s\S]*?```js\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
      const shown = new Inbox<{ seq: number }>();
      new Function("supabase", "agentId", "show", code)(supabase, data.id, shown.push);
      await shown.count(1); // the agent's creation
      let written = 1;
      const write = async (times: number) => {
        for (let n = 0; n < times; n++) {
          written += 1;
          await stack.sql("select private.record_event($1, $2, 'DEPLOYED', 'test', $3)", [
            data.id,
            owner?.id,
            `${written}`,
          ]);
        }
      };
      for (let round = 0; round < 3; round++) {
        await write(5);
        const victim = await eventually("a running Realtime", realtimeOf);
        process.kill(victim.pid, "SIGKILL");
        await write(5);
        // The others go on: REST and health answer while Realtime is down.
        const rest = await stack.fetch(`/rest/v1/agents?select=id`, { token: owner.token });
        assert.equal(rest.status, 200);
        await eventually("another Realtime", () => {
          const heir = realtimeOf();
          return heir !== undefined && heir.pid !== victim.pid;
        });
        assert.equal(stillRunning([victim]).length, 0);
        await write(10); // while the client comes back
        await shown.count(written);
      }
      assert.deepEqual(
        shown.all.map(({ seq }) => seq),
        Array.from({ length: written }, (_, n) => n + 1),
      );
      const slots = await stack.sql<{ active: boolean }>("select active from pg_replication_slots");
      assert.deepEqual(slots, [{ active: true }], "no slot of a killed process is left");
      await supabase.realtime.disconnect();
    } finally {
      await owner?.client.realtime.disconnect();
      await stack.stop();
    }
  },
);

test("a client that does not read is cut off; others get everything at once", options, async () => {
  const stack = await startTestStack({ env: {} });
  const { info } = stack;
  try {
    const { token } = await stack.createUser();
    const quick = await openSocket(info);
    await quick.join("realtime:slow");
    // A bare TCP client that joins and then never reads.
    const { connect } = await import("node:net");
    const { randomBytes } = await import("node:crypto");
    const { hostname, port } = new URL(info.apiUrl);
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    const key = randomBytes(16).toString("base64");
    socket.write(
      `GET /realtime/v1/websocket?apikey=${info.publishableKey}&vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n` +
        `Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    await once(socket, "data");
    const frame = Buffer.from(JSON.stringify(["1", "1", "realtime:slow", "phx_join", { config: {} }]));
    // Masked, as clients must; with a mask of zeros.
    socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | frame.length, 0, 0, 0, 0]), frame]));
    await once(socket, "data");
    socket.pause();
    const closed = once(socket, "close");
    const writer = await openSocket(info);
    await writer.join("realtime:slow", { config: { broadcast: { ack: true } }, access_token: token });
    const payload = { type: "broadcast", event: "e", payload: { text: "x".repeat(1_000_000) } };
    for (let n = 0; n < 60; n++) {
      writer.send(["1", `b${n}`, "realtime:slow", "broadcast", payload]);
      await writer.messages.first((m) => m[1] === `b${n}`);
      if (n === 0) await quick.messages.first((m) => m[3] === "broadcast", 1000);
    }
    await quick.messages.until(() => quick.messages.all.filter((m) => m[3] === "broadcast").length === 60);
    socket.resume();
    await closed;
    quick.close();
    writer.close();
  } finally {
    await stack.stop();
  }
});
