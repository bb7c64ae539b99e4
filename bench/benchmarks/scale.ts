// What one of each carries: CPU by part of a list and of a batch of log lines, and what is called all day among a hundred thousand
// agents (--full: a million). docs/scale.md draws its conclusions.
import pg from "pg";
import { LOG_FIELDS } from "../../packages/controller/src/shipping/log-columns.ts";
import { fleetBuffers, generateFleet } from "../../tests/helpers/generated-fleet.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { cpuByPart, type Part } from "../lib/cpu.ts";
import { type Call, load } from "../lib/load.ts";
import { median, ms, quantile } from "../lib/stats.ts";

const SECONDS = 4;
const LINES = 500;
const FEW = 1000;

/** CPU of each part for one call, under a bounded load. */
async function costs(measure: string, call: Call, connections: number): Promise<Row[]> {
  await load(call, connections, 1500);
  const before = cpuByPart();
  const { latencies } = await load(call, connections, SECONDS * 1000);
  const each = new Map<Part, number>();
  for (const [part, used] of cpuByPart()) each.set(part, (used - (before.get(part) ?? 0)) / latencies.length);
  const total = [...each.values()].reduce((sum, used) => sum + used, 0);
  return [
    {
      measure: `${measure}, ${connections} connections: CPU`,
      ours: `${total.toFixed(2)} ms`,
      against: `${Math.round(1000 / total)} a second on a core`,
    },
    ...[...each].map(([part, used]) => ({
      measure: `   ${part}`,
      ours: `${used.toFixed(2)} ms`,
      against: `${Math.round(1000 / Math.max(used, 0.001))} a second on a core`,
    })),
    {
      measure: "   p50, p99 beside the load generator",
      ours: `${ms(median(latencies))}, ${ms(quantile(latencies, 0.99))}`,
    },
  ];
}

export const benchmark: Benchmark = {
  title: "what one database, one gateway and one controller carry",
  async run({ stack, progress, full }) {
    const bench = await stack();
    const user = await bench.createUser();
    await bench.define(user, 50);
    const { apiUrl, secretKey, dbUrl } = bench.stack.info;
    const rows: Row[] = [];
    for (const connections of [1, 8]) {
      progress(`lists, ${connections} connections`);
      const call = { url: `${apiUrl}/api/agents?limit=50`, headers: bench.headers(user) };
      rows.push(...(await costs("GET /api/agents, 50 agents", call, connections)));
    }

    const client = new pg.Client({ connectionString: dbUrl });
    await client.connect();
    try {
      await client.query("set statement_timeout = 0");
      // The stack's own controller must not claim the agents that are only rows.
      await client.query("update private.controllers set drained = true");
      const buffers: Record<string, number>[] = [];
      for (const agents of [FEW, full ? 1_000_000 : 100_000]) {
        progress(`${agents} agents`);
        await client.query(
          "truncate public.agents, private.agent_deployments, public.agent_revisions cascade",
        );
        await client.query("delete from private.controllers where worker = 'fleet-worker'");
        await client.query("delete from auth.users where email like 'f%@example.com'");
        const fleet = await generateFleet(client, { agents, running: FEW, waiting: 60 });
        buffers.push(await fleetBuffers(client, fleet));
        if (agents !== FEW) {
          progress("log lines");
          rows.push(...(await costs(`${LINES} log lines`, lines(apiUrl, secretKey, fleet.agentId), 4)));
        }
      }
      const [few, many] = buffers as [Record<string, number>, Record<string, number>];
      for (const [name, pages] of Object.entries(many)) {
        const ratio = pages / (few[name] ?? 1);
        const goal = name === "claim of 50" ? 1.4 : 1.3;
        rows.push({
          measure: `${name} among ${full ? "1M" : "100k"} agents`,
          ours: `${pages} buffers`,
          against: `${few[name]} among ${FEW}`,
          ratio,
          goal: `≤ ${goal}×`,
          met: ratio <= goal,
        });
      }
    } finally {
      await client.end();
    }
    return rows;
  },
};

/** A call whose body is a new batch each time it is read. */
function lines(apiUrl: string, key: string, agentId: string): Call {
  let batch = 0;
  const fill = <T>(value: (index: number) => T) => Array.from({ length: LINES }, (_, index) => value(index));
  return {
    url: `${apiUrl}/rest/v1/rpc/ingest_log_lines?columns=${LOG_FIELDS.join(",")}`,
    method: "POST",
    headers: { apikey: key, "content-type": "application/json" },
    get body() {
      batch += 1;
      return JSON.stringify({
        agents: fill(() => agentId),
        replicas: fill(() => `bench-${batch}`),
        sequences: fill((index) => index),
        timestamps: fill(() => new Date().toISOString()),
        levels: fill(() => "INFO"),
        messages: fill(
          (index) => `a line as agents say it, with some words in it and a number at the end ${index}`,
        ),
        sources: fill(() => "bench"),
        details: fill(() => null),
      });
    },
  };
}
