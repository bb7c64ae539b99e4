// P4: GET /api/agents through the edge function against the RPC it calls, 8 connections, in alternating rounds.
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { countUpstreamCalls } from "../lib/counting.ts";
import { type Call, load } from "../lib/load.ts";
import { median, ms, quantile } from "../lib/stats.ts";

const CONNECTIONS = 8;
const SECONDS = 3;

export const benchmark: Benchmark = {
  title: `edge function against the same RPC, ${CONNECTIONS} connections`,
  async run({ stack, progress, rounds }) {
    const bench = await stack();
    const user = await bench.createUser();
    await bench.define(user, 20);
    const { apiUrl } = bench.stack.info;
    const headers = bench.headers(user);
    const direct: Call = {
      url: `${apiUrl}/rest/v1/rpc/list_agents`,
      method: "POST",
      headers,
      body: JSON.stringify({ limit: 20, offset: 0 }),
    };
    const edge: Call = { url: `${apiUrl}/api/agents?limit=20`, headers };
    await load(direct, CONNECTIONS, 1_500);
    await load(edge, CONNECTIONS, 1_500);
    const rates: number[] = [];
    const p50s: number[] = [];
    const p99s: number[] = [];
    const ours = { rate: [] as number[], p50: [] as number[] };
    const theirs = { rate: [] as number[], p50: [] as number[] };
    const count = rounds(6);
    for (let round = 1; round <= count; round++) {
      // Each goes first in every other round: what the machine does meanwhile hits both.
      const order = round % 2 === 0 ? [edge, direct] : [direct, edge];
      const results = new Map<Call, Awaited<ReturnType<typeof load>>>();
      for (const call of order) results.set(call, await load(call, CONNECTIONS, SECONDS * 1_000));
      const e = results.get(edge);
      const d = results.get(direct);
      if (!e || !d) continue;
      rates.push(e.perSecond / d.perSecond);
      p50s.push(median(e.latencies) / median(d.latencies));
      p99s.push(quantile(e.latencies, 0.99) / quantile(d.latencies, 0.99));
      ours.rate.push(e.perSecond);
      ours.p50.push(median(e.latencies));
      theirs.rate.push(d.perSecond);
      theirs.p50.push(median(d.latencies));
      progress(`round ${round}/${count}: ${e.perSecond.toFixed(0)}/s against ${d.perSecond.toFixed(0)}/s`);
    }
    const rows: Row[] = [
      {
        measure: "requests per second",
        ours: median(ours.rate).toFixed(0),
        against: `${median(theirs.rate).toFixed(0)} RPC`,
        ratio: median(rates),
        goal: "≥ 0.80×",
        met: median(rates) >= 0.8,
      },
      {
        measure: "latency p50",
        ours: ms(median(ours.p50)),
        against: `${ms(median(theirs.p50))} RPC`,
        ratio: median(p50s),
        goal: "≤ 1.25×",
        met: median(p50s) <= 1.25,
      },
      { measure: "latency p99", ours: "", ratio: median(p99s) },
    ];
    const calls = await countUpstreamCalls(bench, user);
    for (const { request, upstream } of calls) {
      rows.push({
        measure: `upstream calls of ${request}`,
        ours: upstream.join(", "),
        goal: "exactly 1 each",
        met: upstream.every((number) => number === 1),
      });
    }
    return rows;
  },
};
