// Watches the cluster and answers what there is of an agent.

import { type Clock, jittered } from "../../../clock.ts";
import type { Log } from "../../../log.ts";
import {
  isTransient,
  KINDS,
  type Kind,
  type KubeApi,
  KubeError,
  type KubeList,
  type KubeObject,
} from "../api.ts";
import { DOOR_KEEPER, installationSelector, LABELS, userOf } from "../names.ts";
import type { KubernetesOptions } from "../options.ts";
import { Gate } from "./concurrency.ts";
import { CrashMemory } from "./crashes.ts";
import {
  type Deployment,
  type EventNote,
  type HorizontalPodAutoscaler,
  isLater,
  type Namespace,
  type Pod,
  type ReplicaSet,
} from "./objects.ts";
import { Reflector, type ReflectorTimes } from "./reflector.ts";
import { Store } from "./store.ts";
import { Warnings } from "./warning-events.ts";

/** What is watched in all namespaces. Nothing that holds a secret or somebody's configuration is among it. */
export const OBSERVED_KINDS = [
  "Namespace",
  "ResourceQuota",
  "LimitRange",
  "NetworkPolicy",
  "Deployment",
  "ReplicaSet",
  "Pod",
  "HorizontalPodAutoscaler",
  "PodDisruptionBudget",
  "Service",
  "EndpointSlice",
  "ServiceAccount",
  "Ingress",
  "HTTPRoute",
  "Event",
] as const satisfies readonly Kind[];

/** What a cluster may do without, unless it is {@link ClusterViewOptions.needed}: its definition is another project's. */
const FOREIGN: Partial<Record<Kind, string>> = {
  HTTPRoute: "the Gateway API (gateway.networking.k8s.io/v1, standard channel)",
};

export interface ClusterViewOptions {
  api: Pick<KubeApi, "list" | "watch">;
  installation: string;
  /** What the names of the users' namespaces begin with. */
  namespacePrefix: string;
  clock: Clock;
  random: () => number;
  log: Log;
  /** How often every agent is told as changed, whether or not it is. */
  resyncSeconds: number;
  kinds?: readonly Kind[];
  /** Kinds of other projects that agents cannot do without. */
  needed?: readonly Kind[];
  /** Whose agent it is, where that is known: what another user labels as this agent's is not. */
  owner?: KubernetesOptions["owner"];
  observe?: KubernetesOptions["observe"];
  times?: Partial<ReflectorTimes>;
}

/** Everything known of one agent. */
export interface AgentObjects {
  agentId: string;
  namespace?: Namespace;
  deployment?: Deployment;
  replicaSets: ReplicaSet[];
  pods: Pod[];
  hpa?: HorizontalPodAutoscaler;
  /** Each object that carries the agent's label, the above included. */
  all: KubeObject[];
  /** Warnings about any of the above, oldest first. */
  warnings: EventNote[];
  /** By a pod's uid: how often it had ended when it last was stable. */
  stable: ReadonlyMap<string, number>;
}

/** How often it is asked for a kind that the cluster lacks and no agent needs. */
const ABSENT_MS = 1_800_000;
/** A watch that has failed for so long is a problem of the cluster's, not a hiccup. */
const PROBLEM_MS = 60_000;
/** Between two warnings of objects that only pretend to be the installation's. */
const STRAYS_MS = 60_000;
/** How long a start waits for a server that does not answer. */
const PATIENCE_MS = 10_000;

/**
 * What there is of the installation in the whole cluster, kept up to date by watches, in memory. Reading it costs no
 * call. It tells which agent changed, and every agent now and then, so that nothing depends on a single message.
 */
export class ClusterView {
  readonly #options: ClusterViewOptions;
  readonly #store: Store;
  readonly #warnings: Warnings;
  readonly #crashes = new CrashMemory();
  readonly #reflectors = new Map<Kind, Reflector>();
  readonly #listeners: ((agentId: string) => void)[] = [];
  readonly #podListeners: ((before: Pod | undefined, after: Pod | undefined) => void)[] = [];
  readonly #listing = new Gate(2);
  readonly #synced = Promise.withResolvers<void>();
  #isSynced = false;
  #startedAt = 0;
  #strayedAt = Number.NEGATIVE_INFINITY;
  #cancelResync: () => void = () => {};

