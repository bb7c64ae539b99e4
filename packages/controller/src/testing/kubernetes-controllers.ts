// Models the cluster's own controllers and a node.

import { backoff, type Clock } from "../clock.ts";
import type { KubeObject } from "../cluster/kubernetes/api.ts";
import { CONTAINER } from "../cluster/kubernetes/names.ts";
import { canonical } from "../reconcile/template.ts";
import type { KubernetesModel } from "./kubernetes-model.ts";

const MANAGER = "kube-controller-manager";
const HASH = "pod-template-hash";

interface DeploymentSpec {
  replicas: number;
  template: { metadata: { labels: Record<string, string> }; spec: PodSpec };
}

interface PodSpec {
  serviceAccountName: string;
  containers: { image: string; envFrom: { secretRef: { name: string } }[] }[];
  volumes: { name: string; configMap?: { name: string } }[];
}

interface SetSpec {
  replicas: number;
  template: DeploymentSpec["template"];
}

/** What a container does in each of its lives. */
export type Behaviour = "ready" | "crash" | "fatal";

/**
 * The parts of a cluster that turn Deployments into running pods: the deployment and replica set controllers, the
 * autoscaler, garbage collection, the ends of namespaces, and a node. All of it soon after each change, a step at a time.
 */
export class KubernetesControllers {
  readonly #model: KubernetesModel;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #behave: (config: { image?: string; model?: string | null }) => Behaviour;
  readonly #lives = new Map<string, () => void>();
  #due = false;
  #names = 0;

  constructor(
    model: KubernetesModel,
    clock: Clock,
    random: () => number,
    behave: (config: { image?: string; model?: string | null }) => Behaviour,
  ) {
    this.#model = model;
    this.#clock = clock;
    this.#random = random;
    this.#behave = behave;
    model.changed = () => this.#soon();
  }

