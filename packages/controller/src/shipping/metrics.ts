// Turns counter samples into rows of rates.

import type { ReplicaSample } from "../cluster/cluster.ts";
import type { MetricRow } from "../contract.ts";

interface Before {
  at: number;
  life: string;
  cpuSeconds: number | null;
  requests: ReplicaSample["requests"];
}

const NO_REQUESTS = { total: 0, success: 0, errors: 0, seconds: 0 };

/**
 * Turns samples of counters into rows of rates: each against the sample before, the first of a process against its
 * beginning, when all was nought.
 */
export class MetricRows {
  readonly #before = new Map<string, Before>();

  /**
   * @param samples all replicas that run now; others are forgotten
   * @param now when the samples were taken, in milliseconds
   */
  take(samples: readonly ReplicaSample[], now: number): MetricRow[] {
    const rows = samples.map((sample) => this.#row(sample, now));
    const present = new Set(samples.map((sample) => sample.replica));
    for (const replica of this.#before.keys()) if (!present.has(replica)) this.#before.delete(replica);
    return rows;
  }

  #row(sample: ReplicaSample, now: number): MetricRow {
    const { requests } = sample;
    const known = this.#before.get(sample.replica);
    const {
      at,
      cpuSeconds,
      requests: earlier,
    }: Before = known?.life === sample.life
      ? known
      : { at: sample.startedAt, life: sample.life, cpuSeconds: 0, requests: NO_REQUESTS };
    this.#before.set(sample.replica, { at: now, life: sample.life, cpuSeconds: sample.cpuSeconds, requests });
    const seconds = (now - at) / 1000;
    const answered = requests === null ? undefined : requests.total - (earlier?.total ?? 0);
    const spent = requests === null ? undefined : requests.seconds - (earlier?.seconds ?? 0);
    return {
      agentId: sample.agentId,
      replica: sample.replica,
      // The time is unique within a replica, and goes on where a forgotten one left off.
      sequence: now,
      timestamp: new Date(now).toISOString(),
      cpuUsage:
        sample.cpuRate === undefined
          ? rate(sample.cpuSeconds, cpuSeconds, seconds)
          : Math.round(sample.cpuRate * 10_000) / 10_000,
      cpuLimit: sample.cpuLimit,
      memoryUsage: whole(sample.memoryBytes),
      memoryLimit: Math.round(sample.memoryLimit),
      networkIn: whole(sample.networkIn),
      networkOut: whole(sample.networkOut),
      requestsTotal: whole(requests?.total),
      requestsSuccess: whole(requests?.success),
      requestsErrors: whole(requests?.errors),
      requestRate: rate(requests?.total, earlier?.total, seconds),
      responseTimeMs:
        answered === undefined || spent === undefined || answered <= 0
          ? null
          : Math.round((spent / answered) * 100_000) / 100,
    };
  }
}

/** The growth of a counter per second; null where there is nothing to compare with. */
function rate(
  now: number | null | undefined,
  before: number | null | undefined,
  seconds: number,
): number | null {
  if (now == null || before == null || seconds <= 0) return null;
  return Math.round((Math.max(0, now - before) / seconds) * 10_000) / 10_000;
}

function whole(value: number | null | undefined): number | null {
  return value == null ? null : Math.round(value);
}
