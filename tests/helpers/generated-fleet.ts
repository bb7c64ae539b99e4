// A fleet made by SQL alone: agents with their deployments and revisions, as they are after weeks, for plans and benchmarks.
import type pg from "pg";

export interface Fleet {
  /** Owns fifty agents, the first of them deployed. */
  owner: string;
  agentId: string;
  /** Lives, and holds the agents that run. */
  worker: string;
}

export interface FleetShape {
  agents: number;
  /** How many of them run; the others are stopped. All of these are settled and held. */
  running: number;
  /** Launched and claimed by nobody yet, beside the others. */
  waiting: number;
}

const OWNED = 50;
/** The id of agent `i`: in no order, as launched ones are. */
const ID = "'fleet-' || left(md5(i::text), 12)";

/** Runs as a superuser: triggers are off, because a hundred thousand launches are not what is measured. */
export async function generateFleet(client: pg.ClientBase, shape: FleetShape): Promise<Fleet> {
  const owner = "00000000-0000-4000-8000-000000000000";
  const worker = "fleet-worker";
  const total = shape.agents + shape.waiting;
  await client.query("set session_replication_role = replica");
  try {
    await client.query(
      `insert into auth.users (id, aud, role, email)
       select ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'authenticated', 'authenticated', 'f' || i || '@example.com'
       from generate_series(0, $1::int / ${OWNED}) i`,
      [total],
    );
    await client.query(
      "select private.provision_user(u.id) from auth.users u where u.email like 'f%@example.com'",
    );
    await client.query("update public.quotas set max_agents = 1000, max_replicas = 1000");
    // Each user's fifty agents are made one after the other, and the awake ones are spread over all.
    await client.query(
      `insert into public.agents (id, user_id, name, framework, model, status, replicas, created_at, deployed_at, "character")
       select ${ID}, ('00000000-0000-4000-8000-' || lpad(to_hex(i / ${OWNED}), 12, '0'))::uuid, 'agent ' || i,
         'openai', 'gpt-4o', 'deployed', 1, now() - make_interval(secs => $1::int - i), now(),
         jsonb_build_object('name', 'agent ' || i, 'bio', repeat('x', 200))
       from generate_series(0, $1::int - 1) i`,
      [total],
    );
    await client.query(
      `insert into public.agent_revisions (agent_id, revision, user_id, spec, reason, created_by)
       select a.id, 1, a.user_id, jsonb_build_object('name', a.name, 'framework', 'openai', 'character', a."character",
         'resources', '{"cpu": "500m", "memory": "256Mi", "cpuMillicores": 500, "memoryBytes": 268435456}'::jsonb), 'launch', 'user'
       from public.agents a where a.id like 'fleet-%'`,
    );
    await client.query(
      "insert into private.controllers (worker, expires_at, report) values ($1, now() + interval '1 hour', '{}')",
      [worker],
    );
    await client.query(
      `insert into private.agent_deployments (agent_id, user_id, desired, revision, target_replicas, most_replicas,
         cpu_millicores, memory_bytes, phase, generation, observed_generation, current_replicas, ready_replicas, url,
         lease_holder, lease_token, claimed_generation, timings, updated_at)
       select a.id, a.user_id, case when f.stopped then 'stopped' else 'running' end, 1, 1, 1, 500, 268435456,
         case when f.waiting then 'QUEUED' when f.stopped then 'STOPPED' else 'DEPLOYED' end, 1,
         case when f.waiting then 0 else 1 end, case when f.runs then 1 else 0 end, case when f.runs then 1 else 0 end,
         'http://' || a.id || '.agents.localhost', case when f.runs then $4::text end,
         case when f.runs then gen_random_uuid() end, case when f.waiting then 0 else 1 end,
         '{"requestedAt": "2026-01-01T00:00:00.000Z"}', now() - interval '1 hour'
       from (
         select i, i >= $1 as waiting, i < $1 and i % greatest(1, $1 / greatest(1, $2::int)) = 0 as runs,
           i < $1 and i % greatest(1, $1 / greatest(1, $2::int)) <> 0 as stopped
         from generate_series(0, $1::int + $3::int - 1) i) f
       join public.agents a on a.id = ${ID}`,
      [shape.agents, shape.running, shape.waiting, worker],
    );
    await client.query(
      "vacuum analyze public.agents, private.agent_deployments, public.agent_revisions, auth.users, public.quotas, private.controllers",
    );
    const { rows } = await client.query(`select ${ID} as id from generate_series(0, 0) i`);
    return { owner, agentId: rows[0].id, worker };
  } finally {
    await client.query("set session_replication_role = default");
  }
}

interface FleetCall {
  sql: (fleet: Fleet) => string;
  /** What must be so before. */
  before?: string;
  /** Asked by the owner, as PostgREST asks. */
  user?: boolean;
}

/** What is called all day. Claims last: those that are rolled back leave dead entries in the indexes. */
const CALLS: Record<string, FleetCall> = {
  sweep: { sql: () => "select private.sweep_deployments()" },
  heartbeat: { sql: ({ worker }) => `select private.heartbeat_controller('${worker}', 15, '{}')` },
  retention: { sql: () => "select private.delete_expired()" },
  list: { sql: () => "select public.list_agents()", user: true },
  status: { sql: ({ agentId }) => `select public.get_agent_status('${agentId}')`, user: true },
  "claim without work": {
    before: "select private.claim_deployments('other-worker', 500, 15)",
    sql: ({ worker }) => `select private.claim_deployments('${worker}', 50, 15)`,
  },
  "claim of 50": { sql: () => "select private.claim_deployments('fresh-worker', 50, 15)" },
};

/** The buffers of each call among the fleet, once its plans and the catalogue are known; nothing of it stays. */
export async function fleetBuffers(client: pg.ClientBase, fleet: Fleet): Promise<Record<string, number>> {
  const buffers: Record<string, number> = {};
  await client.query("set random_page_cost = 1.1"); // as the role authenticator has it
  for (const [name, { sql, before, user }] of Object.entries(CALLS)) {
    await client.query("begin");
    if (before) await client.query(before);
    if (user) {
      await client.query(
        `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true),
           set_config('request.method', 'POST', true), set_config('request.path', '/rpc/x', true), set_config('request.headers', '{}', true)`,
        [JSON.stringify({ role: "authenticated", sub: fleet.owner })],
      );
    }
    // The least of some: the first calls read the catalogue, and so does one after an autovacuum.
    let least = Number.POSITIVE_INFINITY;
    for (let call = 0; call < 6; call++) {
      await client.query("savepoint call");
      const { rows } = await client.query(`explain (analyze, buffers, format json) ${sql(fleet)}`);
      await client.query("rollback to savepoint call");
      const plan = rows[0]["QUERY PLAN"][0].Plan;
      least = Math.min(least, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]);
    }
    await client.query("rollback");
    buffers[name] = least;
  }
  return buffers;
}