  #soon(): void {
    if (this.#due) return;
    this.#due = true;
    this.#clock.after(2 + this.#random() * 20, () => {
      this.#due = false;
      this.#step();
    });
  }

  #step(): void {
    const model = this.#model;
    for (const deployment of model.all("Deployment")) this.#deployment(deployment);
    for (const set of model.all("ReplicaSet")) this.#replicaSet(set);
    for (const pod of model.all("Pod")) this.#pod(pod);
    for (const space of model.all("Namespace")) this.#namespace(space);
    for (const scaler of model.all("HorizontalPodAutoscaler")) this.#autoscaler(scaler);
    this.#collect();
  }

  #deployment(deployment: KubeObject): void {
    const model = this.#model;
    const { name, namespace = "", uid } = deployment.metadata;
    const spec = deployment.spec as DeploymentSpec;
    const sets = model.all("ReplicaSet").filter((set) => ownedBy(set, uid));
    const wanted = once(texts, spec.template, canonical);
    let current = sets.find((set) => once(texts, specOf(set).template, textWithoutHash) === wanted);
    if (current === undefined) {
      this.#names += 1;
      const hash = `h${this.#names}`;
      const labels = { ...spec.template.metadata.labels, [HASH]: hash };
      current = model.create("ReplicaSet", MANAGER, {
        metadata: {
          name: `${name}-${hash}`,
          namespace,
          labels,
          annotations: { "deployment.kubernetes.io/revision": String(this.#names) },
          ownerReferences: [owner("Deployment", deployment)],
        },
        spec: { replicas: 0, template: { metadata: { labels }, spec: spec.template.spec } },
      });
    }
    this.#roll(
      spec.replicas,
      current,
      sets.filter((set) => set.metadata.uid !== current.metadata.uid),
    );
    const all = model.all("ReplicaSet").filter((set) => ownedBy(set, uid));
    const count = (field: "replicas" | "readyReplicas") =>
      all.reduce((sum, set) => sum + (statusOf(set)[field] ?? 0), 0);
    model.report("Deployment", namespace, name, {
      observedGeneration: deployment.metadata.generation,
      replicas: count("replicas"),
      readyReplicas: count("readyReplicas"),
      availableReplicas: count("readyReplicas"),
    });
    const idle = all.filter(
      (set) =>
        set.metadata.uid !== current.metadata.uid && specOf(set).replicas === 0 && !statusOf(set).replicas,
    );
    for (const set of idle.slice(0, -2)) model.finish("ReplicaSet", namespace, set.metadata.name);
  }

  /**
   * maxSurge 1, maxUnavailable 0. What is ready is counted by the pods: a set's status is behind, and Kubernetes ends no ready
   * pod for that.
   */
  #roll(wanted: number, current: KubeObject, old: KubeObject[]): void {
    const total = [current, ...old].reduce((sum, set) => sum + specOf(set).replicas, 0);
    const own = specOf(current).replicas;
    const most = wanted + (old.some((set) => specOf(set).replicas > 0) ? 1 : 0);
    if (own > wanted) this.#scale(current, wanted);
    else if (own < wanted) this.#scale(current, Math.min(wanted, own + Math.max(0, most - total)));
    let spare = [current, ...old].reduce((sum, set) => sum + this.#readyIn(set), 0) - wanted;
    for (const set of old) {
      const { replicas } = specOf(set);
      const ready = this.#readyIn(set);
      // What serves nobody goes first.
      const kept = ready - Math.max(0, Math.min(ready, spare));
      spare -= ready - kept;
      if (kept !== replicas) this.#scale(set, kept);
    }
  }

  #readyIn(set: KubeObject): number {
    const pods = this.#model.all("Pod").filter((pod) => ownedBy(pod, set.metadata.uid) && isReady(pod));
    return Math.min(pods.length, specOf(set).replicas);
  }

  #scale(set: KubeObject, replicas: number): void {
    const { name, namespace = "" } = set.metadata;
    this.#model.edit("ReplicaSet", namespace, name, MANAGER, (object) => {
      (object.spec as SetSpec).replicas = replicas;
    });
  }

  #replicaSet(set: KubeObject): void {
    const model = this.#model;
    const { name, namespace = "", uid } = set.metadata;
    const { replicas, template } = specOf(set);
    const pods = model.all("Pod").filter((pod) => ownedBy(pod, uid));
    const active = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    for (let count = active.length; count < replicas; count += 1) {
      this.#names += 1;
      model.create("Pod", MANAGER, {
        metadata: {
          name: `${name}-${this.#names}`,
          namespace,
          labels: template.metadata.labels,
          ownerReferences: [owner("ReplicaSet", set)],
        },
        spec: template.spec,
      });
    }
    const order = [...active].sort((a, b) => Number(isReady(a)) - Number(isReady(b)));
    for (const pod of order.slice(0, Math.max(0, active.length - replicas))) {
      model.remove("Pod", namespace, pod.metadata.name);
    }
    model.report("ReplicaSet", namespace, name, {
      replicas: active.length,
      readyReplicas: active.filter(isReady).length,
    });
  }

  /** The node: starts what it finds, ends what is to end. */
  #pod(pod: KubeObject): void {
    const { uid = "", name, namespace = "", deletionTimestamp } = pod.metadata;
    if (deletionTimestamp !== undefined) {
      if (this.#lives.get(uid) === ending) return;
      this.#lives.get(uid)?.();
      this.#lives.set(uid, ending);
      this.#clock.after(10 + this.#random() * 500, () => {
        this.#lives.delete(uid);
        this.#model.finish("Pod", namespace, name);
      });
    } else if (!this.#lives.has(uid)) {
      this.#lives.set(uid, () => {});
      this.#live(uid, namespace, name, 0);
    }
  }

  #live(uid: string, namespace: string, name: string, ends: number): void {
    const config = this.#configOf(namespace, name);
    const startedAt = new Date(this.#clock.now()).toISOString();
    if (config === undefined) {
      this.#say(
        namespace,
        name,
        uid,
        { waiting: { reason: "CreateContainerConfigError", message: missing } },
        ends,
      );
      this.#then(uid, 1000, () => this.#live(uid, namespace, name, ends));
      return;
    }
    const behaviour = this.#behave(config);
    this.#say(namespace, name, uid, { running: { startedAt } }, ends);
    this.#then(uid, 50, () => {
      if (behaviour === "ready") this.#say(namespace, name, uid, { running: { startedAt } }, ends, true);
      else this.#end(uid, namespace, name, ends, behaviour === "fatal" ? 78 : 1, startedAt);
    });
  }

  #end(
    uid: string,
    namespace: string,
    name: string,
    ends: number,
    exitCode: number,
    startedAt: string,
  ): void {
    const reason = exitCode === 78 ? { reason: "PLUGIN_NOT_FOUND" } : {};
    const terminated = {
      exitCode,
      reason: "Error",
      message: JSON.stringify({ level: "ERROR", message: "it broke", source: "runtime", metadata: reason }),
      startedAt,
      finishedAt: new Date(this.#clock.now()).toISOString(),
    };
    const state = { waiting: { reason: "CrashLoopBackOff", message: "" } };
    this.#say(namespace, name, uid, state, ends, false, terminated);
    this.#then(uid, backoff(ends + 1, 500, 60_000), () => this.#live(uid, namespace, name, ends + 1));
  }

  /** Ends a container as a fault would. */
  kill(namespace: string, name: string): void {
    const pod = this.#model.get("Pod", namespace, name);
    const uid = pod?.metadata.uid;
    if (pod === undefined || uid === undefined || !isReady(pod)) return;
    const status = containerStatus(pod);
    this.#end(uid, namespace, name, status?.restartCount ?? 0, 1, status?.state?.running?.startedAt ?? "");
  }

  #then(uid: string, milliseconds: number, next: () => void): void {
    this.#lives.get(uid)?.();
    this.#lives.set(uid, this.#clock.after(milliseconds, next));
  }

  #say(
    namespace: string,
    name: string,
    uid: string,
    state: Record<string, unknown>,
    restartCount: number,
    ready = false,
    terminated?: Record<string, unknown>,
  ): void {
    const pod = this.#model.get("Pod", namespace, name);
    if (pod === undefined || pod.metadata.uid !== uid) return;
    const now = new Date(this.#clock.now()).toISOString();
    const last =
      terminated ?? (containerStatus(pod)?.lastState as { terminated?: unknown } | undefined)?.terminated;
    this.#model.report("Pod", namespace, name, {
      phase: "Running",
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: now }],
      containerStatuses: [
        {
          name: CONTAINER,
          ready,
          restartCount,
          state,
          ...(last === undefined ? {} : { lastState: { terminated: last } }),
        },
      ],
    });
  }

  /** What the container is told; undefined while a part of it is missing. */
  #configOf(namespace: string, name: string): { image?: string; model?: string | null } | undefined {
    const spec = this.#model.get("Pod", namespace, name)?.spec as PodSpec | undefined;
    const secret = spec?.containers[0]?.envFrom[0]?.secretRef.name ?? "";
    const map = spec?.volumes.find((volume) => volume.configMap !== undefined)?.configMap?.name ?? "";
    const data = this.#model.get("ConfigMap", namespace, map)?.data as Record<string, string> | undefined;
    if (this.#model.get("Secret", namespace, secret) === undefined || data === undefined) return undefined;
    const config = JSON.parse(data["agent.json"] ?? "{}") as { model?: string | null };
    return { ...config, image: spec?.containers[0]?.image ?? "" };
  }

  #autoscaler(scaler: KubeObject): void {
    const { name, namespace = "" } = scaler.metadata;
    const { minReplicas, maxReplicas } = scaler.spec as { minReplicas: number; maxReplicas: number };
    const deployment = this.#model.get("Deployment", namespace, name);
    const replicas = (deployment?.spec as DeploymentSpec | undefined)?.replicas ?? 0;
    if (replicas === 0) return;
    const next = Math.min(maxReplicas, Math.max(minReplicas, replicas));
    if (next === replicas) return;
    this.#model.edit("Deployment", namespace, name, MANAGER, (object) => {
      (object.spec as DeploymentSpec).replicas = next;
    });
  }

  #namespace({ metadata }: KubeObject): void {
    if (metadata.deletionTimestamp === undefined) return;
    const kinds = ["Deployment", "ReplicaSet", "Secret", "ConfigMap", "ServiceAccount", "Service"] as const;
    const more = ["HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress", "NetworkPolicy"] as const;
    const bounds = ["ResourceQuota", "LimitRange", "RoleBinding"] as const;
    for (const kind of [...kinds, ...more, ...bounds]) {
      for (const object of this.#model.all(kind)) {
        if (object.metadata.namespace === metadata.name) {
          this.#model.finish(kind, metadata.name, object.metadata.name);
        }
      }
    }
    const pods = this.#model.all("Pod").filter((pod) => pod.metadata.namespace === metadata.name);
    for (const pod of pods) this.#model.remove("Pod", metadata.name, pod.metadata.name);
    if (pods.length === 0 && !this.#model.stuck.has(metadata.name))
      this.#model.finish("Namespace", "", metadata.name);
  }

  /** What lost its owner goes. */
  #collect(): void {
    const uids = new Set(
      (["Deployment", "ReplicaSet"] as const).flatMap((kind) =>
        this.#model.all(kind).map(({ metadata }) => metadata.uid),
      ),
    );
    for (const kind of ["ReplicaSet", "Pod"] as const) {
      for (const { metadata } of this.#model.all(kind)) {
        const [first] = metadata.ownerReferences ?? [];
        if (first !== undefined && !uids.has(first.uid))
          this.#model.remove(kind, metadata.namespace ?? "", metadata.name);
      }
    }
  }
}

