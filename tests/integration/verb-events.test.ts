// A verb answers with the event that it made, and makes one; a direct write makes the same one through a trigger.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { codeOf } from "../helpers/answering.ts";
import type { Caller, TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
let agentId: string;
beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
  bob = await createUser(db);
  // Whatever else is recorded of a change, later than the verb's own event.
  await db.pool.query(`
    create function private.tg_noise() returns trigger language plpgsql security definer set search_path = '' as $$
    begin
      perform private.record_event(old.id, old.user_id, 'CORRECTED', 'system', 'Noise');
      return null;
    end $$;
    create trigger _999_noise after update or delete on public.agents
      for each row execute function private.tg_noise()`);
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "ada" } });
  agentId = body.agentId;
  await settle(db, agentId);
});
afterAll(() => db.destroy());

const eventsAfter = async (seq: string) =>
  (
    await db.pool.query(
      `select id, event_type, message from public.agent_events
       where agent_id = $1 and seq > $2 and message <> 'Noise' order by seq`,
      [agentId, seq],
    )
  ).rows;
const newest = async (): Promise<string> =>
  (await db.pool.query("select max(seq) as seq from public.agent_events where agent_id = $1", [agentId]))
    .rows[0].seq;
const generation = async (): Promise<number> =>
  Number(
    (await db.pool.query("select generation from private.agent_deployments where agent_id = $1", [agentId]))
      .rows[0].generation,
  );

describe("a verb answers with its own event, whatever is recorded after it", () => {
  for (const [verb, args, type, message] of [
    ["update_agent", { changes: { system_prompt: "one" } }, "UPDATING", "Configuration changed"],
    ["update_agent", { changes: { environment: { TOKEN: "t" } } }, "UPDATING", "Environment changed"],
    ["update_agent", { changes: { description: "shown" } }, "UPDATED", "Nothing that runs was changed"],
    ["update_agent", { changes: { resources: { replicas: 2 } } }, "SCALING", "Scaling from 1 to 2 replicas"],
    ["scale_agent", { scale: { replicas: 3 } }, "SCALING", "Scaling from 2 to 3 replicas"],
    ["scale_agent", { scale: { replicas: 3 } }, "SCALING", "Scaling to 3 replicas"],
    ["rollback_agent", { revision: 1 }, "UPDATING", "Rollback to revision 1"],
    ["rollback_agent", { revision: 1 }, "UPDATING", "Rollback to revision 1"],
    ["restart_agent", {}, "RESTARTING", "Restart requested"],
    ["stop_agent", {}, "STOPPING", "Stop requested"],
    ["start_agent", {}, "DEPLOYING", "Start requested"],
  ] as const) {
    test(`${verb} ${JSON.stringify(args)}: ${message}`, async () => {
      const seq = await newest();
      const generations = await generation();
      const { status, body } = await rpc(db, user(alice), verb, { agent_id: agentId, ...args });
      assert.equal(status, 202, JSON.stringify(body));
      const events = await eventsAfter(seq);
      assert.deepEqual(events, [{ id: body.supabase_event_id, event_type: type, message }]);
      assert.equal(await generation(), generations + (type === "UPDATED" ? 0 : 1));
    });
  }

  test("update_agent that only opens an agent: the visibility's event", async () => {
    const seq = await newest();
    const { body } = await rpc(db, user(alice), "update_agent", {
      agent_id: agentId,
      changes: { visibility: "public", maxTokensPerDay: 10 },
    });
    const [event, ...others] = await eventsAfter(seq);
    assert.deepEqual(others, []);
    assert.deepEqual([event.id, event.event_type], [body.supabase_event_id, "VISIBILITY_CHANGED"]);
  });

  test("a verb with nothing to do: the newest event", async () => {
    const seq = await newest();
    const { body } = await rpc(db, user(alice), "start_agent", { agent_id: agentId });
    const { rows } = await db.pool.query(
      "select id from public.agent_events where agent_id = $1 and seq = $2",
      [agentId, seq],
    );
    assert.equal(body.supabase_event_id, rows[0].id);
  });

  test("delete_agent of a definition and of a deployed agent: DELETED, DELETING", async () => {
    const definition = await db.as(user(alice), (client) =>
      client.query("insert into public.agents (name) values ('draft') returning id"),
    );
    for (const [id, type] of [
      [definition.rows[0].id as string, "DELETED"],
      [
        (await rpc(db, user(alice), "launch_agent", { definition: { agentName: "b" } })).body.agentId,
        "DELETING",
      ],
    ]) {
      const { body } = await rpc(db, user(alice), "delete_agent", { agent_id: id });
      const { rows } = await db.pool.query("select event_type from public.agent_events where id = $1", [
        body.supabase_event_id,
      ]);
      assert.deepEqual(rows, [{ event_type: type }]);
      const counted = await db.pool.query(
        `select (select count(*)::int from public.agent_events where agent_id = $1 and event_type = $2) as events,
           (select count(*)::int from public.security_events s
            where s.agent_id = $1 and s.event_type = 'AGENT_DELETED') as noted,
           (select count(*)::int from public.agents where id = $1) as agents`,
        [id, type],
      );
      assert.deepEqual(counted.rows[0], { events: 1, noted: 1, agents: type === "DELETED" ? 0 : 1 });
    }
  });
});

