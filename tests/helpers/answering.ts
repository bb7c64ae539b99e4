// Playing people and the function `respond` on a test database: agents, swarms, messages, claims and reports.
import type { TestDatabase } from "./database.ts";
import { rpc, service, user } from "./sql-api.ts";

/** What claim_replies gives for one answer; the whole of it is judged by the tests that need it. */
// biome-ignore lint/suspicious/noExplicitAny: a JSON body whose shape the test asserts
export type Claimed = any;

/** The shorthands, for one database and one person. */
export function people(db: () => TestDatabase, person: () => string) {
  const query = async (text: string, values: unknown[] = [], as = person()) =>
    (await db().as(user(as), (client) => client.query(text, values))).rows;
  return {
    query,
    /** A new agent; returns its id. */
    async agent(name: string, more: Record<string, unknown> = {}, as = person()): Promise<string> {
      const row = { name, ...more };
      const columns = Object.keys(row);
      const [made] = await query(
        `insert into public.agents (${columns.join(", ")}) select ${columns.join(", ")}
         from jsonb_populate_record(null::public.agents, $1) returning id`,
        [JSON.stringify(row)],
        as,
      );
      return made.id;
    },
    /** A new swarm of these agents; returns its id. */
    async swarm(agents: string[], more: Record<string, unknown> = {}): Promise<string> {
      const { reply_mode = "all", max_turns = 2 } = more;
      const [made] = await query(
        "insert into public.swarms (name, reply_mode, max_turns) values ('team', $1, $2) returning id",
        [reply_mode, max_turns],
      );
      for (const agent of agents) {
        await query("insert into public.swarm_agents (swarm_id, agent_id) values ($1, $2)", [made.id, agent]);
      }
      return made.id;
    },
    /** A message of the person; returns its row. */
    async say(
      to: { swarm?: string; agent?: string; conversation?: string },
      content = "hello",
      as = person(),
    ) {
      const [row] = await query(
        "insert into public.messages (swarm_id, to_agent_id, conversation_id, content) values ($1, $2, $3, $4) returning *",
        [to.swarm ?? null, to.agent ?? null, to.conversation ?? null, content],
        as,
      );
      return row;
    },
  };
}

/** The function's side. */
export function responder(db: () => TestDatabase, worker = "test") {
  const lease = (job: Claimed) => ({ job_id: job.jobId, lease_token: job.leaseToken });
  const call = async (name: string, args: Record<string, unknown>) =>
    (await rpc(db(), service, name, args)).body;
  return {
    claim: (more: Record<string, unknown> = {}): Promise<Claimed[]> =>
      call("claim_replies", { worker, max_count: 100, ...more }),
    report: (job: Claimed, text: string, sequence = 0, steps: unknown[] = []) =>
      call("report_reply", { ...lease(job), text, sequence, steps }),
    finish: (job: Claimed, content = "an answer", more: Record<string, unknown> = {}) =>
      call("finish_reply", {
        ...lease(job),
        answer: { content, model: "m", inputTokens: 10, outputTokens: 5, ...more },
      }),
    fail: (job: Claimed, failure: Record<string, unknown>) => call("fail_reply", { ...lease(job), failure }),
    search: (job: Claimed, query: string) =>
      rpc(db(), service, "search_conversation", { ...lease(job), query }),
  };
}

/** The coded error that `work` raises. Throws when it raises none. */
export async function codeOf(
  work: Promise<unknown>,
): Promise<{ code: string; message: string; details: Record<string, string> }> {
  try {
    await work;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code !== "PGRST") throw error;
    const body = JSON.parse(message);
    return { code: body.code, message: body.message, details: JSON.parse(body.details ?? "{}") };
  }
  throw new Error("nothing was raised");
}
