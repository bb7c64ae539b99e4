import { type Clock, jittered } from "../../clock.ts";
import { errorMessage, type Log } from "../../log.ts";
import type { Kind, ObjectMeta } from "./api.ts";
import { type Inventory, isForbidden } from "./inventory.ts";
import { LABELS } from "./names.ts";
import type { ClusterView } from "./observe/view.ts";
import type { KubernetesOptions } from "./options.ts";
import type { Writer } from "./writer.ts";

export interface SweeperOptions
  extends Pick<KubernetesOptions, "gone" | "responsible" | "resyncSeconds" | "random"> {
  clock: Clock;
  log: Log;
  view: Pick<ClusterView, "agents" | "objects" | "namespaces" | "synced" | "problem">;
  inventory: Inventory;
  writer: Writer;
  remove(agentId: string): Promise<void>;
  /** The agents that this controller has applied. */
  held(): string[];
  changed(agentId: string): void;
}

interface Hidden {
  kind: Kind;
  namespace: string;
  metadata: ObjectMeta;
}

/** What is younger may belong to an apply that is under way. */
const YOUNG_MS = 60_000;
/** Ids asked for at once. */
const CHUNK = 500;
/** How soon after an unknown agent appears the database is asked about it. */
const SOON_MS = 10_000;
/** Between two readings of a namespace in which something is missing. */
const SUSPECT_MS = 5000;

