// Goals P1, P2, P3 and P11 on buffers and WAL, which do not depend on the machine. LAUNCHPAD_PLAN_AGENTS and LAUNCHPAD_PLAN_LOGS set
// the sizes: small by default, with the same plans; `npm run bench -- database` measures a million agents and five million lines.
import assert from "node:assert/strict";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import {
  explain,
  explainAs,
  type Generated,
  generate,
  newestAgents,
  newestLogs,
  type Plan,
} from "../helpers/generated.ts";

const AGENTS = Number(process.env.LAUNCHPAD_PLAN_AGENTS ?? 20_000);
const LOGS = Number(process.env.LAUNCHPAD_PLAN_LOGS ?? 100_000);

let db: TestDatabase;
let data: Generated;

async function fill(target: TestDatabase, agents: number, logs: number): Promise<Generated> {
  const client = new pg.Client({ connectionString: target.url("supabase_admin") });
  await client.connect();
  try {
    return await generate(client, { agents, logs });
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  db = await createTestDatabase();
  data = await fill(db, AGENTS, LOGS);
});
afterAll(() => db.destroy());

const asRequest = (sql: string, table: string, target = db): Promise<Plan> =>
  explainAs(target, data.owner, table, sql);

describe("plans", () => {
  test(`P1: the newest 20 of ${AGENTS} agents, under row-level security: at most 25 buffers`, async () => {
    const plan = await asRequest(newestAgents(), "agents");
    assert.ok(plan.buffers <= 25, `${plan.buffers} buffers: ${plan.text}`);
    assert.match(plan.text, /agents_user_id_created_at_idx/);
  });

  test("P2: a fiftieth of the agents takes no fewer than 1/1.3 of the buffers", async () => {
    const small = await createTestDatabase();
    try {
      await fill(small, Math.max(1000, AGENTS / 50), 0);
      const [few, many] = [
        await asRequest(newestAgents(), "agents", small),
        await asRequest(newestAgents(), "agents"),
      ];
      assert.ok(many.buffers <= 1.3 * few.buffers, `${many.buffers} against ${few.buffers}`);
    } finally {
      await small.destroy();
    }
  });

  test(`P3: the newest 100 of an agent among ${LOGS} lines, under row-level security: at most 110 buffers`, async () => {
    const plan = await asRequest(newestLogs(data.agentId), "agent_logs");
    assert.ok(plan.buffers <= 110, `${plan.buffers} buffers: ${plan.text}`);
    assert.match(plan.text, /agent_logs_user_id_agent_id_timestamp_idx/);
  });

  test("a month of metrics by the hour is a small query", async () => {
    await db.superuser.query(
      `insert into public.agent_metrics_hour (agent_id, user_id, "timestamp", samples, replicas)
       select a, $1, date_trunc('hour', now()) - make_interval(hours => h), 240, 1
       from unnest(array[$2, 'x', 'y', 'z']) a, generate_series(0, 9000) h`,
      [data.owner, data.agentId],
    );
    await db.superuser.query("vacuum analyze public.agent_metrics_hour");
    const sql = `select private.metrics_history('${data.owner}', '${data.agentId}', '30d', null)`;
    const client = await db.pool.connect();
    try {
      const plan = await explain(client, sql);
      assert.ok(plan.buffers <= 60, `${plan.buffers} buffers`);
    } finally {
      client.release();
    }
  });
});

describe("P11: retention", () => {
  /** Bytes of WAL and pages that a statement takes. */
  async function cost(sql: string): Promise<{ wal: number; buffers: number; result: number }> {
    const client = await db.superuser.connect();
    try {
      const { rows } = await client.query(`explain (analyze, buffers, wal, format json) ${sql}`);
      const plan = rows[0]["QUERY PLAN"][0].Plan;
      return {
        wal: plan["WAL Bytes"],
        buffers: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
        result: plan["Actual Rows"],
      };
    } finally {
      client.release();
    }
  }

  test("a run that finds nothing writes nothing and reads little", async () => {
    await cost("select private.delete_expired()");
    const { wal, buffers } = await cost("select private.delete_expired()");
    assert.equal(wal, 0);
    // The ranges of the BRIN indexes and a few pages of each table: not the tables.
    const { rows } = await db.pool.query(
      `select sum(relpages)::int as pages from pg_class
       where relname in ('agent_logs', 'agent_metrics', 'agent_metrics_minute', 'agent_metrics_hour')`,
    );
    assert.ok(buffers < rows[0].pages / 5, `${buffers} of ${rows[0].pages} pages`);
  });

  test("a run is bounded, and costs at most 400 bytes of WAL a row", async () => {
    await db.superuser.query(
      `update public.agent_logs set "timestamp" = "timestamp" - interval '40 days' where sequence < ${LOGS / 2}`,
    );
    await db.superuser.query("vacuum analyze public.agent_logs");
    await db.superuser.query("checkpoint");
    const before = await db.pool.query("select count(*)::int as n from public.agent_logs");
    await cost("select private.delete_expired(2000, 1)"); // the first touch of a page after a checkpoint logs all of it
    const { wal } = await cost("select private.delete_expired(2000, 3)");
    const left = await db.pool.query("select count(*)::int as n from public.agent_logs");
    assert.equal(before.rows[0].n - left.rows[0].n, 8000);
    assert.ok(wal / 6000 <= 400, `${wal / 6000} bytes a row`);
  });
});
