// Decides what is written to Kubernetes for each agent: apply, correct, revert or remove.

import { jittered } from "../../clock.ts";
import { errorMessage } from "../../log.ts";
import { canonical } from "../../reconcile/template.ts";
import type { Failure, ObservedWorkload, Workload } from "../cluster.ts";
import { isComplete } from "../rollout.ts";
import { type Kind, type KubeApi, KubeError } from "./api.ts";
import { Applier } from "./apply.ts";
import { Copies, namedObjects } from "./copies.ts";
import { CorrectionBackoff } from "./correction-backoff.ts";
import { Doors } from "./doors.ts";
import type { EventRecorder } from "./events/recorder.ts";
import type { Note } from "./events/series.ts";
import { Inventory } from "./inventory.ts";
import { configName, contextOf, type Intent, secretName } from "./manifests/context.ts";
import { tlsSecretOf } from "./manifests/parts.ts";
import { KeyedMutex } from "./mutex.ts";
import { ANNOTATIONS, agentSelector, LABELS, namespaceOf } from "./names.ts";
import { NamespaceRemover } from "./namespace-remover.ts";
import { type Namespace, timeOf } from "./observe/objects.ts";
import { isPaused, type ObserveOptions, observeWorkload } from "./observe/observed-workload.ts";
import { terminating } from "./observe/reasons.ts";
import type { AgentObjects, ClusterView } from "./observe/view.ts";
import type { KubernetesOptions } from "./options.ts";
import { Remover } from "./remove.ts";
import { failureOf, revert } from "./revert.ts";
import { Sweeper } from "./sweep.ts";
import { generationOf, OutdatedError, Writer } from "./writer.ts";

/** What of the options the workloads need. */
export interface WorkloadsOptions
  extends Omit<KubernetesOptions, "kubeconfig" | "context" | "podAccess" | "observe"> {
  /** Where it is noted what was corrected, given up or refused. */
  events?: Pick<EventRecorder, "note">;
}

/** A version younger than this may be another controller's, whose Deployment is on its way. */
const YOUNG_MS = 60_000;
/** How long a refused generation rests before it is tried again. */
const RETRY_MS = 240_000;
/** What blocks a pod without its Secret, its ConfigMap, or a copy of the authorities or pull secrets that it names. */
const MISSING = new Set(["MissingConfiguration", "FailedMount", "ImagePullBackOff"]);
/** What a rollout is judged by. */
const JUDGED = ["Deployment", "ReplicaSet", "Pod", "HorizontalPodAutoscaler"] as const satisfies Kind[];
/** The generation of what another controller, or another life of this one, has applied. */
const UNPROVED = -1;
/**
 * A newer generation in the cluster is another controller's, until the lease has been proved so often since: each apply
 * that fails is followed by a report to the database. Then somebody wrote the number by hand.
 */
const PATIENCE = 3;

/** The workloads of the installation as the controller deals with them: what it applied, and what there is of it. */
export class Workloads {
  readonly #options: WorkloadsOptions;
  readonly #view: ClusterView;
  readonly #writer: Writer;
  readonly #inventory: Inventory;
  readonly #applier: Applier;
  readonly #copies: Copies;
  readonly #remover: Remover;
  readonly #sweeper: Sweeper;
  readonly #namespaces: NamespaceRemover;
  readonly #api: KubeApi;
  readonly #mutex = new KeyedMutex();
  /** What this controller has applied, or found to be as it should: nothing secret. */
  readonly #intents = new Map<string, Intent>();
  /** What it tried last: its Secret may be there though its Deployment is not taken. */
  readonly #wished = new Map<string, Intent>();
  /** When this controller last applied the intent, also to put back what was missing: its time runs from then. */
  readonly #appliedAt = new Map<string, number>();
  /** Generations that the server does not take as they are, until they are tried again. */
  readonly #refused = new Map<string, { generation: number; failure: Failure; retryAt: number }>();
  /** Platforms that the server does not take, of agents whose generation it has taken. */
  readonly #refusedPlatforms = new Map<string, { id: string; failure: Failure; retryAt: number }>();
  /** How often in a row an apply found a newer generation. */
  readonly #outdated = new Map<string, number>();
  readonly #backoff: CorrectionBackoff;
  readonly #doors: Doors;
  /** What others changed and the next apply puts back. */
  readonly #drifts = new Map<string, readonly string[]>();
  #listener: (agentId: string) => void = () => {};
  #stopped = false;

