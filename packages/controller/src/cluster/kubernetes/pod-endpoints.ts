// Tells the door of this controller which pods of agents that slept take requests.

import type { Clock } from "../../clock.ts";
import type { Endpoints } from "../../ingress/endpoints.ts";
import { ANNOTATIONS, PORT } from "./names.ts";
import { readySince } from "./observe/crashes.ts";
import type { AgentObjects } from "./observe/view.ts";

/** Proxies may send requests here for a while after the agent's Service leads to its pods alone again. */
const GRACE_MS = 60_000;

/** Ready pods, of agents alone whose Service leads to the controllers: all others are reached without them. */
export class PodEndpoints {
  readonly #endpoints: Endpoints;
  readonly #clock: Clock;
  /** By agent: its pods here, by name. */
  readonly #pods = new Map<string, Map<string, string>>();
  readonly #leaving = new Map<string, () => void>();

  constructor(endpoints: Endpoints, clock: Clock) {
    this.#endpoints = endpoints;
    this.#clock = clock;
  }

  /** To be called whenever something of an agent has changed. */
  sync(objects: AgentObjects): void {
    const { agentId } = objects;
    const known = this.#pods.get(agentId);
    if (leadsHere(objects)) {
      this.#leaving.get(agentId)?.();
      this.#leaving.delete(agentId);
      this.#show(objects, known ?? new Map());
    } else if (known !== undefined) {
      if (objects.all.length === 0) this.#forget(agentId);
      else {
        this.#show(objects, known);
        if (!this.#leaving.has(agentId)) {
          this.#leaving.set(
            agentId,
            this.#clock.after(GRACE_MS, () => this.#forget(agentId)),
          );
        }
      }
    }
  }

  stop(): void {
    for (const agentId of [...this.#pods.keys()]) this.#forget(agentId);
  }

  #show({ agentId, pods }: AgentObjects, known: Map<string, string>): void {
    this.#pods.set(agentId, known);
    this.#endpoints.know(agentId);
    const ready = new Map(
      pods
        .filter((pod) => readySince(pod) !== undefined && pod.metadata.deletionTimestamp === undefined)
        .map(({ metadata, status }) => [metadata.name, status?.podIP ?? ""]),
    );
    for (const [name, address] of known) {
      if (ready.get(name) === address) continue;
      known.delete(name);
      void this.#endpoints.drain(agentId, name, 0);
    }
    for (const [name, address] of ready) {
      if (address === "" || known.has(name)) continue;
      known.set(name, address);
      // That it cannot be reached is seen by the cluster, which tells.
      this.#endpoints.add(agentId, name, PORT, () => {}, address);
    }
  }

  #forget(agentId: string): void {
    this.#leaving.get(agentId)?.();
    this.#leaving.delete(agentId);
    for (const name of this.#pods.get(agentId)?.keys() ?? []) void this.#endpoints.drain(agentId, name, 0);
    this.#pods.delete(agentId);
    this.#endpoints.forget(agentId);
  }
}

/** Whether the agent sleeps, or wakes and does not serve on its own yet. */
function leadsHere(objects: AgentObjects): boolean {
  return isAsleep(objects) || objects.all.some(({ kind }) => kind === "EndpointSlice");
}

/** Whether the agent was put to sleep, as the cluster has it. */
export function isAsleep({ deployment }: Pick<AgentObjects, "deployment">): boolean {
  return deployment?.metadata.annotations?.[ANNOTATIONS.asleep] === "true";
}
