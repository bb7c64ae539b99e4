// The connection of Auth and Storage when its server ends, and the types that they want.
import assert from "node:assert/strict";
import { type QueryExecutorProvider, sql } from "kysely";
import { afterAll, beforeAll, test } from "vitest";
import { createConnection } from "../../packages/local-supabase/src/platform/connection.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

let db: TestDatabase;
let connection: Awaited<ReturnType<typeof createConnection>>;

beforeAll(async () => {
  db = await createTestDatabase();
  connection = await createConnection(db.url("supabase_lite"));
});
afterAll(async () => {
  await connection.close();
  await db.destroy();
});

const backend = async (on: QueryExecutorProvider) => {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(on);
  return rows[0]?.pid;
};
const end = (pid: number | undefined) => db.superuser.query("select pg_terminate_backend($1, 1000)", [pid]);

test("a transaction whose server ends is rejected, whatever it still asks; the next one has a server", async () => {
  let gone: number | undefined;
  const transaction = connection.kysely.transaction().execute(async (on) => {
    gone = await backend(on);
    await end(gone);
    await assert.rejects(backend(on));
    await assert.rejects(Promise.all([backend(on), backend(on)]));
    throw new Error("given up");
  });
  await assert.rejects(transaction);
  assert.notEqual(await backend(connection.kysely), gone);
});

test("a server that ends while nobody asks is replaced", async () => {
  const gone = await backend(connection.kysely);
  await end(gone);
  const pids = await Promise.all(Array.from({ length: 6 }, () => backend(connection.kysely)));
  assert.ok(!pids.includes(gone));
});

test("values come as lite reads them", async () => {
  const { rows } = await sql`
    select 9007199254740991 as safe, 9007199254740993 as big, 1.50 as exact, 1.5 as number, date '2026-01-02' as day,
           timestamptz '2026-01-02 03:04:05.678901+02' as moment, time '03:04' as hour, '{"a":[1]}'::jsonb as json,
           array['a','b']::name[] as names, array['r']::"char"[] as chars, array['x"y', null]::text[] as texts
  `.execute(connection.kysely);
  assert.deepEqual(rows, [
    {
      safe: 9007199254740991,
      big: 9007199254740993n,
      exact: "1.50",
      number: 1.5,
      day: "2026-01-02",
      moment: "2026-01-02 01:04:05.678901+00",
      hour: "03:04:00",
      json: { a: [1] },
      names: ["a", "b"],
      chars: ["r"],
      texts: ['x"y', null],
    },
  ]);
});
