// A database as the checkout 325405c made it, with rows of two users in each table that they fill through its own API.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import pg from "pg";
import { bootstrap } from "../../packages/local-supabase/src/postgres/bootstrap.ts";
import { pushMigrations } from "../../packages/local-supabase/src/postgres/migrate.ts";
import { changingRoles, createTestDatabase, type TestDatabase } from "./database.ts";
import { createUser, liftRateLimits, rpc, service, settle, user } from "./sql-api.ts";

/** Its migrations by file name: a shallow clone has no history to read them from. */
const MIGRATIONS = join(import.meta.dirname, "../fixtures/migrations-325405c.json.br");

/** The checkout's folder with supabase/migrations, made in a temporary place; the caller removes it. */
export function oldProject(): string {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-325405c-"));
  const migrations = join(folder, "supabase/migrations");
  mkdirSync(migrations, { recursive: true });
  const files = JSON.parse(brotliDecompressSync(readFileSync(MIGRATIONS)).toString()) as Record<
    string,
    string
  >;
  for (const [name, text] of Object.entries(files)) writeFileSync(join(migrations, name), text);
  writeFileSync(join(folder, "supabase/config.toml"), 'project_id = "old"\n[db]\nmajor_version = 17\n');
  return folder;
}

/** An empty database with its migrations. */
export async function oldDatabase(): Promise<TestDatabase> {
  const db = await createTestDatabase("template0");
  const superuser = new pg.Client({ connectionString: db.url("supabase_admin") });
  await superuser.connect();
  try {
    await changingRoles(() => bootstrap(superuser, "test"));
  } finally {
    await superuser.end();
  }
  const projectFolder = oldProject();
  try {
    await changingRoles(() => pushMigrations({ url: db.url("postgres"), projectFolder, seed: false }));
  } finally {
    rmSync(projectFolder, { recursive: true });
  }
  return db;
}

export interface OldData {
  alice: string;
  bob: string;
  /** Alice's agents: deployed, stopped. */
  agents: string[];
  /** Bob's. */
  other: string;
}

/** Fills it as two users, a controller and an operator did. */
export async function fillOldDatabase(db: TestDatabase): Promise<OldData> {
  await liftRateLimits(db);
  const [alice, bob] = [await createUser(db), await createUser(db)];
  const launch = async (owner: string, definition: Record<string, unknown>) => {
    const { status, body } = await rpc(db, user(owner), "launch_agent", { definition });
    if (status !== 201) throw new Error(JSON.stringify(body));
    await settle(db, body.agentId);
    return body.agentId as string;
  };
  const ada = await launch(alice, {
    agentName: "Ada",
    character: {
      system: "You are Ada.",
      bio: ["A mathematician"],
      settings: { secrets: { OPENAI_API_KEY: "sk-old" } },
    },
  });
  const eve = await launch(alice, { agentName: "Eve" });
  const other = await launch(bob, { agentName: "Bot" });
  await db.pool.query(
    `update public.agents set scaling_policy = '{"min_replicas": 1, "max_replicas": 3}' where id = $1`,
    [ada],
  );
  await rpc(db, user(alice), "scale_agent", { agent_id: ada, scale: { replicas: 2 } });
  await settle(db, ada, ["DEPLOYED"]);
  await rpc(db, user(alice), "stop_agent", { agent_id: eve });
  await settle(db, eve, ["STOPPED"]);
  await rpc(db, user(alice), "set_user_secret", { name: "SHARED_KEY", value: "value-1" });
  await rpc(db, service, "ingest_agent_logs", {
    rows: [
      {
        agentId: ada,
        level: "info",
        message: "Hello from before",
        timestamp: new Date().toISOString(),
        replica: "r1",
        sequence: 1,
      },
    ],
  });
  await db.pool.query("update public.quotas set max_agents = 77 where user_id = $1", [bob]);
  await db.pool.query(
    "update public.rate_limits set window_seconds = 61 where bucket = (select min(bucket) from public.rate_limits)",
  );
  await db.pool.query("delete from public.models where name = 'gpt-4-turbo'");
  await db.asUser(alice, async (client) => {
    const swarm = "insert into public.swarms (name, reply_mode) values ('Team', 'all') returning id";
    const { rows } = await client.query<{ id: string }>(swarm);
    await client.query("insert into public.swarm_agents (swarm_id, agent_id) values ($1, $2)", [
      rows[0]?.id,
      ada,
    ]);
    await client.query("insert into public.messages (swarm_id, content) values ($1, 'Hello team')", [
      rows[0]?.id,
    ]);
    const direct =
      "insert into public.messages (conversation_id, to_agent_id, content) values (gen_random_uuid(), $1, 'Hello Ada')";
    await client.query(direct, [ada]);
  });
  const { body: jobs } = await rpc(db, service, "claim_replies", { worker: "test-worker" });
  for (const { jobId, leaseToken } of jobs) {
    const answer = { content: "Hello from Ada", model: "gpt-4o", inputTokens: 12, outputTokens: 7 };
    await rpc(db, service, "finish_reply", { job_id: jobId, lease_token: leaseToken, answer });
  }
  return { alice, bob, agents: [ada, eve], other };
}
