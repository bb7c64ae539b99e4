// Simulates controllers over the models of Kubernetes and the database.

import type { Cluster } from "../cluster/cluster.ts";
import { Workloads } from "../cluster/kubernetes/agent-workloads.ts";
import {
  type Kind,
  type KubeApi,
  KubeError,
  type WatchEvent,
  type WatchQuery,
} from "../cluster/kubernetes/api.ts";
import { marksOf } from "../cluster/kubernetes/kubernetes.ts";
import { ClusterView, OBSERVED_KINDS } from "../cluster/kubernetes/observe/view.ts";
import { manifestOptionsOf } from "../cluster/kubernetes/testing.ts";
import type { Database } from "../contract.ts";
import { DatabaseError } from "../database.ts";
import { FleetGuard } from "../fleet/guard.ts";
import { type Log, silentLog } from "../log.ts";
import { Controller } from "../loop/controller.ts";
import { Faults, type Life } from "./faults.ts";
import { type Behaviour, KubernetesControllers } from "./kubernetes-controllers.ts";
import { copyOf } from "./kubernetes-fields.ts";
import { KubernetesModel } from "./kubernetes-model.ts";
import { MemoryDatabase } from "./memory-database.ts";
import { SimulatedClock, seededRandom } from "./simulated-clock.ts";

interface SiteLife extends Life {
  controller: Controller;
  workloads: Workloads;
  view: ClusterView;
  started: boolean;
}

interface Site {
  worker: string;
  /** Where it is set to another image than the rest. */
  image?: string;
  life: SiteLife | undefined;
}

/** What a model name makes of a container, or an image that is no good. */
function behave({ image = "", model }: { image?: string; model?: string | null }): Behaviour {
  if (image.endsWith(":bad")) return "crash";
  return model === "crash" || model === "fatal" ? model : "ready";
}

/**
 * Controllers over a model of Kubernetes and a model of the database, under one clock and one seed. While faults are on,
 * each call to either may be slow, fail before or after it took effect, take effect later, or end its controller; watches
 * break, go silent or are too old; people edit and delete objects.
 */
export class KubernetesSimulation {
  readonly clock = new SimulatedClock();
  /** Another one may come in its place. */
  database = new MemoryDatabase(this.clock);
  /** What every controller is set to run agents with; undefined: nothing that a rollout changes. */
  image: string | undefined;
  /** Which version's pods the controllers announce; see manifests/form.ts. */
  form: string | undefined;
  rollout = { percent: 10, maxFailures: 0, soakSeconds: 30 };
  readonly model = new KubernetesModel(this.clock);
  readonly random: () => number;
  readonly faults: Faults;
  readonly nodes: KubernetesControllers;
  readonly sites: Site[];
  crashes = 0;
  readonly #log: Log;

  constructor(seed: number, controllers: number, log: Log = silentLog) {
    this.random = seededRandom(seed);
    this.faults = new Faults(this.clock, this.random);
    this.nodes = new KubernetesControllers(this.model, this.clock, this.random, behave);
    this.#log = log;
    this.sites = Array.from({ length: controllers }, (_, index) => ({
      worker: `worker-${index}`,
      life: undefined,
    }));
    for (const site of this.sites) this.#start(site);
  }

  /** A webhook, which may get lost. */
  hint(): void {
    for (const { life } of this.sites) {
      if (life?.started && (!this.faults.on || this.random() < 0.5)) life.controller.hint();
    }
  }

  /** See {@link Faults.pause}. */
  pause(index: number, milliseconds: number): void {
    const life = this.sites[index]?.life;
    if (life !== undefined) this.faults.pause(life, milliseconds);
  }

  /** Every controller ends, and is started again. */
  restart(): void {
    for (const site of this.sites) if (site.life !== undefined) this.#crash(site, site.life);
  }

  /** Ends whatever fault is still going on, and waits until all is calm. */
  async calm(milliseconds: number): Promise<void> {
    this.faults.on = false;
    await this.clock.advance(milliseconds);
  }

