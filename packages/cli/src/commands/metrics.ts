// The command `launchpad metrics`.

import type { AgentMetrics, MetricsPoint } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { bytes, cores, percent, sparkline } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";

interface Options {
  range: string;
  resolution?: "minute" | "hour";
}

/** `launchpad metrics` */
export async function run(
  context: Context,
  [agent]: readonly string[],
  { range, resolution }: Options,
): Promise<void> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const query = { range, ...(resolution === undefined ? {} : { resolution }) };
  const report = await client.agents.getMetrics(agentId, query, { signal: context.signal });
  context.out.result(report, (look) => metricsText(report, range, look));
}

interface Row {
  name: string;
  now: string;
  of: string;
  history: (point: MetricsPoint) => number | null;
}

/** Figures of now, and a line of bars for what was. Pure. */
export function metricsText({ metrics, replicas, history }: AgentMetrics, range: string, look: Look): string {
  const { cpu, memory, network, requests } = metrics;
  const share = (limit: string, part: number | null) => (part === null ? "" : `${percent(part)} of ${limit}`);
  const rows: Row[] = [
    {
      name: "CPU",
      now: cores(cpu.usage),
      of: share(cores(cpu.limit), cpu.percentage),
      history: (p) => p.cpu.usage,
    },
    {
      name: "Memory",
      now: bytes(memory.usage),
      of: share(bytes(memory.limit), memory.percentage),
      history: (p) => p.memory.usage,
    },
    { name: "Network in", now: bytes(network.bytesIn), of: "", history: (p) => p.network.bytesIn },
    { name: "Network out", now: bytes(network.bytesOut), of: "", history: (p) => p.network.bytesOut },
    {
      name: "Requests",
      now: String(requests.total),
      of: requests.errors > 0 ? `${requests.errors} failed` : "",
      history: (p) => p.requests.total,
    },
  ];
  const points = history?.points ?? [];
  const shown = table(
    rows,
    [
      { title: "", value: ({ name }) => name },
      { title: "NOW", value: ({ now }) => now, align: "right" },
      { title: "", value: ({ of }) => of },
      {
        title:
          points.length > 0
            ? `LAST ${range.toUpperCase()}, ONE BAR PER ${history?.resolution.toUpperCase()}`
            : "",
        value: ({ history: pick }) => sparkline(points.map(pick)),
        style: (text) => look.paint("cyan", text),
      },
    ],
    look,
  );
  const silent = replicas === 0 ? "No replica has reported in the last two minutes.\n" : "";
  return `${silent}${shown}`;
}
