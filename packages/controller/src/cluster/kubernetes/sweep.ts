// Finds and removes what agents and users that no longer exist left in the cluster.

import { type Clock, jittered } from "../../clock.ts";
import { errorMessage, type Log } from "../../log.ts";
import type { Kind, ObjectMeta } from "./api.ts";
import { type Inventory, isForbidden } from "./inventory.ts";
import { ANNOTATIONS, LABELS } from "./names.ts";
import type { NamespaceRemover } from "./namespace-remover.ts";
import type { Namespace } from "./observe/objects.ts";
import { isPaused } from "./observe/observed-workload.ts";
import type { ClusterView } from "./observe/view.ts";
import type { KubernetesOptions } from "./options.ts";
import type { Writer } from "./writer.ts";

export interface SweeperOptions
  extends Pick<KubernetesOptions, "gone" | "guard" | "responsible" | "resyncSeconds" | "random"> {
  clock: Clock;
  log: Log;
  view: Pick<ClusterView, "agents" | "objects" | "namespaces" | "synced" | "problem">;
  inventory: Inventory;
  writer: Writer;
  namespaces: NamespaceRemover;
  /** Removes what the agent has in these namespaces. */
  remove(agentId: string, within: (namespace: string) => boolean): Promise<void>;
  /** The agents that this controller has applied. */
  held(): string[];
  /** Their namespaces, also where nothing of the agent is seen yet: its first apply may be under way. */
  homes(): Set<string>;
  changed(agentId: string): void;
}

/** What would go, and of how much. */
interface Gone {
  agents: string[];
  namespaces: Namespace[];
  total: { agents: number; namespaces: number };
  /** Whether the database never heard of the agent or user: a mistake is as likely as an end that was missed. */
  isUnknown(id: string): boolean;
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
/** Between two readings of a namespace in which something is missing; twice as long each time, where that does not help. */
const SUSPECT_MS = { first: 5000, most: 300_000 } as const;
/** So many namespaces are read again in the time of a resync, in turns: the cost does not grow with the fleet. */
const TURNS = 60;

/** What the last look into a namespace saw. */
interface Look {
  inhabitants: ReadonlySet<string>;
  /** Something may come late: a call that was given up, or what is too young to be judged. */
  again: boolean;
}

/**
 * Now and then: removes what belongs to agents and users that the database no longer knows (a controller that had lost
 * its lease may have made it, or the removal was never finished). An agent must be gone in two sweeps; what the database
 * does not answer is not gone; and the guard must let it go.
 *
 * What no watch tells is listed namespace by namespace, and only where something happened: at the first sight of a
 * namespace, when an agent there is gone, when a pod misses something. Beside that, namespaces take turns.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  readonly #seen = new Set<string>();
  readonly #looks = new Map<string, Look>();
  readonly #suspected = new Map<string, { at: number; rest: number }>();
  #gone = new Set<string>();
  #running: Promise<void> | undefined;
  #stopped = false;
  #cancel: () => void = () => {};
  #cancelTurn: () => void = () => {};
  #turn: Promise<void> | undefined;
  #cancelSoon: (() => void) | undefined;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule();
    this.#scheduleTurn();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    this.#cancelTurn();
    this.#cancelSoon?.();
    await Promise.all([this.#running, this.#turn]);
  }

  /** Something of the agent is there: when it is new to us, it is asked for soon. */
  see(agentId: string): void {
    if (this.#seen.has(agentId)) return;
    this.#seen.add(agentId);
    this.#soon();
  }

  /** Something in the namespace seems to be missing: it is read again. */
  suspect(namespace: string | undefined): void {
    if (namespace === undefined || this.#stopped) return;
    const now = this.#options.clock.now();
    const { at = Number.NEGATIVE_INFINITY, rest = 0 } = this.#suspected.get(namespace) ?? {};
    if (now - at < rest) return;
    const { first, most } = SUSPECT_MS;
    this.#suspected.set(namespace, { at: now, rest: now - at > most * 2 ? first : Math.min(most, rest * 2) });
    void this.#read(namespace);
  }

  /** Sweeps once. Never throws. */
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

  #scheduleTurn(): void {
    const { clock, random, resyncSeconds } = this.#options;
    if (this.#stopped) return;
    this.#cancelTurn = clock.after(jittered((resyncSeconds * 1000) / TURNS, 0.2, random), () => {
      this.#turn = this.#takeTurn().finally(() => this.#scheduleTurn());
    });
  }