  /** Time goes on meanwhile: a call that is under way takes its time. */
  async stop(): Promise<void> {
    let stopped = false;
    const stopping = this.#stop().finally(() => {
      stopped = true;
    });
    while (!stopped) await this.clock.advance(100);
    await stopping;
  }

  async #stop(): Promise<void> {
    for (const { life } of this.sites) {
      if (life === undefined) continue;
      await life.controller.stop();
      await life.workloads.stop();
      life.dead = true;
      void life.view.stop();
    }
  }

  #start(site: Site): void {
    const life = { dead: false, pausedUntil: 0, held: [], started: false } as unknown as SiteLife;
    const clock = this.faults.clockOf(life);
    const api = this.#api(site, life);
    const database = this.#database(site, life);
    const guard = new FleetGuard({ clock, log: this.#log });
    const manifests = manifestOptionsOf({
      readyMs: 60_000,
      graceMs: 1000,
      door: { addresses: () => ["10.0.0.1"], port: 8081 },
      databaseId: () => guard.databaseId,
      isOurs: (databaseId) => guard.isOurs(databaseId),
    });
    const owner = (agentId: string) =>
      life.controller?.reconciler.held.get(agentId)?.claim.userId ?? undefined;
    const classOf = (agentId: string) => life.controller?.reconciler.held.get(agentId)?.claim.class;
    const common = { clock, random: this.random, log: this.#log, resyncSeconds: 60 };
    life.view = new ClusterView({
      ...common,
      api,
      // Agents are exposed by Ingresses here; a real API server has both (tests/cluster/foreign-kinds.test.ts).
      kinds: OBSERVED_KINDS.filter((kind) => kind !== "HTTPRoute"),
      installation: manifests.installation,
      namespacePrefix: manifests.namespacePrefix,
      owner,
    });
    guard.compareWith(() => marksOf(life.view.namespaces()));
    life.workloads = new Workloads(api, life.view, {
      ...common,
      ...manifests,
      responsible: (agentId) => life.controller.reconciler.held.has(agentId) && !life.controller.lapsed,
      owner,
      classOf,
      guard,
      gone: (held) => database.goneWorkloads(held),
    });
    life.controller = new Controller({
      worker: site.worker,
      database,
      cluster: clusterOf(life.workloads),
      clock,
      random: this.random,
      log: this.#log,
      limits: { readyMs: 60_000, crashLimit: 3 },
      guard,
      pollSeconds: 5,
      leaseSeconds: 15,
      concurrency: 3,
      urlOf: (agentId) => `http://${agentId}.test`,
      describe: async () => {
        const image = site.image ?? this.image;
        return image === undefined
          ? {}
          : { platform: { content: { image, ...(this.form && { form: this.form }) }, ...this.rollout } };
      },
    });
    site.life = life;
    life.view.start().then(
      () => {
        if (life.dead) return;
        life.started = true;
        life.workloads.start();
        life.controller.start();
      },
      // As the program does: it ends, and is started again.
      () => this.#crash(site, life),
    );
  }

  #crash(site: Site, life: SiteLife): void {
    if (life.dead) return;
    life.dead = true;
    this.crashes += 1;
    this.clock.after(10 + this.random() * 8000, () => this.#start(site));
  }

  #database(site: Site, life: SiteLife): Database {
    return new Proxy({} as Database, {
      get: (_, name) => {
        const object = this.database;
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value !== "function") return value;
        const method = value.bind(object) as (...args: unknown[]) => unknown;
        return (...args: unknown[]) =>
          this.faults.call(() => method(...args), life, {
            late: true,
            failure: (why) => new DatabaseError("unreachable", why),
            crash: () => this.#crash(site, life),
          });
      },
    });
  }

  #api(site: Site, life: SiteLife): KubeApi {
    const { model } = this;
    const call = <T>(method: () => T): Promise<T> =>
      this.faults.call(method, life, {
        late: true,
        failure: (why) => this.#failure(why),
        crash: () => this.#crash(site, life),
      });
    return {
      get: (kind, namespace, name) => call(() => model.get(kind, namespace, name)),
      contents: (namespace) => call(() => model.contents(namespace)),
      list: (kind, query) => call(() => model.list(kind, query)),
      apply: (object, options) => call(() => model.apply(copyOf(object), options)),
      record: async () => {},
      patch: (kind, namespace, name, operations) =>
        call(() => model.patch(kind, namespace, name, operations)),
      delete: (kind, namespace, name, options) => call(() => model.delete(kind, namespace, name, options)),
      watch: (kind, query, onEvent) => this.#watch(kind, query, onEvent, life),
      podLog: async () => {
        throw new KubeError("NOT_FOUND", "no logs here");
      },
      podProxy: async () => ({ status: 404, body: "" }),
      version: async () => "v0",
      close: async () => {},
    };
  }

  #failure(why: string): KubeError {
    const kinds = ["UNREACHABLE", "BUSY", "SERVER"] as const;
    return new KubeError(kinds[Math.floor(this.random() * kinds.length)] ?? "SERVER", why);
  }

  /** A watch, whose events come late but in order. With faults it breaks, ends, or says nothing any more. */
  #watch(kind: Kind, query: WatchQuery, onEvent: (event: WatchEvent) => void, life: SiteLife): Promise<void> {
    const clock = this.faults.clockOf(life);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let last = 0;
    let silent = false;
    const tell = (event: WatchEvent) => {
      last = Math.max(last, this.clock.now() + 1 + this.random() * (this.faults.on ? 400 : 5));
      clock.after(last - this.clock.now(), () => {
        if (!silent && !query.signal?.aborted) onEvent(event);
      });
    };
    let end = () => {};
    try {
      if (this.faults.on && this.random() < 0.05) throw this.#failure("no watch");
      end = this.model.watch(kind, query.resourceVersion, query, tell);
      query.onOpen?.();
    } catch (error) {
      return Promise.reject(error);
    }
    const done = (how: () => void) => {
      end();
      silent = true;
      how();
    };
    query.signal?.addEventListener("abort", () => done(resolve), { once: true });
    clock.after(query.timeoutSeconds * 1000, () => done(resolve));
    const beat = () => {
      const version = this.model.version;
      tell({
        type: "BOOKMARK",
        object: { apiVersion: "v1", kind, metadata: { name: "", resourceVersion: version } },
      });
      if (!silent) clock.after(30_000, beat);
    };
    clock.after(30_000, beat);
    if (this.faults.on && this.random() < 0.3) {
      const fate = this.random();
      clock.after(this.random() * 60_000, () => {
        if (fate < 0.4) done(() => reject(this.#failure("the watch broke")));
        else if (fate < 0.6) done(() => reject(new KubeError("GONE", "too old", { status: 410 })));
        else if (fate < 0.8) done(resolve);
        // Nothing more comes, and nobody says so.
        else silent = true;
      });
    }
    return promise;
  }
}

/** The workloads as a cluster: what a simulation needs of one. */
function clusterOf(workloads: Workloads): Cluster {
  return {
    kind: "kubernetes",
    outlives: true,
    sleepsWithSecrets: true,
    start: async () => {},
    stop: async () => {},
    apply: (workload) => workloads.apply(workload),
    sleep: (workload) => workloads.sleep(workload),
    refresh: (agentId) => workloads.refresh(agentId),
    revert: (workload, failure) => workloads.revert(workload, failure),
    remove: (agentId) => workloads.remove(agentId),
    get: async (agentId) => workloads.get(agentId),
    list: async () => workloads.list(),
    watch: (listener) => workloads.watch(listener),
    logs: () => {},
    metrics: async () => [],
    probe: async () => ({ healthy: true, capacity: {} }),
  };
}
