// Calls the database as PostgREST does: a transaction with the caller's role, claims and headers set.
import { randomUUID } from "node:crypto";
import type { Pool, PoolClient } from "pg";

/** Who calls: an API role, and for a signed-in user the id in the token's `sub`. */
export interface Caller {
  role: "anon" | "authenticated" | "service_role";
  sub?: string;
  headers?: Record<string, string>;
}

/** What an HTTP client would get. */
export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: bodies are judged field by field in tests
  body: any;
  headers: Record<string, string>;
}

export const anon: Caller = { role: "anon" };
export const service: Caller = { role: "service_role" };

/** A signed-in user, with request headers if any. */
export const user = (sub: string, headers: Record<string, string> = {}): Caller => ({
  role: "authenticated",
  sub,
  headers,
});

/** Runs `work` in one transaction as the caller; commits when it resolves, rolls back when it throws. */
export async function as<T>(
  pool: Pool,
  caller: Caller,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query(
      "select set_config('request.jwt.claims', $1, true), set_config('request.headers', $2, true), set_config('role', $3, true)",
      [
        JSON.stringify({ role: caller.role, ...(caller.sub ? { sub: caller.sub } : {}) }),
        JSON.stringify(caller.headers ?? {}),
        caller.role,
      ],
    );
    const result = await work(client);
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback");
    throw error;
  } finally {
    client.release();
  }
}

/** The answer PostgREST would make of a database error. Rethrows what is not one. */
export function answerOf(error: unknown): Answer {
  const { code, message, detail } = error as { code?: string; message: string; detail?: string };
  if (code === "PGRST") {
    return { status: JSON.parse(detail ?? "{}").status, body: JSON.parse(message), headers: {} };
  }
  if (code === "42501") return { status: 403, body: { code, message }, headers: {} };
  throw error;
}

/** Calls an RPC by name with named arguments. */
export async function rpc(
  pool: Pool,
  caller: Caller,
  name: string,
  args: Record<string, unknown> = {},
): Promise<Answer> {
  const names = Object.keys(args);
  const values = Object.values(args).map((v) =>
    typeof v === "object" && v !== null ? JSON.stringify(v) : v,
  );
  const list = names.map((key, i) => `"${key}" => $${i + 1}`).join(", ");
  try {
    return await as(pool, caller, async (client) => {
      const { rows } = await client.query(`select public.${name}(${list}) as body`, values);
      const { rows: after } = await client.query(
        "select current_setting('response.status', true) as status, current_setting('response.headers', true) as headers",
      );
      const { status, headers } = after[0];
      return {
        status: Number(status || 200),
        body: rows[0].body,
        headers: Object.assign({}, ...(headers ? JSON.parse(headers) : [])),
      };
    });
  } catch (error) {
    return answerOf(error);
  }
}

/** A new user of auth; returns the id. */
export async function createUser(pool: Pool, email = `${randomUUID()}@example.com`): Promise<string> {
  const id = randomUUID();
  await pool.query("insert into auth.users (id, email) values ($1, $2)", [id, email]);
  return id;
}

/** Lifts every rate limit, for tests that are not about them. */
export async function liftRateLimits(pool: Pool): Promise<void> {
  await pool.query("update public.rate_limits set max_requests = 1000000");
}

/** Plays the controller until an agent's present generation has settled: claims it and reports `phases` in turn. */
export async function settle(
  pool: Pool,
  agentId: string,
  phases: string[] = ["DEPLOYING", "DEPLOYED"],
  worker = "test-worker",
): Promise<void> {
  const { body: claims } = await rpc(pool, service, "claim_deployments", { worker, max_count: 500 });
  const claim = claims.find((c: { agentId: string }) => c.agentId === agentId);
  if (!claim) throw new Error(`nothing to claim for ${agentId}`);
  for (const phase of phases) {
    const count = ["DEPLOYED"].includes(phase) ? claim.targetReplicas : 0;
    const { body } = await rpc(pool, service, "report_deployment", {
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
