// What the migrations give Realtime: the broadcast of events, publication and identities. Who may join which private topic:
// tests/helpers/topic-matrix.ts.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { createUser } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let agentId: string;

beforeAll(async () => {
  db = await createTestDatabase();
  alice = await createUser(db);
  const { rows } = await db.pool.query(
    "insert into public.agents (name, user_id) values ('watched', $1) returning id",
    [alice],
  );
  agentId = rows[0].id;
});
afterAll(() => db.destroy());

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
