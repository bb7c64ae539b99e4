// What metering adds to a warm message: a call that waits for its reservation, against one that was reserved ahead, through
// the real gateway, PostgREST and Postgres; and the reserve and settle of one call in SQL alone.
import { createHmac } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { createMeter } from "../../packages/agent-runtime/src/meter.ts";
import { createProject } from "../../packages/agent-runtime/src/project.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { median, ms, quantile } from "../lib/stats.ts";

/** The shortest call of a provider. */
const PROVIDER_MS = 25;
const WANTED = { model: "gpt-4o", inputTokens: 900, outputTokens: 512 };
const USED = { inputTokens: 200, cachedInputTokens: 0, outputTokens: 40 };

export const benchmark: Benchmark = {
  title: "what metering adds to a warm message",
  async run({ stack: shared, rounds, progress }) {
    const bench = await shared();
    const { stack } = bench;
    const user = await bench.createUser();
    await stack.sql("update public.quotas set max_tokens_per_day = 1000000000 where user_id = $1", [user.id]);
    const { data, error } = await user.client
      .from("agents")
      .insert({ name: "Metered" })
      .select("id")
      .single();
    if (error) throw error;
    const agentId = String(data.id);
    const [row] = await stack.sql<{ key: string }>("select private.message_key($1) as key", [agentId]);
    const project = createProject({ url: stack.info.apiUrl, key: stack.info.publishableKey });
    const make = (ahead: boolean) =>
      createMeter({
        agentId,
        project,
        messageKey: row?.key,
        messageTimeoutMs: 60_000,
        warn: (message, facts) => progress(`${message} ${JSON.stringify(facts)}`),
        ahead,
      });
    const meters = { waiting: make(false), ahead: make(true) };
    const waits: Record<keyof typeof meters, number[]> = { waiting: [], ahead: [] };
    const count = rounds(200);
    for (let round = 0; round < count + 5; round++) {
      for (const kind of ["waiting", "ahead"] as const) {
        const meter = meters[kind];
        await meter.run({ source: "address" }, async () => {
          const started = performance.now();
          const call = await meter.reserve(WANTED);
          const took = performance.now() - started;
          if (round >= 5) waits[kind].push(took);
          await delay(PROVIDER_MS);
          call.settle(USED);
        });
      }
    }
    for (const meter of Object.values(meters)) await meter.close();
    project.close();
    const sql = await inSql(stack.sql, agentId, count);
    const [usage] = await stack.sql<{ answers: number; tokens: number }>(
      "select sum(answers)::int as answers, sum(input_tokens + output_tokens)::int as tokens from public.usage_daily where agent_id = $1",
      [agentId],
    );
    const expected = 2 * (count + 5);
    const rows: Row[] = [
      {
        measure: "reserved ahead: what a message waits, p50",
        ours: ms(median(waits.ahead)),
        against: `${ms(median(waits.waiting))}, reserved when wanted`,
        ratio: median(waits.ahead) / median(waits.waiting),
        goal: "≤ 2 ms",
        met: median(waits.ahead) <= 2,
      },
      { measure: "  p95", ours: ms(quantile(waits.ahead, 0.95)), against: ms(quantile(waits.waiting, 0.95)) },
      { measure: "reserve and settle in SQL, p50", ours: ms(sql) },
      {
        measure: "answers counted",
        ours: `${usage?.answers}, ${usage?.tokens} tokens`,
        goal: "each once",
        met: usage?.answers === expected && usage.tokens === expected * 240,
      },
    ];
    return rows;
  },
};

/** One call's two functions as the database runs them, in one statement each. */
async function inSql(
  sql: (text: string, values?: unknown[]) => Promise<unknown[]>,
  agentId: string,
  count: number,
): Promise<number> {
  const took: number[] = [];
  const [row] = (await sql("select private.message_key($1) as key", [agentId])) as { key: string }[];
  const credential = createHmac("sha256", row?.key ?? "")
    .update("runtime")
    .digest("hex");
  for (let round = 0; round < count; round++) {
    const id = crypto.randomUUID();
    const call = { id, source: "mcp", ...WANTED, leaseSeconds: 60 };
    const started = performance.now();
    await sql("select private.reserve_model_call($1, $2, $3, '[]')", [
      agentId,
      credential,
      JSON.stringify(call),
    ]);
    await sql("select private.settle_model_calls($1, $2, $3)", [
      agentId,
      credential,
      JSON.stringify([{ id, unused: true }]),
    ]);
    took.push(performance.now() - started);
  }
  return median(took);
}
