// Samples CPU, memory and request counters of the processes.

import type { ReplicaSample } from "../cluster.ts";
import { PROBE_HEADER, parseFigures, probeKeyOf, type RuntimeFigures } from "../runtime.ts";
import { get } from "./probe.ts";
import type { Replica } from "./replica.ts";
import { usageOf } from "./system.ts";

/** Replicas asked at once for their counters. */
const TOGETHER = 8;

/** Samples every replica that has a process: what the system knows of it, and what it counts itself. */
export async function sampleReplicas(
  replicas: readonly Replica[],
  probeSecret: string,
): Promise<ReplicaSample[]> {
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
      const figures =
        replica.port === undefined
          ? undefined
          : await readFigures(replica.port, probeKeyOf(probeSecret, agentId));
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
        requests: figures?.requests ?? null,
        idleSeconds: figures?.idleSeconds ?? null,
      });
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, worker));
  return samples;
}

async function readFigures(port: number, probeKey: string): Promise<RuntimeFigures | undefined> {
  const answer = await get(port, "/metrics", 2000, { [PROBE_HEADER]: probeKey });
  return answer?.status === 200 ? parseFigures(answer.body) : undefined;
}
