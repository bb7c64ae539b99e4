// The Kubernetes cluster: joins the writing and the watching side to one Cluster.

import type { Platform } from "../../contract.ts";
import { Endpoints } from "../../ingress/endpoints.ts";
import { errorMessage } from "../../log.ts";
import type {
  Cluster,
  ClusterHealth,
  Failure,
  FleetNote,
  Hindered,
  ObservedWorkload,
  ReplicaLog,
  ReplicaSample,
  ReplicaState,
  Workload,
} from "../cluster.ts";
import { LogBudgets } from "../log-budget.ts";
import { Workloads } from "./agent-workloads.ts";
import type { KubeApi } from "./api.ts";
import { DoorAddresses } from "./door-addresses.ts";
import { EventRecorder } from "./events/recorder.ts";
import { type Connect, LocalForwards, type ReadyPod } from "./local/forward.ts";
import { platformOf } from "./manifests/context.ts";
import { FORM } from "./manifests/form.ts";
import { ANNOTATIONS } from "./names.ts";
import { Capacity } from "./observe/capacity.ts";
import { within } from "./observe/concurrency.ts";
import { conditionOf, type Namespace, type Pod } from "./observe/objects.ts";
import { observeWorkload } from "./observe/observed-workload.ts";
import { createPodAccess, type PodAccess } from "./observe/pod-access.ts";
import { PodLogs } from "./observe/pod-logs.ts";
import { HealthProbes } from "./observe/probes.ts";
import { type Redact, Redactors } from "./observe/redactors.ts";
import { Registry } from "./observe/registry.ts";
import { takeSamples } from "./observe/samples.ts";
import { ClusterView } from "./observe/view.ts";
import type { KubernetesOptions } from "./options.ts";
import { isAsleep, PodEndpoints } from "./pod-endpoints.ts";

/** Every text blanked: when a pod's secrets cannot be read, they cannot be taken out of what it said. */
const SAY_NOTHING: Redact = (value) =>
  JSON.parse(JSON.stringify(value, (_, part) => (typeof part === "string" ? "" : part)));

/** How long calls that are under way may take when the controller stops. */
const LAST_CALLS_MS = 1000;

/**
 * Runs agents on a Kubernetes cluster: {@link Workloads} writes, {@link ClusterView} sees, the rest ships what pods say
 * and use. Several controllers may share a cluster; each writes and ships only what it holds.
 */
export class KubernetesCluster implements Cluster {
  readonly kind = "kubernetes";
  readonly outlives = true;
  readonly sleepsWithSecrets = true;
  /** Where this machine reaches replicas; in the cluster only those of agents whose door leads here. */
  readonly endpoints = new Endpoints();
  readonly #api: KubeApi;
  readonly #options: KubernetesOptions & { removeAtEnd?: boolean };
  readonly #view: ClusterView;
  readonly #workloads: Workloads;
  readonly #access: PodAccess;
  readonly #probes: HealthProbes;
  readonly #logs: PodLogs;
  readonly #redactors: Redactors;
  readonly #capacity: Capacity;
  readonly #events: EventRecorder;
  readonly #forwards: LocalForwards | undefined;
  readonly #doors: { addresses: DoorAddresses; pods: PodEndpoints; port: number } | undefined;
  #onChange: (agentId: string) => void = () => {};
  #onLine: (line: ReplicaLog) => void = () => {};

