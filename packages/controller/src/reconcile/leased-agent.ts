// The state kept about an agent whose lease this controller holds.

import { isNewLatency } from "../cluster/latency.ts";
import type { Claim, Condition, DeploymentReport, TerminalPhase } from "../contract.ts";
import type { Provisioning } from "../plugins/provision.ts";
import type { Desired } from "./decide.ts";
import { templateOf } from "./template.ts";

/** An agent whose lease this controller holds, and what it has told the database of it. */
export interface Held {
  claim: Claim;
  /** Since when this generation is held. */
  heldAt: number;
  template: string;
  desired: Desired;
  conditions: readonly Condition[];
  /** The last accepted report, to say nothing twice. */
  reported: string | undefined;
  reportedLatencyMs: number | null | undefined;
  /** The lease may be gone: it must be proved by a report before the next action. */
  verify: boolean;
  /** Passes in a row that ended in an error. */
  faults: number;
  /** The last of them was the database's: when that answers again, it is tried at once. */
  awaitsDatabase: boolean;
  /**
   * A call failed that may still take effect, after others that came later: when that is past, all is said once more.
   */
  repeatAt: number | undefined;
  environment?: Record<string, string>;
  /** What its plugins need before the generation can start; left out: not asked yet, or nothing. */
  provisioning?: Provisioning | undefined;
}

const TERMINAL = new Set<string>([
  "DEPLOYED",
  "ASLEEP",
  "FAILED",
  "STOPPED",
  "DELETED",
] satisfies TerminalPhase[]);

/**
 * Begins to hold a claimed agent.
 * @param now the time
 * @param before what was held of it until now: its conditions keep their times
 */
export function hold({ environment, ...claim }: Claim, now: number, before?: Held): Held {
  const isSame = before?.claim.generation === claim.generation;
  if (!isSame) before?.provisioning?.cancel();
  return {
    provisioning: isSame ? before.provisioning : undefined,
    claim,
    heldAt: isSame ? before.heldAt : now,
    template: claim.spec === null ? "" : templateOf(claim.spec, claim.restarts ?? 0),
    desired: {
      state: claim.desired,
      generation: claim.generation,
      observedGeneration: claim.observedGeneration,
      phase: claim.phase,
      ...(claim.url == null ? {} : { url: claim.url }),
      ...(claim.reason == null ? {} : { reason: claim.reason }),
      ...(claim.platform == null ? {} : { platform: claim.platform.id }),
    },
    conditions: before?.conditions ?? [],
    reported: undefined,
    reportedLatencyMs: undefined,
    verify: false,
    // Another lease of the same generation is no reason to hurry.
    faults: isSame ? before.faults : 0,
    awaitsDatabase: false,
    repeatAt: before?.repeatAt,
    ...(environment == null ? {} : { environment }),
  };
}

/** Whether a claim says more than what is held: another lease, a newer generation, another platform. */
export function isNews(held: Held | undefined, claim: Claim): boolean {
  if (held === undefined) return true;
  if (held.claim.leaseToken !== claim.leaseToken || held.claim.generation < claim.generation) return true;
  return held.claim.generation === claim.generation && held.claim.platform?.id !== claim.platform?.id;
}

/** Notes an accepted report. */
export function noteAccepted(held: Held, report: DeploymentReport, phase: string): void {
  held.reported = reportKey(report);
  held.reportedLatencyMs = report.application?.responseTimeMs;
  held.conditions = report.conditions ?? held.conditions;
  held.desired.phase = phase;
  if (report.url !== undefined) held.desired.url = report.url;
  if (report.phase === "FAILED" && report.reason != null) held.desired.reason = report.reason;
  if (report.phase !== undefined && TERMINAL.has(report.phase)) {
    held.desired.observedGeneration = Math.max(held.desired.observedGeneration, held.desired.generation);
  }
}

/** Whether a report without a phase says anything that the last one did not. */
export function isWorthSaying(held: Held, report: DeploymentReport): boolean {
  return (
    reportKey(report) !== held.reported ||
    isNewLatency(report.application?.responseTimeMs, held.reportedLatencyMs)
  );
}

/** What a report says, apart from the phase and from the response time, which never stands still. */
export function reportKey(report: DeploymentReport): string {
  const { application, phase: _, ...rest } = report;
  return JSON.stringify({ ...rest, status: application?.status, startedAt: application?.startedAt });
}
