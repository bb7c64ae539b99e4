// Probes ready replicas for health and response time.

import { type Clock, jittered } from "../../../clock.ts";
import type { ObservedReplica } from "../../cluster.ts";
import { isNewLatency } from "../../latency.ts";
import { healthOf } from "../../runtime.ts";
import { LABELS } from "../names.ts";
import { Gate } from "./concurrency.ts";
import { readySince } from "./crashes.ts";
import type { Pod } from "./objects.ts";
import type { PodAccess } from "./pod-access.ts";
import type { ClusterView } from "./view.ts";

export interface HealthProbesOptions {
  view: Pick<ClusterView, "pods" | "onPod">;
  access: PodAccess;
  responsible(agentId: string, namespace?: string): boolean;
  clock: Clock;
  random: () => number;
  /** The agent's health, or how fast it answers, is another. */
  onChange(agentId: string): void;
  /** Between probes of a replica. */
  everyMs?: number;
  /** Probes under way at once. */
  together?: number;
}

type Health = NonNullable<ObservedReplica["health"]>;

const TIMEOUT_MS = 5000;

/**
 * Asks every ready replica for its health: at once when it becomes ready, then now and then. Whether it is ready is the
 * node's to say; this adds how it is, and how fast it answers.
 */
export class HealthProbes {
  readonly #options: Required<HealthProbesOptions>;
  readonly #gate: Gate;
  readonly #health = new Map<string, Health>();
  /** What was told last, by uid: a response time is told again only when it differs by much. */
  readonly #told = new Map<string, Health>();
  readonly #probed = new Map<string, () => void>();
  #stopped = false;

  constructor(options: HealthProbesOptions) {
    this.#options = { everyMs: 15_000, together: 8, ...options };
    this.#gate = new Gate(this.#options.together);
  }

  start(): void {
    const { view } = this.#options;
    view.onPod((before, after) => {
      if (before !== undefined && before.metadata.uid !== after?.metadata.uid) this.#forget(before);
      if (after !== undefined) this.#consider(after);
    });
    for (const pod of view.pods()) this.#consider(pod);
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#probed.values()) cancel();
    this.#probed.clear();
  }

  /** How the replica was when it was asked last; undefined when it never answered. */
  of(uid: string): Health | undefined {
    return this.#health.get(uid);
  }

  #consider(pod: Pod): void {
    const { uid } = pod.metadata;
    if (uid === undefined || this.#stopped) return;
    if (!mayBeAsked(pod)) this.#forget(pod);
    else if (!this.#probed.has(uid)) {
      this.#probed.set(uid, () => {});
      void this.#probe(pod);
    }
  }

  #forget({ metadata: { uid } }: Pod): void {
    if (uid === undefined) return;
    this.#probed.get(uid)?.();
    this.#probed.delete(uid);
    this.#health.delete(uid);
    this.#told.delete(uid);
  }

  async #probe(pod: Pod): Promise<void> {
    const { access, clock, everyMs, random, responsible } = this.#options;
    const { labels, namespace, uid = "" } = pod.metadata;
    const agentId = labels?.[LABELS.agent] ?? "";
    if (responsible(agentId, namespace)) {
      const leave = await this.#gate.enter();
      try {
        const answer = this.#probed.has(uid) ? await access.get(pod, "/health", TIMEOUT_MS) : undefined;
        if (answer !== undefined && this.#probed.has(uid)) {
          const responseTimeMs = Math.round(answer.milliseconds * 10) / 10;
          this.#learn(uid, agentId, { status: healthOf(answer.status, answer.body), responseTimeMs });
        }
      } finally {
        leave();
      }
    }
    if (this.#stopped || !this.#probed.has(uid)) return;
    this.#probed.set(
      uid,
      clock.after(jittered(everyMs, 0.2, random), () => void this.#probe(pod)),
    );
  }

  #learn(uid: string, agentId: string, health: Health): void {
    this.#health.set(uid, health);
    const told = this.#told.get(uid);
    if (told?.status === health.status && !isNewLatency(health.responseTimeMs, told.responseTimeMs)) return;
    this.#told.set(uid, health);
    this.#options.onChange(agentId);
  }
}

function mayBeAsked(pod: Pod): boolean {
  return readySince(pod) !== undefined && pod.metadata.deletionTimestamp === undefined;
}