describe("a direct write makes one event and one generation", () => {
  const write = (sql: string, caller?: Caller) =>
    caller === undefined
      ? db.pool.query(sql, [agentId])
      : db.as(caller, (client) => client.query(sql, [agentId]));
  for (const [who, caller, prompt] of [
    ["its owner", () => user(alice), "two"],
    ["the service role", () => service, "three"],
    ["an operator", () => undefined, "four"],
  ] as const) {
    test(`by ${who}`, async () => {
      const [seq, generations] = [await newest(), await generation()];
      await write(`update public.agents set system_prompt = '${prompt}' where id = $1`, caller());
      assert.deepEqual(
        (await eventsAfter(seq)).map(({ event_type }) => event_type),
        ["UPDATING"],
      );
      assert.equal(await generation(), generations + 1);
      await settle(db, agentId, ["DEPLOYED"]);
    });
  }

  test("of the visibility", async () => {
    const seq = await newest();
    await write("update public.agents set visibility = 'private' where id = $1", user(alice));
    assert.deepEqual(
      (await eventsAfter(seq)).map(({ event_type }) => event_type),
      ["VISIBILITY_CHANGED"],
    );
  });

  test("by another user, a forged token or nobody: none", async () => {
    const [seq, generations] = [await newest(), await generation()];
    const sql = "update public.agents set system_prompt = 'theirs' where id = $1";
    assert.equal((await write(sql, user(bob))).rowCount, 0);
    const forged = user("00000000-0000-4000-8000-000000000000");
    assert.equal((await codeOf(write(sql, forged))).code, "PERMISSION_DENIED");
    await assert.rejects(write(sql, anon), { code: "42501" });
    assert.deepEqual(await eventsAfter(seq), []);
    assert.equal(await generation(), generations);
  });
});

describe("a verb called without a client's role makes one event and one generation", () => {
  for (const [who, role] of [
    ["by an operator", "none"],
    ["by an operator who set the role that owns the verbs, as the Supabase CLI does", "postgres"],
  ] as const) {
    test(who, async () => {
      const client = await db.pool.connect();
      const [seq, generations] = [await newest(), await generation()];
      try {
        await client.query("begin");
        await client.query(
          "select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)",
          [JSON.stringify({ sub: alice, role: "authenticated" }), role],
        );
        await client.query("select public.update_agent($1, jsonb_build_object('system_prompt', $2::text))", [
          agentId,
          who,
        ]);
        await client.query("commit");
      } finally {
        client.release();
      }
      assert.deepEqual(
        (await eventsAfter(seq)).map(({ event_type }) => event_type),
        ["UPDATING"],
      );
      assert.equal(await generation(), generations + 1);
      await settle(db, agentId, ["DEPLOYED"]);
    });
  }
});

test("what somebody's own security definer function writes in a client's session is rolled out", async () => {
  await db.pool.query(`
    create function public.rename_mine(of_agent text) returns void language sql security definer set search_path = ''
    as $$ update public.agents set system_prompt = 'theirs alone', visibility = 'public' where id = of_agent $$;
    grant execute on function public.rename_mine to authenticated`);
  const [seq, generations] = [await newest(), await generation()];
  await db.as(user(alice), (client) => client.query("select public.rename_mine($1)", [agentId]));
  assert.deepEqual((await eventsAfter(seq)).map(({ event_type }) => event_type).sort(), [
    "UPDATING",
    "VISIBILITY_CHANGED",
  ]);
  assert.equal(await generation(), generations + 1);
});
