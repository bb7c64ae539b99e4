import { type Clock, jittered } from "../../clock.ts";
import { errorMessage, type Log } from "../../log.ts";
import type { Kind, ObjectMeta } from "./api.ts";
import { type Inventory, isForbidden } from "./inventory.ts";
import { ANNOTATIONS, LABELS } from "./names.ts";
import type { NamespaceRemover } from "./namespace-remover.ts";
import type { Namespace } from "./observe/objects.ts";
import type { ClusterView } from "./observe/view.ts";
import { isPaused } from "./observe/workload.ts";
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
/** Between two readings of a namespace in which something is missing. */
const SUSPECT_MS = 5000;

/**
 * Now and then: reads what no watch tells, and removes what belongs to agents and users that the database no longer
 * knows (a controller that had lost its lease may have made it, or the removal was never finished). An agent must be
 * gone in two sweeps; what the database does not answer is not gone; and the guard must let it go.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  readonly #seen = new Set<string>();
  /** Namespaces in which an earlier life left nothing, with the agents that were seen there then. */
  readonly #clean = new Map<string, string>();
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
      }
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
  async #findLeftovers(gone: ReadonlySet<string>): Promise<Map<string, Hidden[]>> {
    const found = this.#old(this.#hiddenAgents());
    const inhabitants = this.#inhabitants();
    for (const namespace of this.#ours()) {
      if (this.#stopped) break;
      const { name } = namespace.metadata;
      for (const [agentId, objects] of await this.#lookOnce(name, inhabitants.get(name) ?? ""))
        found.set(agentId, objects);
    }
    for (const agentId of gone) found.delete(agentId);
    return found;
  }

  /**
   * The same in a namespace that nobody here reads: without agents, or with such as need nothing done. A controller that
   * ended while it removed an agent may have left it so, where somebody had taken the labels off what is watched.
   */
  async #lookOnce(namespace: string, inhabitants: string): Promise<Map<string, Hidden[]>> {
    const { inventory, view } = this.#options;
    if (inventory.isLoaded(namespace) || this.#clean.get(namespace) === inhabitants) return new Map();
    try {
      const found = byAgent((await inventory.peek(namespace)).map((object) => ({ ...object, namespace })));
      const left = [...found.keys()].some((agentId) => view.objects(agentId).all.length === 0);
      if (!left) this.#clean.set(namespace, inhabitants);
      return this.#old(found);
    } catch (error) {
      // Without the controller's role nothing of an agent was made there.
      if (!isForbidden(error)) throw error;
      this.#clean.set(namespace, inhabitants);
      return new Map();
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
  #inhabitants(): Map<string, string> {
    const { view } = this.#options;
    const pairs = view.agents().flatMap((agentId) => {
      const namespaces = new Set(view.objects(agentId).all.map(({ metadata }) => metadata.namespace ?? ""));
      return [...namespaces].map((namespace) => ({ namespace, agentId }));
    });
    const groups = Map.groupBy(pairs, ({ namespace }) => namespace);
    return new Map(
      [...groups].map(([name, all]) => [
        name,
        all
          .map(({ agentId }) => agentId)
          .sort()
          .join(),
      ]),
    );
  }
}

function byAgent(objects: readonly Hidden[]): Map<string, Hidden[]> {
  const agents = Map.groupBy(objects, ({ metadata }) => metadata.labels?.[LABELS.agent] ?? "");
  agents.delete("");
  return agents;
}
