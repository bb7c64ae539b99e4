// Shorthands for tests of the RPCs on a test database: who calls, calling, and playing the controller.
import { type Caller, createTestDatabase, type RpcAnswer, type TestDatabase } from "./database.ts";

export const anon: Caller = { role: "anon" };
export const service: Caller = { role: "service_role" };

/** A signed-in user by id, with request headers (lower case) if any. */
export const user = (id: string, headers: Record<string, string> = {}): Caller => ({
  role: "authenticated",
  user: id,
  headers,
});

/** A test database without rate limits, for tests that are not about them. */
export async function createUnlimitedDatabase(): Promise<TestDatabase> {
  const db = await createTestDatabase();
  await liftRateLimits(db);
  return db;
}

/** Lifts every rate limit. Those that a test sets again have one window until 2033: none ends between two requests. */
export async function liftRateLimits(db: TestDatabase): Promise<void> {
  await db.pool.query("update public.rate_limits set max_requests = 1000000, window_seconds = 1000000000");
}

/** Lets agents name every package as a plugin. */
export async function allowPlugins(db: TestDatabase): Promise<void> {
  await db.pool.query("insert into private.plugin_rules (pattern) values ('*') on conflict do nothing");
}

/** Calls an RPC as PostgREST does; a missing privilege is a 403 as it is there. */
export async function rpc(
  db: TestDatabase,
  caller: Caller,
  name: string,
  args: Record<string, unknown> = {},
): Promise<RpcAnswer> {
  try {
    return await db.rpc(caller, name, args);
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code !== "42501") throw error;
    return { status: 403, body: { code, message }, headers: {} };
  }
}

/** A new user of auth; returns the id. */
export const createUser = async (db: TestDatabase): Promise<string> => (await db.createUser()).id;

/** Plays the controller until an agent's present generation has settled: claims it and reports `phases` in turn. */
export async function settle(
  db: TestDatabase,
  agentId: string,
  phases: string[] = ["DEPLOYING", "DEPLOYED"],
  worker = "test-worker",
): Promise<void> {
  const { body: claims } = await rpc(db, service, "claim_deployments", { worker, max_count: 500 });
  const claim = claims.find((c: { agentId: string }) => c.agentId === agentId);
  if (!claim) throw new Error(`nothing to claim for ${agentId}`);
  for (const phase of phases) {
    const count = phase === "DEPLOYED" ? claim.targetReplicas : 0;
    const { body } = await rpc(db, service, "report_deployment", {
      agent_id: agentId,
      generation: claim.generation,
      lease_token: claim.leaseToken,
      report: {
        phase,
        currentReplicas: count,
        readyReplicas: count,
        url: `http://${agentId}.agents.localhost`,
      },
    });
    if (!body.accepted) throw new Error(`${phase} refused: ${JSON.stringify(body)}`);
  }
}
