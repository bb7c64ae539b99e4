// Reads what the agent runtime reports over HTTP, wherever it runs.

import { createHmac } from "node:crypto";
import type { ReplicaSample } from "./cluster.ts";

/** The header that carries {@link probeKeyOf}. */
export const PROBE_HEADER = "x-launchpad-probe";

/** What an agent's replicas tell their figures for. Any controller of the database makes the same; an agent learns its own alone. */
export function probeKeyOf(probeSecret: string, agentId: string): string {
  return createHmac("sha256", probeSecret).update(`probe of ${agentId}`).digest("hex");
}

export interface RuntimeFigures {
  requests: ReplicaSample["requests"];
  /** Of the process itself; null where it does not tell. */
  cpuSeconds: number | null;
  memoryBytes: number | null;
  idleSeconds: number | null;
}

/** Reads the runtime's own counters from its Prometheus text. */
export function parseFigures(text: string): RuntimeFigures {
  const values = readValues(text);
  return {
    requests: requestsOf(values),
    cpuSeconds: values.get("process_cpu_seconds_total") ?? null,
    memoryBytes: values.get("process_resident_memory_bytes") ?? null,
    idleSeconds: values.get("agent_idle_seconds") ?? null,
  };
}

/** What an answer to `/health` says. */
export function healthOf(status: number, body: string): "ok" | "degraded" {
  return status === 200 && !saysDegraded(body) ? "ok" : "degraded";
}

function saysDegraded(body: string): boolean {
  try {
    return (JSON.parse(body) as { status?: unknown }).status === "degraded";
  } catch {
    return true;
  }
}

/** Samples without labels, by name. */
function readValues(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*) (\S+)/.exec(line);
    const value = Number(match?.[2]);
    if (match?.[1] !== undefined && Number.isFinite(value)) values.set(match[1], value);
  }
  return values;
}

function requestsOf(values: ReadonlyMap<string, number>): ReplicaSample["requests"] {
  const total = values.get("agent_requests_total");
  if (total === undefined) return null;
  return {
    total,
    success: values.get("agent_requests_success_total") ?? 0,
    errors: values.get("agent_requests_errors_total") ?? 0,
    seconds: values.get("agent_request_duration_seconds_sum") ?? 0,
  };
}