/**
 * Now and then: reads what no watch tells, and removes what belongs to agents and users that the database no longer
 * knows (a controller that had lost its lease may have made it, or the removal was never finished). An agent must be
 * gone in two sweeps; what the database does not answer is not gone.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  readonly #seen = new Set<string>();
  /** Namespaces without agents in which an earlier life left nothing. */
  readonly #clean = new Set<string>();
  readonly #suspected = new Map<string, number>();
  #gone = new Set<string>();
  #running: Promise<void> | undefined;
  #stopped = false;
  #cancel: () => void = () => {};
  #cancelSoon: (() => void) | undefined;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    this.#cancelSoon?.();
    await this.#running;
  }

  /** Something of the agent is there: when it is new to us, it is asked for soon. */
  see(agentId: string): void {
    if (this.#seen.has(agentId)) return;
    this.#seen.add(agentId);
    this.#soon();
  }

  /** Something in the namespace seems to be missing: it is read again. */
  suspect(namespace: string | undefined): void {
    const { clock, log } = this.#options;
    if (namespace === undefined || this.#stopped) return;
    if (clock.now() - (this.#suspected.get(namespace) ?? Number.NEGATIVE_INFINITY) < SUSPECT_MS) return;
    this.#suspected.set(namespace, clock.now());
    this.#read(namespace).catch((error: unknown) => {
      log.warn("a namespace could not be read", { namespace, error: errorMessage(error) });
    });
  }

  /** Reads and sweeps once. Never throws. */
  sweep(): Promise<void> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  #schedule(): void {
    const { clock, random, resyncSeconds } = this.#options;
    if (this.#stopped) return;
    this.#cancel = clock.after(jittered(resyncSeconds * 1000, 0.2, random), () => {
      void this.sweep().finally(() => this.#schedule());
    });
  }

  #soon(): void {
    if (this.#stopped || this.#cancelSoon !== undefined) return;
    this.#cancelSoon = this.#options.clock.after(SOON_MS, () => {
      this.#cancelSoon = undefined;
      void this.sweep();
    });
  }

  async #sweep(): Promise<void> {
    const { log, view } = this.#options;
    if (this.#stopped || !view.synced || view.problem !== undefined) return;
    try {
      for (const { metadata } of view.namespaces()) {
        if (this.#stopped) return;
        await this.#read(metadata.name);
        await this.#lookOnce(metadata.name);
      }
      await this.#removeLeftovers();
      await this.#removeGone();
    } catch (error) {
      log.warn("a sweep failed; the next one goes on", { error: errorMessage(error) });
    }
  }

  /** What is not watched; who misses something of it is told. */
  async #read(namespace: string): Promise<void> {
    const { inventory, changed, held, view } = this.#options;
    // Where nothing was written yet, and in a namespace that ends, there is nothing to compare.
    if (!inventory.isLoaded(namespace)) return;
    await inventory.refresh(namespace);
    for (const agentId of held()) {
      if (view.objects(agentId).namespace?.metadata.name === namespace) changed(agentId);
    }
  }

  /**
   * Secrets and the like of an agent of which nothing else is left: a call that was given up took effect after the
   * removal. The first object of an agent that is made, and the last that goes, is a watched one.
   */
  async #removeLeftovers(): Promise<void> {
    await this.#removeOld(this.#hiddenAgents());
  }

  /**
   * The same in a namespace without agents, which nobody reads: a controller that ended while it removed the last agent
   * may have left it so, where somebody had taken the labels off what is watched.
   */
  async #lookOnce(namespace: string): Promise<void> {
    const { inventory } = this.#options;
    if (this.#clean.has(namespace) || inventory.isLoaded(namespace) || this.#isInhabited(namespace)) return;
    try {
      const found = await inventory.peek(namespace);
      const left = await this.#removeOld(byAgent(found.map((object) => ({ ...object, namespace }))));
      if (left === 0) this.#clean.add(namespace);
    } catch (error) {
      // Without the controller's role nothing of an agent was made there.
      if (!isForbidden(error)) throw error;
      this.#clean.add(namespace);
    }
  }

  /** @returns of how many agents something was left, since it may belong to an apply that is under way */
  async #removeOld(agents: ReadonlyMap<string, Hidden[]>): Promise<number> {
    const { clock, view } = this.#options;
    const held = new Set(this.#options.held());
    const old = ({ metadata }: Hidden) =>
      clock.now() - Date.parse(metadata.creationTimestamp ?? "") >= YOUNG_MS;
    let left = 0;
    for (const [agentId, objects] of agents) {
      if (this.#stopped || held.has(agentId) || view.objects(agentId).all.length > 0) continue;
      if (objects.every(old)) await this.#removeHidden(objects);
      else left += 1;
    }
    return left;
  }

  async #removeGone(): Promise<void> {
    const { gone, responsible, view, log } = this.#options;
    const agents = [...new Set([...view.agents(), ...this.#hiddenAgents().keys()])];
    const namespaces = view.namespaces().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const users = namespaces.flatMap(({ metadata }) => metadata.labels?.[LABELS.user] ?? []);
    const found = new Set<string>();
    for (let at = 0; at < Math.max(agents.length, users.length); at += CHUNK) {
      const answer = await gone({ agents: agents.slice(at, at + CHUNK), users: users.slice(at, at + CHUNK) });
      for (const agentId of answer.agents) found.add(`agent ${agentId}`);
      for (const userId of answer.users) found.add(`user ${userId}`);
    }
    const before = this.#gone;
    this.#gone = found;
    const sure = (name: string) => found.has(name) && before.has(name);
    for (const agentId of agents) {
      // Stopped when it was asked for, it may have been started since.
      if (!sure(`agent ${agentId}`) || responsible(agentId) || this.#stopped) continue;
      log.info("what is left of an agent that is gone or stopped is removed", { agentId });
      await this.#removeAgent(agentId);
    }
    for (const { metadata } of namespaces) {
      const userId = metadata.labels?.[LABELS.user];
      if (userId === undefined || !sure(`user ${userId}`) || this.#stopped) continue;
      if (this.#isInhabited(metadata.name)) continue;
      log.info("the namespace of a user that the database no longer knows is removed", { userId });
      await this.#options.writer.remove("Namespace", "", metadata.name, () => !this.#stopped, metadata.uid);
      this.#options.inventory.forget(metadata.name);
    }
    // Once seen as gone, they are removed by the second look: not only after the next resync.
    if ([...found].some((name) => !before.has(name))) this.#soon();
  }

  async #removeAgent(agentId: string): Promise<void> {
    await this.#options.remove(agentId);
    await this.#removeHidden(this.#hiddenAgents().get(agentId) ?? []);
  }

  async #removeHidden(objects: readonly Hidden[]): Promise<void> {
    for (const { kind, namespace, metadata } of objects) {
      await this.#options.writer.remove(kind, namespace, metadata.name, () => !this.#stopped, metadata.uid);
    }
  }

  /** What is not watched, by agent. */
  #hiddenAgents(): Map<string, Hidden[]> {
    const { inventory } = this.#options;
    const objects = inventory
      .namespaces()
      .flatMap((namespace) => inventory.all(namespace).map((object) => ({ ...object, namespace })));
    return byAgent(objects);
  }

  #isInhabited(namespace: string): boolean {
    const { view } = this.#options;
    return view
      .agents()
      .some((agentId) => view.objects(agentId).all.some(({ metadata }) => metadata.namespace === namespace));
  }
}

function byAgent(objects: readonly Hidden[]): Map<string, Hidden[]> {
  const agents = Map.groupBy(objects, ({ metadata }) => metadata.labels?.[LABELS.agent] ?? "");
  agents.delete("");
  return agents;
}
