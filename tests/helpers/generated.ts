// Many agents and log lines, made by SQL alone: for plans and benchmarks, where the shape of the data is what counts.
import type pg from "pg";
import type { TestDatabase } from "./database.ts";

export interface Generated {
  /** Owns `ownAgents` agents, spread over the table as time would spread them. */
  owner: string;
  /** The owner's agent with a hundredth of all lines, among others' lines as they come in. */
  agentId: string;
}

export interface Amounts {
  agents: number;
  logs: number;
  /** How many of the agents are the owner's. */
  ownAgents?: number;
}

/** Runs as a superuser: triggers are off, because a million verbs are not what is measured. */
export async function generate(
  client: pg.ClientBase,
  { agents, logs, ownAgents = 50 }: Amounts,
  progress: (line: string) => void = () => {},
): Promise<Generated> {
  await client.query("set session_replication_role = replica");
  try {
    progress(`${agents} agents`);
    // Users own 20 agents each.
    await client.query(
      `insert into auth.users (id, aud, role, email)
       select ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'authenticated', 'authenticated', 'g' || i || '@example.com'
       from generate_series(0, $1::int / 20) i on conflict do nothing`,
      [agents],
    );
    const owner = "00000000-0000-4000-8000-000000000000";
    await client.query("select private.provision_user($1)", [owner]);
    await client.query(
      `insert into public.agents (id, user_id, name, model, created_at, "character")
       select 'gen-' || i,
         case when i % ($1::int / $2::int) = 0 then $3::uuid
           else ('00000000-0000-4000-8000-' || lpad(to_hex(1 + (i::bigint * 7919) % greatest(1, $1::int / 20)), 12, '0'))::uuid end,
         'agent ' || i, 'gpt-4o', now() - make_interval(secs => $1::int - i),
         jsonb_build_object('name', 'agent ' || i, 'bio', repeat('x', 200))
       from generate_series(0, $1::int - 1) i`,
      [agents, ownAgents, owner],
    );
    progress(`${logs} log lines`);
    // A hundredth of the lines are the watched agent's, between those of a thousand others, in order of time.
    await client.query(
      `insert into public.agent_logs (id, agent_id, user_id, "timestamp", level, message, source, replica, sequence)
       select 'gen-' || i, case when i % 100 = 0 then 'gen-0' else 'other-' || i % 1000 end,
         case when i % 100 = 0 then $2::uuid
           else ('00000000-0000-4000-8000-' || lpad(to_hex(1 + i % 1000), 12, '0'))::uuid end,
         now() - make_interval(secs => ($1::int - i) * 0.01), (array['INFO', 'WARN', 'ERROR'])[1 + i % 3],
         'line ' || i || repeat(' word', 15), 'generated', 'r', i
       from generate_series(0, $1::int - 1) i`,
      [logs, owner],
    );
    progress("statistics");
    await client.query("vacuum analyze public.agents, public.agent_logs");
    return { owner, agentId: "gen-0" };
  } finally {
    await client.query("set session_replication_role = default");
  }
}

export interface Plan {
  /** Pages looked at by the statement itself. */
  buffers: number;
  milliseconds: number;
  rows: number;
  text: string;
}

/** Explains a statement as it runs, once to warm the caches and once to count. */
export async function explain(client: pg.ClientBase, sql: string): Promise<Plan> {
  await client.query(sql);
  const { rows } = await client.query(`explain (analyze, buffers, format json) ${sql}`);
  const [{ Plan: plan, "Execution Time": milliseconds }] = rows[0]["QUERY PLAN"];
  return {
    buffers: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
    milliseconds,
    rows: plan["Actual Rows"],
    text: JSON.stringify(plan),
  };
}

/**
 * The plan of a statement as PostgREST asks it of a table: settings, pre-request, row-level security; by another login than
 * PostgREST's, which may not explain.
 */
export async function explainAs(db: TestDatabase, userId: string, table: string, sql: string): Promise<Plan> {
  const client = await db.superuser.connect();
  try {
    await client.query("begin");
    await client.query(
      `select set_config('random_page_cost', '1.1', true), set_config('role', 'authenticated', true),
         set_config('request.jwt.claims', $1, true), set_config('request.method', 'GET', true), set_config('request.path', $2, true)`,
      [JSON.stringify({ role: "authenticated", sub: userId }), `/${table}`],
    );
    await client.query("select private.pre_request()");
    return await explain(client, sql);
  } finally {
    await client.query("rollback");
    client.release();
  }
}

/** The statement PostgREST makes of GET /rest/v1/<table>?<filters>&order=…&limit=…. */
export const restQuery = (table: string, rest: string): string =>
  `with pgrst_source as (select "public"."${table}".* from "public"."${table}" ${rest})
   select null::bigint as total_result_set, pg_catalog.count(_postgrest_t) as page_total,
     coalesce(json_agg(_postgrest_t), '[]') as body from (select * from pgrst_source) _postgrest_t`;

/** The newest 20 agents of whoever asks; `owner` names them, as a service that knows them would. */
export const newestAgents = (owner?: string): string =>
  restQuery("agents", `${owner ? `where user_id = '${owner}'` : ""} order by created_at desc limit 20`);

/** The newest 100 lines of an agent. */
export const newestLogs = (agentId: string, owner?: string): string =>
  restQuery(
    "agent_logs",
    `where agent_id = '${agentId}' ${owner ? `and user_id = '${owner}'` : ""} order by "timestamp" desc limit 100`,
  );
