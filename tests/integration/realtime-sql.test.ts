// What the migrations give Realtime: policies on private topics, the broadcast of events, publication and identities.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Caller, createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
let agentId: string;

before(async () => {
  db = await createTestDatabase();
  alice = await createUser(db);
  bob = await createUser(db);
  const { rows } = await db.pool.query(
    "insert into public.agents (name, user_id) values ('watched', $1) returning id",
    [alice],
  );
  agentId = rows[0].id;
});
after(() => db.destroy());

/** What a caller may do on a topic, asked as Realtime asks: with the topic set, in a transaction that is undone. */
async function rights(caller: Caller, topic: string, extension: string): Promise<string> {
  const undo = new Error("undo");
  let result = "";
  await db.superuser
    .query("insert into realtime.messages (topic, extension) values ($1, $2)", [topic, extension])
    .then(() =>
      db.as(caller, async (client) => {
        await client.query("select set_config('realtime.topic', $1, true)", [topic]);
        const seen = await client.query("select from realtime.messages where topic = $1 and extension = $2", [
          topic,
          extension,
        ]);
        if ((seen.rowCount ?? 0) > 0) result += "r";
        await client.query("savepoint write");
        await client
          .query("insert into realtime.messages (topic, extension) values ($1, $2)", [topic, extension])
          .then(
            () => {
              result += "w";
            },
            (error: { code?: string }) => assert.equal(error.code, "42501"),
          );
        throw undo;
      }),
    )
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  return result;
}

describe("private topics", () => {
  test("an agent's topic and a user's are their owner's alone, to read and to write", async () => {
    const own = [`agent:${agentId}`, `user:${alice}`];
    for (const topic of own) {
      for (const extension of ["broadcast", "presence"]) {
        assert.equal(await rights(user(alice), topic, extension), "rw", `${topic} ${extension}`);
        assert.equal(await rights(user(bob), topic, extension), "", `${topic} ${extension} of another`);
        assert.equal(await rights(anon, topic, extension), "", `${topic} ${extension} of anon`);
      }
      assert.equal(await rights(user(alice), topic, "other"), "");
    }
    for (const topic of [
      "room",
      "agent:",
      "user:",
      `agent:${alice}`,
      `user:${agentId}`,
      `x:user:${alice}`,
      "",
    ]) {
      assert.equal(await rights(user(alice), topic, "broadcast"), "", topic);
    }
  });

  test("a topic that is set does not open the rows of another", async () => {
    await db.superuser.query(
      "insert into realtime.messages (topic, extension) values ('elsewhere', 'broadcast')",
    );
    await db.as(user(alice), async (client) => {
      await client.query("select set_config('realtime.topic', $1, true)", [`user:${alice}`]);
      const { rowCount } = await client.query("select from realtime.messages where topic = 'elsewhere'");
      assert.equal(rowCount, 0);
    });
  });

  test("service_role is held back by none", async () => {
    assert.match(await rights(service, "room", "broadcast"), /^rw$/);
  });
});

describe("the broadcast of events", () => {
  const record = () =>
    db.pool.query("select private.record_event($1, $2, 'DEPLOYED', 'test', 'it runs') as id", [
      agentId,
      alice,
    ]);

  test("each event is one private message to the agent's topic and one to its owner's", async () => {
    const id = (await record()).rows[0].id;
    const { rows } = await db.pool.query(
      "select topic, event, private, extension, payload ->> 'id' as id, (payload ->> 'seq')::int > 0 as numbered from realtime.messages where payload ->> 'id' = $1 order by topic",
      [id],
    );
    const common = { event: "DEPLOYED", private: true, extension: "broadcast", id, numbered: true };
    assert.deepEqual(rows, [
      { topic: `agent:${agentId}`, ...common },
      { topic: `user:${alice}`, ...common },
    ]);
  });

  test("a broadcast that fails does not fail the event", async () => {
    await db.superuser.query("alter table realtime.messages add constraint closed check (false) not valid");
    try {
      const id = (await record()).rows[0].id;
      const { rowCount } = await db.pool.query("select from public.agent_events where id = $1", [id]);
      assert.equal(rowCount, 1);
    } finally {
      await db.superuser.query("alter table realtime.messages drop constraint closed");
    }
    await db.superuser.query("alter function realtime.send(jsonb, text, text, boolean) rename to gone");
    try {
      const id = (await record()).rows[0].id;
      assert.match(id, /^event-/);
    } finally {
      await db.superuser.query("alter function realtime.gone(jsonb, text, text, boolean) rename to send");
    }
  });
});

test("every published table has a primary key, which is its replica identity, and is not partitioned", async () => {
  const { rows } = await db.pool.query(
    `select c.relname, c.relkind, c.relreplident, exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p') as keyed
     from pg_publication p join pg_publication_rel r on r.prpubid = p.oid join pg_class c on c.oid = r.prrelid
     where p.pubname = 'supabase_realtime' order by 1`,
  );
  assert.ok(rows.length >= 5);
  for (const row of rows) {
    assert.deepEqual(row, { relname: row.relname, relkind: "r", relreplident: "d", keyed: true });
  }
});