const missing = 'secret "it" not found';
const ending = () => {};

function owner(kind: string, { metadata }: KubeObject) {
  return { apiVersion: "apps/v1", kind, name: metadata.name, uid: metadata.uid ?? "", controller: true };
}

function ownedBy({ metadata }: KubeObject, uid: string | undefined): boolean {
  return metadata.ownerReferences?.[0]?.uid === uid;
}

function specOf(set: KubeObject): SetSpec {
  return set.spec as SetSpec;
}

function statusOf(set: KubeObject): { replicas?: number; readyReplicas?: number } {
  return (set.status ?? {}) as { replicas?: number; readyReplicas?: number };
}

/** Of templates; a stored object's is replaced, never edited. */
const texts = new WeakMap<DeploymentSpec["template"], string>();

function once<K extends WeakKey, V>(known: WeakMap<K, V>, key: K, make: (key: K) => V): V {
  const value = known.get(key) ?? make(key);
  known.set(key, value);
  return value;
}

function textWithoutHash({ metadata, spec }: DeploymentSpec["template"]): string {
  const { [HASH]: _, ...labels } = metadata.labels;
  return canonical({ metadata: { labels }, spec });
}

interface Status {
  conditions?: { type: string; status: string }[];
  containerStatuses?: {
    restartCount: number;
    state?: { running?: { startedAt: string } };
    lastState?: unknown;
  }[];
}

function containerStatus(pod: KubeObject) {
  return (pod.status as Status | undefined)?.containerStatuses?.[0];
}

/** Whether the pod counts among those that serve. */
export function isReady(pod: KubeObject): boolean {
  const conditions = (pod.status as Status | undefined)?.conditions ?? [];
  return (
    pod.metadata.deletionTimestamp === undefined &&
    conditions.some(({ type, status }) => type === "Ready" && status === "True")
  );
}