  constructor(api: KubeApi, view: ClusterView, options: WorkloadsOptions) {
    const { clock, log, installation } = options;
    this.#options = options;
    this.#api = api;
    this.#view = view;
    this.#backoff = new CorrectionBackoff(clock, (agentId) => this.#listener(agentId));
    this.#inventory = new Inventory(api, installation, clock);
    this.#writer = new Writer({ api, view, inventory: this.#inventory, clock, log });
    const { writer, inventory } = { writer: this.#writer, inventory: this.#inventory };
    this.#copies = new Copies({
      ...options,
      api,
      view,
      inventory,
      writer,
      named: namedObjects(options),
      manifests: options,
    });
    const copies = this.#copies;
    this.#applier = new Applier({ api, view, clock, writer, inventory, copies, manifests: options });
    this.#remover = new Remover({ api, view, writer, installation });
    this.#namespaces = new NamespaceRemover({ api, writer, installation, log });
    this.#sweeper = new Sweeper({
      ...options,
      view,
      inventory,
      writer,
      namespaces: this.#namespaces,
      remove: (agentId, within) => this.#remover.remove(agentId, () => !this.#stopped, within),
      held: () => [...new Set([...this.#intents.keys(), ...this.#wished.keys()])],
      homes: () => this.#homes(),
      changed: (agentId) => this.#listener(agentId),
    });
    this.#doors = new Doors({
      applier: this.#applier,
      view,
      clock,
      log,
      // What was tried last, too: its answer may have been lost.
      intent: (agentId) => this.#wished.get(agentId) ?? this.#intents.get(agentId),
      refresh: (agentId) => this.refresh(agentId),
      asleep: () => [...this.#wished].flatMap(([agentId, { asleep }]) => (asleep ? [agentId] : [])),
      may: (agentId) => this.#may(agentId),
      inTurn: (agentId, work) => this.#mutex.run(agentId, work),
    });
    view.onChange((agentId) => {
      this.#listener(agentId);
      this.#sweeper.see(agentId);
      void this.#tidy(agentId);
      void this.#doors.tend(agentId);
    });
  }

  /** Begins to compare and to sweep now and then; the view is started by its owner. */
  start(): void {
    this.#sweeper.start();
    this.#copies.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#doors.stop();
    await Promise.all([this.#sweeper.stop(), this.#copies.stop()]);
  }

  watch(listener: (agentId: string) => void): void {
    this.#listener = listener;
  }

  list(): string[] {
    return this.#view.agents();
  }

  /** See {@link Cluster.apply}. What the server will never take is a failure of the generation, told by {@link get}. */
  async apply(workload: Workload): Promise<void> {
    const { agentId, generation } = workload;
    await this.#mutex.run(agentId, async () => {
      const { environment: _, ...intent } = workload;
      const before = this.#intents.get(agentId);
      this.#refused.delete(agentId);
      this.#refusedPlatforms.delete(agentId);
      this.#wished.set(agentId, intent);
      try {
        await this.#applier.apply(workload, this.#may(agentId), {
          isNews: before === undefined || before.generation < generation,
          evenNewer: (this.#outdated.get(agentId) ?? 0) >= PATIENCE,
        });
        this.#appliedAt.set(agentId, this.#options.clock.now());
        this.#intents.set(agentId, intent);
        this.#outdated.delete(agentId);
        this.#noteCorrection(workload);
      } catch (error) {
        if (error instanceof OutdatedError) {
          this.#outdated.set(agentId, (this.#outdated.get(agentId) ?? 0) + 1);
        }
        this.#refuse(workload, error);
      }
    });
    // Where nothing had to be written, no watch tells that it is done.
    this.#listener(agentId);
    void this.#doors.tend(agentId);
  }

  /**
   * See {@link Cluster.sleep}. Its Service leads to the controllers before its pods are told to end, and those serve on for a
   * few seconds: until then every proxy knows.
   */
  async sleep(workload: Workload): Promise<void> {
    await this.apply({ ...workload, replicas: 0, asleep: true });
  }

  /** The controllers' addresses have changed: all doors lead to them. */
  async moveDoors(): Promise<void> {
    await this.#doors.tendAll();
  }

  /** See {@link Cluster.revert}. */
  async revert(workload: Workload, failure: Failure): Promise<void> {
    const { agentId, generation } = workload;
    await this.#mutex.run(agentId, async () => {
      try {
        await revert(workload, failure, this.#may(agentId), {
          api: this.#api,
          applier: this.#applier,
          view: this.#view,
          writer: this.#writer,
          manifests: this.#options,
        });
        this.#note(workload, {
          type: "Warning",
          reason: "Reverted",
          action: "Revert",
          text: `Generation ${generation} was given up: ${failure.reason}: ${failure.message}`,
        });
      } catch (error) {
        this.#refuse(workload, error, failure);
      }
    });
    this.#listener(agentId);
  }

  /**
   * Everything of the agent goes, also when it is only stopped: what is not there needs no guard, no quota and no
   * secret, and a start makes it again in the time that a pod takes anyway.
   */
  async remove(agentId: string): Promise<void> {
    await this.#mutex.run(agentId, async () => {
      this.#intents.delete(agentId);
      this.#wished.delete(agentId);
      this.#appliedAt.delete(agentId);
      this.#refused.delete(agentId);
      this.#refusedPlatforms.delete(agentId);
      this.#outdated.delete(agentId);
      this.#backoff.forget(agentId);
      await this.#remover.remove(agentId, this.#may(agentId));
    });
    if (this.#view.objects(agentId).all.length === 0) this.#listener(agentId);
  }

  /**
   * What there is of the agent. Until this controller has compared it with what is wanted, its generation is older than
   * any: then it is applied, which writes nothing where nothing differs.
   */
  get(agentId: string, more: ObserveOptions = {}): ObservedWorkload | undefined {
    const { clock } = this.#options;
    // Half of what there is would be taken for all of it.
    if (!this.#view.synced) throw new Error("The cluster's state is still being read.");
    const objects = this.#view.objects(agentId);
    const observed = this.#observe(objects, more);
    const ending = this.#endingHome(agentId);
    if (ending !== undefined) return this.#homeless(agentId, observed, ending);
    const refused = this.#refused.get(agentId);
    const rests = refused !== undefined && clock.now() < refused.retryAt;
    if (rests && refused.generation >= (observed?.generation ?? 0)) {
      return { ...(observed ?? nothing(agentId, clock.now())), ...refused };
    }
    const refusedPlatform = this.#refusedPlatforms.get(agentId);
    if (observed !== undefined && refusedPlatform !== undefined && clock.now() < refusedPlatform.retryAt) {
      return { ...observed, platform: platformIn(objects) ?? "", refusedPlatform };
    }
    const intent = this.#intents.get(agentId);
    if (observed === undefined) {
      if (intent === undefined) return undefined;
      const { generation, template, replicas: wanted } = intent;
      const drift = [`Everything of ${agentId} was removed`];
      return { ...nothing(agentId, clock.now()), generation, template, wanted, drift };
    }
    if (failureOf(objects.deployment, observed.generation) !== undefined) return observed;
    if (intent?.generation !== observed.generation || !this.#isOfItsClass(intent)) {
      return { ...observed, generation: UNPROVED };
    }
    if (observed.replicas.some(({ blocked }) => MISSING.has(blocked?.reason ?? ""))) {
      this.#sweeper.suspect(objects.namespace?.metadata.name);
    }
    const platform = intent.platform?.id ?? "";
    const drift = this.#applier.differences(intent);
    if (drift.length === 0) return { ...observed, platform };
    // What is missing is put back in a moment; until then nobody can say that its replicas took too long.
    if (!this.#backoff.allows(agentId)) return { ...observed, platform, progressedAt: clock.now() };
    this.#drifts.set(agentId, drift);
    return { ...observed, platform, drift };
  }

  /** The namespaces of all agents that were applied here, or are being applied. */
  #homes(): Set<string> {
    const users = [...this.#intents.values(), ...this.#wished.values()].map(({ userId }) => userId);
    return new Set(
      users.flatMap((userId) => (userId === null ? [] : namespaceOf(this.#options.namespacePrefix, userId))),
    );
  }

  /** The agent's namespace, while it is being deleted. */
  #endingHome(agentId: string): Namespace | undefined {
    const userId = this.#intents.get(agentId)?.userId ?? this.#options.owner?.(agentId);
    if (userId == null) return undefined;
    const name = namespaceOf(this.#options.namespacePrefix, userId);
    const namespace: Namespace | undefined = this.#view.find("Namespace", "", name);
    return namespace?.metadata.deletionTimestamp === undefined ? undefined : namespace;
  }

  /** Nothing can be made or put back until the namespace is gone: what is left of the agent, and why. */
  #homeless(agentId: string, observed: ObservedWorkload | undefined, home: Namespace): ObservedWorkload {
    const { clock } = this.#options;
    const { failure: _, ...left } = observed ?? nothing(agentId, clock.now());
    const intent = this.#intents.get(agentId);
    return {
      ...left,
      ...(observed === undefined ? { gone: true } : {}),
      template: intent?.template ?? left.template,
      wanted: Math.max(left.wanted, intent?.replicas ?? 1),
      blocked: terminating(home),
      progressedAt: timeOf(home.metadata.deletionTimestamp) ?? clock.now(),
    };
  }

  /**
   * See {@link Cluster.refresh}: a watch may have said nothing for a while.
   * @throws {KubeError}
   */
  async refresh(agentId: string): Promise<void> {
    const [namespace] = this.#view.objects(agentId).all.map(({ metadata }) => metadata.namespace);
    if (namespace === undefined) return;
    const query = { namespace, labelSelector: agentSelector(this.#options.installation, agentId) };
    await Promise.all(
      JUDGED.map(async (kind) => this.#view.absorbAll(kind, agentId, await this.#api.list(kind, query))),
    );
  }

  /** The cluster's times are by its own clocks: one here that is ahead must not take a rollout's time away. */
  #observe(objects: AgentObjects, more: ObserveOptions): ObservedWorkload | undefined {
    const observed = observeWorkload(objects, this.#options.clock.now(), more);
    const appliedAt = this.#appliedAt.get(objects.agentId) ?? 0;
    if (observed !== undefined) observed.progressedAt = Math.max(observed.progressedAt, appliedAt);
    return observed;
  }

  /** Removes all that the installation has in the cluster for this database, but what others put beside it. */
  async removeAll(): Promise<void> {
    for (const namespace of this.#view.namespaces()) {
      const mark = namespace.metadata.annotations?.[ANNOTATIONS.database];
      if (this.#options.guard.isOurs(mark)) await this.#namespaces.remove(namespace, () => true);
    }
  }

  /** Namespaces that stay only for what others put into them. */
  get keptNamespaces(): number {
    return this.#namespaces.kept;
  }

  #noteCorrection(workload: Workload): void {
    const drift = this.#drifts.get(workload.agentId);
    if (drift === undefined) return;
    this.#drifts.delete(workload.agentId);
    this.#note(workload, {
      type: "Warning",
      reason: "Corrected",
      action: "Correct",
      text: `Changed by others and put back: ${drift.join("; ")}`,
    });
  }

  /** About the agent's Deployment, whether or not it could be made. */
  #note({ agentId, userId }: Pick<Workload, "agentId" | "userId">, note: Note): void {
    const uid = this.#view.objects(agentId).deployment?.metadata.uid;
    if (userId === null) return;
    const namespace = namespaceOf(this.#options.namespacePrefix, userId);
    const regarding = { apiVersion: "apps/v1", kind: "Deployment", namespace, name: agentId };
    this.#options.events?.note(uid === undefined ? regarding : { ...regarding, uid }, note);
  }

  /** Operators may have changed the class since, or given the user another one. */
  #isOfItsClass({ agentId, class: applied }: Intent): boolean {
    const now = this.#options.classOf?.(agentId);
    return now === undefined || canonical(now) === canonical(applied);
  }

  #may(agentId: string): () => boolean {
    const { guard, responsible } = this.#options;
    return () => !this.#stopped && guard.mayChange && responsible(agentId);
  }

  /** @throws what may pass soon; a verdict is remembered as the generation's failure for a while */
  #refuse(workload: Workload, error: unknown, known?: Failure): void {
    const { agentId, generation } = workload;
    const reason = refusalOf(error);
    if (error instanceof KubeError && (reason !== undefined || error.code === "FORBIDDEN")) {
      this.#note(workload, {
        type: "Warning",
        reason: error.code === "FORBIDDEN" ? "Forbidden" : "Refused",
        action: "Apply",
        text: error.message,
      });
    }
    if (reason === undefined) throw error;
    const failure = known ?? { reason, message: errorMessage(error) };
    this.#options.log.warn("the API server refuses a workload", { agentId, generation, ...failure });
    const { clock, random } = this.#options;
    const retryAt = clock.now() + jittered(RETRY_MS, 0.2, random);
    const objects = this.#view.objects(agentId);
    const id = workload.platform?.id;
    // What its owner wants is in place: it is the operators' change that is refused, and no failure of the generation.
    if (id !== undefined && generationOf(objects.deployment) === generation && platformIn(objects) !== id) {
      this.#refusedPlatforms.set(agentId, { id, failure, retryAt });
    } else this.#refused.set(agentId, { generation, failure, retryAt });
  }

  /** Old secrets and configurations go once the rollout is over and no pod is made of them any more. */
  async #tidy(agentId: string): Promise<void> {
    const { clock, log } = this.#options;
    const old = this.#oldVersions(agentId);
    if (old.length === 0 || !this.#may(agentId)() || isPaused(this.#view.objects(agentId))) return;
    try {
      await this.#mutex.run(agentId, async () => {
        for (const { kind, namespace, metadata } of this.#oldVersions(agentId)) {
          await this.#writer.remove(kind, namespace, metadata.name, this.#may(agentId), metadata.uid);
        }
      });
    } catch (error) {
      // They are still known, and the next change or resync tries again.
      log.debug("an old version could not be removed", {
        agentId,
        at: clock.now(),
        error: errorMessage(error),
      });
    }
  }

  #oldVersions(agentId: string) {
    const intent = this.#intents.get(agentId);
    if (intent === undefined || intent.userId === null) return [];
    const context = contextOf(intent, this.#options);
    const { namespace } = context;
    const wished = contextOf(this.#wished.get(agentId) ?? intent, this.#options);
    const wanted = new Set([context, wished].flatMap((one) => [configName(one), secretName(one)]));
    // Made for the agent's Ingress by somebody else.
    const certificate = tlsSecretOf(this.#options, agentId);
    // Pods that another version of the controller made may have names that this one would not choose.
    const live = JSON.stringify(this.#view.objects(agentId).deployment?.spec?.template ?? {});
    const now = this.#options.clock.now();
    const old = this.#inventory
      .all(namespace)
      .filter(
        ({ kind, metadata }) =>
          (kind === "Secret" || kind === "ConfigMap") &&
          metadata.labels?.[LABELS.agent] === agentId &&
          !wanted.has(metadata.name) &&
          metadata.name !== certificate &&
          !live.includes(JSON.stringify(metadata.name)) &&
          now - Date.parse(metadata.creationTimestamp ?? "") >= YOUNG_MS,
      );
    if (old.length === 0 || !isSettled(this.#view.objects(agentId), intent, now)) return [];
    return old.map(({ kind, metadata }) => ({ kind, namespace, metadata }));
  }
}

/** The rollout is over: the pods of one replica set alone, and they are ready. */
function isSettled(objects: AgentObjects, intent: Intent, now: number): boolean {
  const observed = observeWorkload(objects, now);
  if (observed === undefined || observed.generation !== intent.generation) return false;
  const alive = objects.replicaSets.filter(
    ({ spec, status }) => (spec?.replicas ?? 0) > 0 || (status?.replicas ?? 0) > 0,
  );
  return alive.length <= 1 && isComplete(observed.wanted, intent.template, observed.replicas);
}

/** The platform that the Deployment's pods are made with. */
function platformIn({ deployment }: AgentObjects): string | undefined {
  return deployment?.spec?.template?.metadata?.labels?.[LABELS.platform];
}

/** Why the server does not take the object as it is; undefined where the same call may work soon. */
function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof KubeError)) return undefined;
  if (error.code === "INVALID") return "INVALID_OBJECT";
  if (error.code === "QUOTA") return "QUOTA_EXCEEDED";
  // Without a right the operator must help, and then it works; a policy judges the object itself.
  if (error.code === "FORBIDDEN" && !/ cannot \w+ resource /.test(error.message))
    return "FORBIDDEN_BY_POLICY";
  return undefined;
}

function nothing(agentId: string, now: number): ObservedWorkload {
  return { agentId, generation: 0, template: "", wanted: 0, replicas: [], progressedAt: now };
}
