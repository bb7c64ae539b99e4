import type { ReplicaSample } from "../cluster.ts";
import { get } from "./probe.ts";
import type { Replica } from "./replica.ts";
import { usageOf } from "./system.ts";

/** Replicas asked at once for their counters. */
const TOGETHER = 8;

/** Samples every replica that has a process: what the system knows of it, and what it counts itself. */
export async function sampleReplicas(replicas: readonly Replica[]): Promise<ReplicaSample[]> {
  const running = replicas.flatMap((replica) =>
    replica.pid === undefined ? [] : [{ replica, pid: replica.pid }],
  );
  const usage = await usageOf(running.map(({ pid }) => pid));
  const samples: ReplicaSample[] = [];
  const queue = running.filter(({ pid }) => usage.has(pid));
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { replica, pid } = next;
      const used = usage.get(pid);
      const { agentId, spec } = replica.workload;
      samples.push({
        agentId,
        replica: replica.name,
        life: replica.life,
        startedAt: replica.startedAt,
        cpuLimit: spec.resources.cpuMillicores / 1000,
        memoryLimit: spec.resources.memoryBytes,
        cpuSeconds: used?.cpuSeconds ?? null,
        memoryBytes: used?.memoryBytes ?? null,
        // No system counts network traffic per process without privileges.
        networkIn: null,
        networkOut: null,
        requests: replica.port === undefined ? null : await readRequests(replica.port),
      });
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, worker));
  return samples;
}

async function readRequests(port: number): Promise<ReplicaSample["requests"]> {
  const answer = await get(port, "/metrics", 2000);
  return answer?.status === 200 ? parseRequests(answer.body) : null;
}

/** Reads the runtime's request counters from its Prometheus text; null when it has none. */
export function parseRequests(text: string): ReplicaSample["requests"] {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*) (\S+)/.exec(line);
    if (match?.[1] !== undefined) values.set(match[1], Number(match[2]));
  }
  const total = values.get("agent_requests_total");
  if (total === undefined || !Number.isFinite(total)) return null;
  return {
    total,
    success: values.get("agent_requests_success_total") ?? 0,
    errors: values.get("agent_requests_errors_total") ?? 0,
    seconds: values.get("agent_request_duration_seconds_sum") ?? 0,
  };
}
