// Keeps the EndpointSlices of agents that sleep, and takes them away from those that serve again.

import type { Clock } from "../../clock.ts";
import { errorMessage, type Log } from "../../log.ts";
import type { Applier } from "./apply.ts";
import type { Intent } from "./manifests/context.ts";
import { forEach } from "./observe/concurrency.ts";
import { readySince } from "./observe/crashes.ts";
import type { AgentObjects, ClusterView } from "./observe/view.ts";
import { isAsleep } from "./pod-endpoints.ts";
import type { May } from "./writer.ts";

export interface DoorsOptions {
  applier: Pick<Applier, "openDoor" | "closeDoor">;
  view: Pick<ClusterView, "objects">;
  clock: Clock;
  log: Log;
  /** What this controller wanted of the agent last, whether or not it is so yet. */
  intent(agentId: string): Intent | undefined;
  /** The agents that this controller has put to sleep. */
  asleep(): Iterable<string>;
  may(agentId: string): May;
  /** Reads the agent's pods from the server itself. */
  refresh(agentId: string): Promise<void>;
  /** One write of an agent at a time. */
  inTurn(agentId: string, work: () => Promise<void>): Promise<void>;
}

/**
 * A pod that is ready gets requests a moment later: the cluster writes it into the Service's own slice, and every proxy reads
 * that. Until then the controllers hand on what still comes to them.
 */
const SETTLE_MS = 10_000;
/** After a failure. */
const AGAIN_MS = 2000;
/** Slices written at once when the controllers' addresses change. */
const TOGETHER = 4;

/**
 * The doors of sleeping agents. Level-triggered: looked at whenever something of an agent changes, so that a slice that
 * somebody removed is made again; and all of them when a controller comes or goes.
 */
export class Doors {
  readonly #options: DoorsOptions;
  readonly #timers = new Map<string, () => void>();
  #all: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: DoorsOptions) {
    this.#options = options;
  }

  /** Makes the agent's slices what they should be. Never throws. */
  async tend(agentId: string): Promise<void> {
    const { applier, clock, inTurn, intent, log, may, refresh, view } = this.#options;
    if (this.#stopped) return;
    const objects = view.objects(agentId);
    const wanted = intent(agentId);
    if (wanted === undefined || (wanted.asleep !== true && !hasSlices(objects))) return;
    try {
      await inTurn(agentId, async () => {
        const current = intent(agentId);
        if (current === undefined || !may(agentId)()) return;
        if (current.asleep === true) return await applier.openDoor(current, may(agentId));
        const wait = servesIn(view.objects(agentId), current, clock.now());
        if (wait > 0) return this.#later(agentId, wait);
        // A watch that is behind may show pods that went to sleep since.
        await refresh(agentId);
        if (servesIn(view.objects(agentId), current, clock.now()) > 0) return this.#later(agentId, AGAIN_MS);
        await applier.closeDoor(agentId, may(agentId));
      });
    } catch (error) {
      log.debug("the door of an agent could not be written", { agentId, error: errorMessage(error) });
      this.#later(agentId, AGAIN_MS);
    }
  }

  /** The controllers' addresses have changed. Calls meanwhile become one more round. */
  async tendAll(): Promise<void> {
    this.#again = this.#all !== undefined;
    this.#all ??= forEach([...this.#options.asleep()], TOGETHER, (agentId) => this.tend(agentId)).finally(
      () => {
        this.#all = undefined;
      },
    );
    await this.#all;
    if (!this.#again || this.#stopped) return;
    this.#again = false;
    await this.tendAll();
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  #later(agentId: string, milliseconds: number): void {
    this.#timers.get(agentId)?.();
    this.#timers.delete(agentId);
    // Nothing is ready: a change of that is told.
    if (this.#stopped || !Number.isFinite(milliseconds)) return;
    const cancel = this.#options.clock.after(milliseconds, () => {
      this.#timers.delete(agentId);
      void this.tend(agentId);
    });
    this.#timers.set(agentId, cancel);
  }
}

function hasSlices({ all }: AgentObjects): boolean {
  return all.some(({ kind }) => kind === "EndpointSlice");
}

/** In how many milliseconds every proxy knows a ready pod of the agent; infinite: none is ready yet. */
function servesIn(objects: AgentObjects, { replicas }: Intent, now: number): number {
  // It was put to sleep, and what woke it has not been taken yet.
  if (isAsleep(objects)) return Number.POSITIVE_INFINITY;
  // Scaled to nothing by its owner: nobody serves, and nobody wakes it.
  if (replicas === 0) return 0;
  const ready = objects.pods
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(readySince)
    .filter((since) => since !== undefined);
  return ready.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...ready) + SETTLE_MS - now;
}