  constructor(options: ClusterViewOptions) {
    this.#options = options;
    this.#store = new Store(
      options.namespacePrefix,
      (kind, before, after) => this.#changed(kind, before, after),
      (kind, object) => this.#strayed(kind, object),
    );
    this.#warnings = new Warnings(options.namespacePrefix);
    // A start that nobody waits for any more may still fail.
    this.#synced.promise.catch(() => {});
    for (const kind of options.kinds ?? OBSERVED_KINDS) this.#reflectors.set(kind, this.#reflector(kind));
  }

  /**
   * Begins to watch. What breaks later is tried again for ever.
   * @returns when every kind was listed once
   * @throws {KubeError} when the server refuses a list, or could not be reached for ten seconds; the watching goes on
   */
  async start(): Promise<void> {
    this.#startedAt = this.#options.clock.now();
    for (const reflector of this.#reflectors.values()) reflector.start();
    this.#scheduleResync();
    await this.#synced.promise;
  }

  /** Ends every watch. */
  async stop(): Promise<void> {
    this.#cancelResync();
    await Promise.all([...this.#reflectors.values()].map((reflector) => reflector.stop()));
  }

  /** Every kind was listed once: before, what is seen is not all there is. */
  get synced(): boolean {
    return this.#isSynced;
  }

  /** Why what is seen may not be the truth, in a sentence; undefined while it is. */
  get problem(): string | undefined {
    const now = this.#options.clock.now();
    for (const kind of this.#options.needed ?? [])
      if (this.absence(kind) !== undefined) return this.absence(kind);
    for (const [kind, reflector] of this.#reflectors) {
      const { failing } = reflector;
      if (failing === undefined || (this.#isSynced && now - failing.since < PROBLEM_MS)) continue;
      return `The cluster's ${KINDS[kind].resource} cannot be watched: ${failing.error}`;
    }
    return this.#isSynced ? undefined : "The cluster's state is still being read.";
  }

  /** In a sentence, why nothing of the kind can be there or be made; undefined where it can. */
  absence(kind: Kind): string | undefined {
    return this.#reflectors.get(kind)?.absent === true ? missing(kind) : undefined;
  }

  /** For how long watches have failed, in milliseconds by resource. Those that work are not among them. */
  get failing(): ReadonlyMap<string, number> {
    const now = this.#options.clock.now();
    return new Map(
      [...this.#reflectors].flatMap(([kind, { failing }]): [string, number][] =>
        failing === undefined ? [] : [[KINDS[kind].resource, Math.max(0, now - failing.since)]],
      ),
    );
  }

  /** Everything known of the agent. */
  objects(agentId: string): AgentObjects {
    const objects: AgentObjects = {
      agentId,
      replicaSets: [],
      pods: [],
      all: [],
      warnings: [],
      stable: this.#crashes.stable,
    };
    for (const object of this.#store.ofAgent(agentId)) {
      if (this.#isImpostor(object)) continue;
      const { kind } = object;
      objects.all.push(object);
      objects.warnings.push(...this.#warnings.about(object.metadata.uid));
      if (kind === "Deployment") objects.deployment = object;
      else if (kind === "ReplicaSet") objects.replicaSets.push(object);
      else if (kind === "Pod") objects.pods.push(object);
      else if (kind === "HorizontalPodAutoscaler") objects.hpa = object;
      const namespace = this.find("Namespace", "", object.metadata.namespace ?? "");
      if (namespace !== undefined) objects.namespace = namespace;
    }
    objects.warnings.sort((a, b) => a.at - b.at);
    return objects;
  }

  /** The agents of which there is anything. */
  agents(): string[] {
    return this.#store.agents();
  }

  /** The users of whom there is anything. */
  users(): string[] {
    return this.#store.users();
  }

  /** What carries the user's label and no agent's: the namespace and what belongs to it. */
  ofUser(userId: string): KubeObject[] {
    const isUsers = ({ metadata }: KubeObject) => metadata.labels?.[LABELS.agent] === undefined;
    return [...this.#store.ofUser(userId)].filter(isUsers);
  }

  /** The installation's namespaces. */
  namespaces(): Namespace[] {
    return [...this.#store.all("Namespace")];
  }

  /** One object; `namespace` is empty for those that are in none. */
  find(kind: Kind, namespace: string, name: string): KubeObject | undefined {
    return this.#store.find(kind, namespace, name);
  }

  /** Every pod of the installation. */
  pods(): Iterable<Pod> {
    return this.#store.all("Pod");
  }

  /** How many objects carry the installation's labels and are not its own: they are not looked at. */
  get strays(): number {
    let impostors = 0;
    for (const agentId of this.agents()) {
      for (const object of this.#store.ofAgent(agentId)) if (this.#isImpostor(object)) impostors += 1;
    }
    return this.#store.strays + impostors;
  }

  /**
   * Takes what a write of ours answered, so that it is seen before the watch tells it. Ignored when the watch has come
   * further already.
   */
  absorb(object: KubeObject): void {
    const kind = object.kind as Kind;
    const reflector = this.#reflectors.get(kind);
    if (reflector === undefined || kind === "Event") return;
    const told = reflector.version;
    if (!isLater(object.metadata.resourceVersion, told)) return;
    this.#store.put(kind, object);
  }

  /** Takes all that there is of the agent's of the kind: what is missing is gone, also where the watch has not told it. */
  absorbAll(kind: Kind, agentId: string, { items, resourceVersion }: KubeList): void {
    this.#store.keepOnly(kind, agentId, items, resourceVersion);
    for (const item of items) this.absorb(item);
  }

  /** Tells which agent changed; every agent once in each resync; nothing before {@link synced}. */
  onChange(listener: (agentId: string) => void): void {
    this.#listeners.push(listener);
  }

  /** Tells each change of a pod. */
  onPod(listener: (before: Pod | undefined, after: Pod | undefined) => void): void {
    this.#podListeners.push(listener);
  }

  /** Another user's object, in that user's own namespace, that says it is this agent's. */
  #isImpostor(object: KubeObject): boolean {
    const owner = this.#options.owner?.(object.metadata.labels?.[LABELS.agent] ?? "");
    return owner !== undefined && userOf(this.#options.namespacePrefix, object) !== owner;
  }

  #strayed(kind: Kind, { metadata: { name, namespace } }: KubeObject): void {
    const { clock, log } = this.#options;
    if (clock.now() - this.#strayedAt < STRAYS_MS) return;
    this.#strayedAt = clock.now();
    log.warn("an object carries our labels in a namespace that belongs to no user; it is left alone", {
      kind,
      namespace,
      name,
      strays: this.#store.strays + 1,
    });
  }

  #reflector(kind: Kind): Reflector {
    const { api, clock, installation, log, needed = [], observe, random, times } = this.#options;
    const isEvent = kind === "Event";
    const isNeeded = needed.includes(kind);
    let wasAbsent = false;
    return new Reflector({
      api,
      kind,
      clock,
      random,
      log,
      listing: this.#listing,
      keep: (item) => this.#store.slim(kind, item),
      times: { ...(isNeeded ? {} : { absentMs: ABSENT_MS }), ...times },
      ...(isEvent
        ? { fieldSelector: "type=Warning", fromNow: true }
        : { labelSelector: selectorOf(kind, installation) }),
      onList: ({ items, resourceVersion }) => {
        if (!isEvent) this.#store.replace(kind, items, resourceVersion);
        queueMicrotask(() => this.#checkSynced());
        // Whatever waits for the kind can be made now.
        if (wasAbsent) queueMicrotask(() => this.#tellAll());
        wasAbsent = false;
      },
      isAbsent: (error) => kind in FOREIGN && isUnknown(error, isNeeded),
      onAbsent: () => {
        if (!wasAbsent && isNeeded) log.error(missing(kind));
        wasAbsent = true;
        this.#store.clear(kind);
        queueMicrotask(() => this.#checkSynced());
      },
      onEvent: ({ object, type }) => {
        if (isEvent) this.#warned(type === "DELETED" ? undefined : object);
        else if (type === "DELETED") this.#store.remove(kind, object);
        else this.#store.put(kind, object);
      },
      onOutcome: (outcome) => observe?.watch(KINDS[kind].resource, outcome),
      onFailure: (error) => this.#failed(error),
    });
  }

  /** Before all is known, what cannot be helped by waiting is told to whoever waits. */
  #failed(error: unknown): void {
    if (this.#isSynced) return;
    const { clock } = this.#options;
    if (!isTransient(error) || clock.now() - this.#startedAt >= PATIENCE_MS) this.#synced.reject(error);
  }

  #checkSynced(): void {
    if (this.#isSynced || ![...this.#reflectors.values()].every(({ synced }) => synced)) return;
    this.#isSynced = true;
    this.#synced.resolve();
    this.#tellAll();
  }

  #changed(kind: Kind, before: KubeObject | undefined, after: KubeObject | undefined): void {
    if (after === undefined) this.#warnings.forget(before?.metadata.uid);
    if (kind === "Pod") {
      this.#crashes.see(before, after);
      for (const listener of this.#podListeners) listener(before, after);
    }
    const object = after ?? before;
    const agentId = object?.metadata.labels?.[LABELS.agent];
    const userId = object && userOf(this.#options.namespacePrefix, object);
    // Nobody else's object may wake an agent.
    if (object !== undefined && this.#isImpostor(object)) return;
    if (agentId !== undefined) this.#tell(agentId);
    else if (userId !== undefined) for (const one of this.#agentsOf(userId)) this.#tell(one);
  }

  #warned(event: KubeObject | undefined): void {
    if (event === undefined) return;
    const about = this.#warnings.take(event);
    if (about === undefined || !(about.kind in KINDS)) return;
    const object = this.find(about.kind as Kind, about.namespace, about.name);
    const agentId = object?.metadata.labels?.[LABELS.agent];
    if (agentId !== undefined) this.#tell(agentId);
  }

  #agentsOf(userId: string): Set<string> {
    const agents = new Set<string>();
    for (const object of this.#store.ofUser(userId)) {
      const agentId = object.metadata.labels?.[LABELS.agent];
      if (agentId !== undefined) agents.add(agentId);
    }
    return agents;
  }

  #tell(agentId: string): void {
    if (this.#isSynced) for (const listener of this.#listeners) listener(agentId);
  }

  #tellAll(): void {
    for (const agentId of this.agents()) this.#tell(agentId);
  }

  #scheduleResync(): void {
    const { clock, random, resyncSeconds } = this.#options;
    this.#cancelResync = clock.after(jittered(resyncSeconds * 1000, 0.2, random), () => {
      this.#tellAll();
      this.#scheduleResync();
    });
  }
}

/** The slices that the cluster makes of each Service carry the Service's labels too, and are not looked at. */
function selectorOf(kind: Kind, installation: string): string {
  const selector = installationSelector(installation);
  return kind === "EndpointSlice" ? `${selector},${LABELS.sliceKeeper}=${DOOR_KEEPER}` : selector;
}

/** Where the kind is not needed, it does not matter whether it is missing or only not allowed to be seen. */
function isUnknown(error: unknown, isNeeded: boolean): boolean {
  if (!(error instanceof KubeError)) return false;
  return error.code === "NOT_FOUND" || (error.code === "FORBIDDEN" && !isNeeded);
}

function missing(kind: Kind): string {
  return `The cluster has no ${KINDS[kind].resource}: install ${FOREIGN[kind]}, or choose another LAUNCHPAD_EXPOSE.`;
}