  /** Reads the namespace that was read longest ago, unless that was lately. */
  async #takeTurn(): Promise<void> {
    const { clock, inventory, resyncSeconds, view } = this.#options;
    if (!view.synced || view.problem !== undefined) return;
    const due = inventory
      .namespaces()
      .map((namespace) => ({ namespace, at: inventory.askedAt(namespace) }))
      .filter(({ at }) => clock.now() - at >= resyncSeconds * 1000)
      .reduce<{ namespace?: string; at: number }>((a, b) => (b.at < a.at ? b : a), {
        at: Number.POSITIVE_INFINITY,
      });
    await this.#read(due.namespace);
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
      this.#forgetUnheld();
      await this.#removeUnwanted();
    } catch (error) {
      log.warn("a sweep failed; the next one goes on", { error: errorMessage(error) });
    }
  }

  /** All that would go is found first, and judged together: where the brake stops one kind, nothing goes. */
  async #removeUnwanted(): Promise<void> {
    const { guard } = this.#options;
    if (!guard.mayRemove) {
      this.#gone.clear();
      return;
    }
    const gone = await this.#findGone();
    const leftovers = await this.#findLeftovers(new Set(gone.agents));
    const names = gone.namespaces.map(({ metadata }) => metadata.name);
    this.#options.namespaces.retain(new Set(names));
    const judged = [
      guard.judge("agents", gone.agents.filter(gone.isUnknown), gone.total.agents),
      guard.judge(
        "namespaces",
        names.filter((_, index) =>
          gone.isUnknown(gone.namespaces[index]?.metadata.labels?.[LABELS.user] ?? ""),
        ),
        gone.total.namespaces,
      ),
      guard.judge("leftovers", [...leftovers.keys()], gone.total.agents + leftovers.size),
    ];
    if (judged.includes(false)) return;
    for (const objects of leftovers.values()) await this.#removeHidden(objects);
    for (const agentId of gone.agents) await this.#removeAgent(agentId);
    for (const namespace of gone.namespaces) await this.#removeNamespace(namespace);
  }

  /** What is not watched; who misses something of it is told. Never throws. */
  async #read(namespace: string | undefined): Promise<void> {
    const { inventory, changed, held, log, view } = this.#options;
    // Where nothing was written yet, and in a namespace that ends, there is nothing to compare.
    if (namespace === undefined || this.#stopped || !inventory.isLoaded(namespace)) return;
    try {
      await inventory.refresh(namespace);
    } catch (error) {
      log.warn("a namespace could not be read", { namespace, error: errorMessage(error) });
      return;
    }
    for (const agentId of held()) {
      if (view.objects(agentId).namespace?.metadata.name === namespace) changed(agentId);
    }
  }

  /** Where this controller has no agent any more, what it knew grows old. */
  #forgetUnheld(): void {
    const { inventory, view } = this.#options;
    const there = new Set(view.namespaces().map(({ metadata }) => metadata.name));
    const homes = this.#options.homes().intersection(there);
    for (const namespace of inventory.namespaces()) if (!homes.has(namespace)) inventory.forget(namespace);
    for (const map of [this.#looks, this.#suspected])
      for (const namespace of map.keys()) if (!there.has(namespace)) map.delete(namespace);
    const agents = new Set(view.agents());
    for (const agentId of this.#seen) if (!agents.has(agentId)) this.#seen.delete(agentId);
  }

  /**
   * Secrets and the like of an agent of which nothing else is left: a call that was given up took effect after the
   * removal. The first object of an agent that is made, and the last that goes, is a watched one.
   */
  async #findLeftovers(gone: ReadonlySet<string>): Promise<Map<string, Hidden[]>> {
    const inhabitants = this.#inhabitants();
    const looked: Hidden[] = [];
    for (const { metadata } of this.#ours()) {
      if (this.#stopped) break;
      looked.push(...(await this.#look(metadata.name, inhabitants.get(metadata.name) ?? new Set())));
    }
    const found = this.#old(new Map([...this.#hiddenAgents(), ...byAgent(looked)]));
    for (const agentId of gone) found.delete(agentId);
    return found;
  }

  /**
   * Lists what is not watched where something may have been left: at first sight (a controller that ended while it removed
   * an agent, where somebody had taken the labels off what is watched), and after an agent is gone.
   */
  async #look(namespace: string, inhabitants: ReadonlySet<string>): Promise<Hidden[]> {
    const { inventory, view } = this.#options;
    const before = this.#looks.get(namespace);
    const lost = before !== undefined && !before.inhabitants.isSubsetOf(inhabitants);
    // What is loaded was read by this controller itself.
    const first = before === undefined && !inventory.isLoaded(namespace);
    const objects = lost || first || before?.again ? await this.#list(namespace) : [];
    const left = [...byAgent(objects).keys()].some((agentId) => view.objects(agentId).all.length === 0);
    this.#looks.set(namespace, { inhabitants, again: lost || left });
    return objects;
  }

  async #list(namespace: string): Promise<Hidden[]> {
    const { inventory } = this.#options;
    try {
      if (inventory.isLoaded(namespace)) await inventory.refresh(namespace);
      const objects = inventory.isLoaded(namespace)
        ? inventory.all(namespace)
        : await inventory.peek(namespace);
      return objects.map((object) => ({ ...object, namespace }));
    } catch (error) {
      // Without the controller's role nothing of an agent was made there.
      if (!isForbidden(error)) throw error;
      return [];
    }
  }

  /** Of agents with nothing else left, those whose objects are no longer of an apply that may be under way. */
  #old(agents: ReadonlyMap<string, Hidden[]>): Map<string, Hidden[]> {
    const { clock, view } = this.#options;
    const held = new Set(this.#options.held());
    const old = ({ metadata }: Hidden) =>
      clock.now() - Date.parse(metadata.creationTimestamp ?? "") >= YOUNG_MS;
    return new Map(
      [...agents].filter(
        ([agentId, objects]) =>
          !held.has(agentId) && view.objects(agentId).all.length === 0 && objects.every(old),
      ),
    );
  }

  /** The namespaces that carry the database's mark. In others nothing is removed, whatever its labels say. */
  #ours(): Namespace[] {
    const { guard, view } = this.#options;
    return view
      .namespaces()
      .filter(({ metadata }) => guard.isOurs(metadata.annotations?.[ANNOTATIONS.database]));
  }

  async #findGone(): Promise<Gone> {
    const { gone, guard, responsible, view } = this.#options;
    const ours = this.#ours();
    const names = new Set(ours.map(({ metadata }) => metadata.name));
    const inOurs = (agentId: string) =>
      view.objects(agentId).all.some(({ metadata }) => names.has(metadata.namespace ?? ""));
    const agents = [...new Set([...view.agents().filter(inOurs), ...this.#hiddenAgents().keys()])];
    const namespaces = ours.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const users = namespaces.flatMap(({ metadata }) => metadata.labels?.[LABELS.user] ?? []);
    const total = { agents: agents.length, namespaces: namespaces.length };
    const found = new Set<string>();
    const known = new Set<string>();
    const isUnknown = (id: string) => !known.has(id);
    for (let at = 0; at < Math.max(agents.length, users.length); at += CHUNK) {
      const answer = await gone({ agents: agents.slice(at, at + CHUNK), users: users.slice(at, at + CHUNK) });
      guard.learn(answer.fleet);
      // What an earlier look found another database may have said.
      if (!guard.mayRemove) {
        this.#gone.clear();
        return { agents: [], namespaces: [], total, isUnknown };
      }
      for (const id of [...answer.known.agents, ...answer.known.users]) known.add(id);
      for (const agentId of answer.agents) found.add(`agent ${agentId}`);
      for (const userId of answer.users) found.add(`user ${userId}`);
    }
    const before = this.#gone;
    this.#gone = found;
    // Once seen as gone, they are removed by the second look: not only after the next resync.
    if ([...found].some((name) => !before.has(name))) this.#soon();
    const sure = (name: string) => found.has(name) && before.has(name);
    return {
      // Stopped when it was asked for, it may have been started since.
      agents: agents.filter(
        (agentId) => sure(`agent ${agentId}`) && !responsible(agentId) && !isPaused(view.objects(agentId)),
      ),
      namespaces: namespaces.filter(
        (namespace) =>
          sure(`user ${namespace.metadata.labels?.[LABELS.user]}`) &&
          !isPaused({ namespace }) &&
          !this.#isInhabited(namespace.metadata.name),
      ),
      total,
      isUnknown,
    };
  }

  async #removeNamespace(namespace: Namespace): Promise<void> {
    const { guard, inventory, log, namespaces } = this.#options;
    const { labels, name } = namespace.metadata;
    if (this.#stopped || !guard.mayRemove || this.#isInhabited(name)) return;
    const asked = await namespaces.remove(namespace, () => !this.#stopped && guard.mayRemove);
    if (!asked) return;
    log.info("the namespace of a user that the database no longer knows is removed", {
      userId: labels?.[LABELS.user],
    });
    inventory.forget(name);
  }

  async #removeAgent(agentId: string): Promise<void> {
    const { guard, log, responsible } = this.#options;
    if (this.#stopped || !guard.mayRemove || responsible(agentId)) return;
    log.info("what is left of an agent that is gone or stopped is removed", { agentId });
    const ours = new Set(this.#ours().map(({ metadata }) => metadata.name));
    await this.#options.remove(agentId, (namespace) => ours.has(namespace));
    await this.#removeHidden(this.#hiddenAgents().get(agentId) ?? []);
  }

  async #removeHidden(objects: readonly Hidden[]): Promise<void> {
    for (const { kind, namespace, metadata } of objects) {
      const may = () => !this.#stopped && this.#options.guard.mayRemove;
      await this.#options.writer.remove(kind, namespace, metadata.name, may, metadata.uid);
    }
  }

  /** What is not watched, by agent. */
  #hiddenAgents(): Map<string, Hidden[]> {
    const { inventory } = this.#options;
    const ours = new Set(this.#ours().map(({ metadata }) => metadata.name));
    const objects = inventory
      .namespaces()
      .filter((namespace) => ours.has(namespace))
      .flatMap((namespace) => inventory.all(namespace).map((object) => ({ ...object, namespace })));
    return byAgent(objects);
  }

  #isInhabited(namespace: string): boolean {
    const { view } = this.#options;
    return view
      .agents()
      .some((agentId) => view.objects(agentId).all.some(({ metadata }) => metadata.namespace === namespace));
  }

  /** By namespace, the agents of which something is seen there. */
  #inhabitants(): Map<string, Set<string>> {
    const { view } = this.#options;
    const inhabitants = new Map<string, Set<string>>();
    for (const agentId of view.agents()) {
      for (const { metadata } of view.objects(agentId).all) {
        const { namespace = "" } = metadata;
        inhabitants.set(namespace, (inhabitants.get(namespace) ?? new Set()).add(agentId));
      }
    }
    return inhabitants;
  }
}

function byAgent(objects: readonly Hidden[]): Map<string, Hidden[]> {
  const agents = Map.groupBy(objects, ({ metadata }) => metadata.labels?.[LABELS.agent] ?? "");
  agents.delete("");
  return agents;
}