  /** @param connect how a connection of this machine is brought to a pod; left out: agents are not served here */
  constructor(api: KubeApi, options: KubernetesOptions & { removeAtEnd?: boolean }, connect?: Connect) {
    const { clock, guard, log, random, responsible } = options;
    this.#api = api;
    this.#options = options;
    guard.compareWith(() => marksOf(this.#view.namespaces()));
    const needed = options.expose === "gateway" ? (["HTTPRoute"] as const) : [];
    this.#view = new ClusterView({ ...options, api, needed });
    this.#events = new EventRecorder({
      api,
      clock,
      log,
      // From outside there is no pod of this controller.
      namespace: options.kubeconfig === undefined ? options.controllerNamespace : undefined,
      onOutcome: (outcome) => options.observe?.event?.(outcome),
    });
    const doors = this.#openDoors(options);
    this.#doors = doors;
    const door =
      doors === undefined ? undefined : { addresses: () => doors.addresses.current, port: doors.port };
    this.#workloads = new Workloads(api, this.#view, { ...options, door, events: this.#events });
    this.#access = createPodAccess(api, options.podAccess, options.project.probeSecret);
    const onChange = (agentId: string) => this.#onChange(agentId);
    this.#probes = new HealthProbes({
      view: this.#view,
      access: this.#access,
      responsible,
      clock,
      random,
      onChange,
    });
    this.#redactors = new Redactors(api);
    this.#logs = new PodLogs({
      api,
      view: this.#view,
      redactors: this.#redactors,
      budgets: new LogBudgets({ clock, maxLines: options.logLines }),
      store: options.storeLogs ?? true,
      responsible,
      clock,
      random,
      log,
      onLine: (line) => this.#onLine(line),
      onOpen: (how) => options.observe?.logOpening?.(how),
    });
    const registry = new Registry({ view: this.#view, image: options.image, clock });
    this.#capacity = new Capacity({ api, view: this.#view, registry, clock });
    if (connect !== undefined) {
      const readyPods = (agentId: string) => this.#readyPods(agentId);
      const forwards = new LocalForwards({ connect, endpoints: this.endpoints, readyPods, log });
      this.#view.onChange((agentId) => forwards.sync(agentId));
      this.#forwards = forwards;
    }
  }

  /** @throws {Error} one sentence when the cluster cannot be reached or refuses to be read */
  async start(): Promise<void> {
    await Promise.all([this.#view.start(), this.#doors?.addresses.start()]);
    this.#workloads.start();
    this.#probes.start();
    this.#logs.start();
  }

  /** Agents live on, except those of a trial. */
  async stop(): Promise<void> {
    this.#events.stop();
    this.#forwards?.stop();
    this.#doors?.addresses.stop();
    const ending = Promise.all([this.#workloads.stop(), this.#logs.stop(), this.#probes.stop()]);
    // Calls that a server leaves hanging end with their connections, below: nobody who stops the controller waits for them.
    await within<unknown>(this.#options.clock, LAST_CALLS_MS, ending, () => undefined);
    if (this.#options.removeAtEnd) await this.#removeAll();
    await this.#view.stop();
    await Promise.all([this.#access.close(), this.#api.close()]);
  }

  apply(workload: Workload): Promise<void> {
    return this.#workloads.apply(workload);
  }

  sleep(workload: Workload): Promise<void> {
    return this.#workloads.sleep(workload);
  }

  /** Whether the agent sleeps, whichever controller has put it to sleep. */
  isAsleep(agentId: string): boolean {
    return isAsleep(this.#view.objects(agentId));
  }

  refresh(agentId: string): Promise<void> {
    return this.#workloads.refresh(agentId);
  }

  revert(workload: Workload, failure: Failure): Promise<void> {
    return this.#workloads.revert(workload, failure);
  }

  /** A stopped agent needs nothing in the cluster: `keep` makes no difference. */
  remove(agentId: string): Promise<void> {
    return this.#workloads.remove(agentId);
  }

  async get(agentId: string): Promise<ObservedWorkload | undefined> {
    const redact = await this.#redactFor(this.#view.objects(agentId).pods);
    return this.#workloads.get(agentId, { redact, health: (uid) => this.#probes.of(uid) });
  }

  async list(): Promise<string[]> {
    return this.#workloads.list();
  }

  watch(listener: (agentId: string) => void): void {
    this.#onChange = listener;
    this.#workloads.watch(listener);
  }

  logs(listener: (line: ReplicaLog) => void): void {
    this.#onLine = listener;
  }

  metrics(): Promise<ReplicaSample[]> {
    const { clock, installation, responsible } = this.#options;
    const [api, view, access] = [this.#api, this.#view, this.#access];
    return takeSamples({ api, view, access, installation, responsible, clock });
  }

  probe(): Promise<ClusterHealth> {
    return this.#capacity.health();
  }

  /** See {@link Cluster.note}. */
  note(note: FleetNote): void {
    this.#events.noteOwn(note);
  }

  /** What of the cluster is not touched: others' copies of our labels, and namespaces that others use. */
  get failingWatches(): ReadonlyMap<string, number> {
    return this.#view.failing;
  }

  get leftAlone(): { strays: number; keptNamespaces: number } {
    return { strays: this.#view.strays, keptNamespaces: this.#workloads.keptNamespaces };
  }

  /** How many pods' logs are read here, and how many of them by a stream that stays open. */
  get logStreams(): { readers: number; followed: number } {
    return this.#logs.counts;
  }

  /** How many replicas of the agents held here are in which state. */
  countStates(): Map<ReplicaState, number> {
    const { clock, responsible } = this.#options;
    const counts = new Map<ReplicaState, number>();
    for (const agentId of this.#view.agents().filter((one) => responsible(one))) {
      for (const { state } of observeWorkload(this.#view.objects(agentId), clock.now())?.replicas ?? []) {
        counts.set(state, (counts.get(state) ?? 0) + 1);
      }
    }
    return counts;
  }

  /** See {@link platformOf}. */
  get platform(): Omit<Platform, "id"> {
    return { ...platformOf(this.#options), form: FORM };
  }

  /** Replicas of the agents held here that wait for their platform, or that something keeps from becoming ready. */
  countHindered(wanted: (agentId: string) => string | undefined): Hindered {
    const { clock, responsible } = this.#options;
    const blocked = new Map<string, number>();
    let outdated = 0;
    for (const agentId of this.#view.agents().filter((one) => responsible(one))) {
      const replicas = observeWorkload(this.#view.objects(agentId), clock.now())?.replicas ?? [];
      for (const replica of replicas.filter(({ state }) => state !== "ending")) {
        if (replica.platform !== wanted(agentId)) outdated += 1;
        // A loop of crashes is no hindrance to Kubernetes, but it is one.
        const reason =
          replica.blocked?.reason ?? (replica.state === "waiting" ? replica.exit?.reason : undefined);
        if (reason !== undefined) blocked.set(reason, (blocked.get(reason) ?? 0) + 1);
      }
    }
    return { outdated, blocked };
  }

  #openDoors({ clock, doors, log }: KubernetesOptions) {
    if (doors === undefined) return undefined;
    const { port, ...where } = doors;
    const changed = () => void this.#workloads.moveDoors();
    const addresses = new DoorAddresses({ ...where, clock, log, changed });
    const pods = new PodEndpoints(this.endpoints, clock);
    this.#view.onChange((agentId) => pods.sync(this.#view.objects(agentId)));
    return { addresses, pods, port };
  }

  async #removeAll(): Promise<void> {
    try {
      await this.#workloads.removeAll();
    } catch (error) {
      this.#options.log.warn("not everything in the cluster could be removed", {
        error: errorMessage(error),
      });
    }
  }

  #readyPods(agentId: string): ReadyPod[] | undefined {
    const { all, pods } = this.#view.objects(agentId);
    if (all.length === 0) return undefined;
    return pods
      .filter(
        ({ metadata, status }) =>
          metadata.deletionTimestamp === undefined &&
          conditionOf(status?.conditions, "Ready")?.status === "True",
      )
      .map(({ metadata }) => ({ namespace: metadata.namespace ?? "", name: metadata.name }));
  }

  /** Takes the secrets of all these pods out of a text. Only pods that said something last need be known. */
  async #redactFor(pods: readonly Pod[]): Promise<Redact> {
    const spoke = pods.filter((pod) =>
      pod.status?.containerStatuses?.some(
        ({ lastState, state }) => lastState?.terminated !== undefined || state?.terminated !== undefined,
      ),
    );
    try {
      const redacts = await Promise.all(spoke.map((pod) => this.#redactors.of(pod)));
      return (value) => redacts.reduce((text, redact) => redact(text), value);
    } catch {
      return SAY_NOTHING;
    }
  }
}

/** How many of the users' namespaces carry which database's id. */
export function marksOf(namespaces: readonly Namespace[]): Map<string, number> {
  const marks = new Map<string, number>();
  for (const { metadata } of namespaces) {
    const mark = metadata.annotations?.[ANNOTATIONS.database];
    if (mark !== undefined) marks.set(mark, (marks.get(mark) ?? 0) + 1);
  }
  return marks;
}
