// Applies an agent's objects to Kubernetes in a safe order.

import type { Quota } from "../../contract.ts";
import type { Workload } from "../cluster.ts";
import { type Kind, KubeError, type KubeObject, type ManagedFields } from "./api.ts";
import type { Copies } from "./copies.ts";
import { type Inventory, isForbidden } from "./inventory.ts";
import { type WorkloadManifests, workloadManifests } from "./manifests/agent-manifests.ts";
import { contextOf, type Intent } from "./manifests/context.ts";
import { doorSlices } from "./manifests/door.ts";
import { inItsForm } from "./manifests/form.ts";
import { BOUNDS, type NamespaceManifests, quotaOf } from "./manifests/namespace.ts";
import { KeyedMutex } from "./mutex.ts";
import { ANNOTATIONS, FIELD_MANAGER, LABELS, namespaceOf } from "./names.ts";
import type { ClusterView } from "./observe/view.ts";
import type { ManifestOptions } from "./options.ts";
import { isUnwatched, type May, type Writer, type WriterOptions } from "./writer.ts";

export interface ApplierOptions extends Pick<WriterOptions, "api" | "clock"> {
  view: Pick<ClusterView, "absence" | "find" | "objects" | "ofUser">;
  writer: Writer;
  inventory: Inventory;
  copies: Pick<Copies, "into">;
  manifests: ManifestOptions;
}

export interface ApplyWorkloadOptions {
  /** The workload was just told by the database, and so is the newest of its user's; true by default. */
  isNews?: boolean;
  /** Also over a Deployment of a newer generation. */
  evenNewer?: boolean;
  /** Of the Deployment before it is written, for what is not an ordinary apply. */
  change?: (deployment: KubeObject) => KubeObject;
}

/** Kinds of an agent that may be wanted at one time and not at another. */
const OPTIONAL = new Set([
  "HorizontalPodAutoscaler",
  "Ingress",
  "HTTPRoute",
  "Service",
  "PodDisruptionBudget",
]);

/**
 * Makes workloads: every object of the agent and of its user's namespace, in an order in which nothing runs with a part
 * missing, and only what is not there already. Each call may be the last of this process: the next apply goes on.
 */
export class Applier {
  readonly #options: ApplierOptions;
  readonly #namespaces = new KeyedMutex();
  readonly #verdicts = new WeakMap<Intent, { versions: string; words: string[] }>();

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /**
   * @throws {KubeError} when the server does not take it
   * @throws {OutdatedError} when another controller has the agent
   */
  async apply(workload: Workload, may: May, more: ApplyWorkloadOptions = {}): Promise<void> {
    const { inventory, view, writer } = this.#options;
    const { isNews = true, evenNewer = false, change = same } = more;
    const manifests = this.#manifests(workload, isNews ? workload.quota : this.#quota(workload));
    for (const { kind } of manifests.beside) {
      const absence = view.absence(kind as Kind);
      if (absence !== undefined) throw new KubeError("NOT_FOUND", absence);
    }
    await this.#user(manifests.user, may);
    // What was known of the rest is of another time: another controller has removed the agent since.
    if (writer.live(manifests.anchor) === undefined) {
      inventory.dropAgent(manifests.user.namespace.metadata.name, workload.agentId);
    }
    await writer.apply(manifests.anchor, may);
    await all([...manifests.before, ...manifests.beside].map((object) => writer.apply(object, may)));
    // First, so that its pods end while its Service leads somewhere.
    await this.openDoor(workload, may);
    const deployment = change(await this.#withReplicas(manifests, workload));
    await writer.apply(deployment, may, { fenced: true, evenNewer, ignore: ignored(manifests) });
    await all(manifests.after.map((object) => writer.apply(object, may)));
    await this.#removeUnwanted(workload.agentId, manifests, may);
  }

  /**
   * Makes the slices of a sleeping agent what they should be: the controllers, of which some may be new.
   * @throws {KubeError} where no controller's address is known: an agent without a door does not go to sleep
   */
  async openDoor(intent: Intent, may: May): Promise<void> {
    const { manifests, view, writer } = this.#options;
    if (intent.asleep !== true || manifests.door === undefined) return;
    const slices = doorSlices(contextOf(intent, manifests), manifests.door);
    if (slices.length === 0)
      throw new KubeError("BUSY", "The addresses of the controllers are not known yet.");
    await all(slices.map((slice) => writer.apply(slice, may)));
    const wanted = new Set(slices.map(({ metadata }) => metadata.name));
    await this.#removeSlices(
      view.objects(intent.agentId).all,
      may,
      ({ metadata }) => !wanted.has(metadata.name),
    );
  }

  /** Takes the slices away from an agent that serves on its own again. */
  async closeDoor(agentId: string, may: May): Promise<void> {
    await this.#removeSlices(this.#options.view.objects(agentId).all, may, () => true);
  }

  async #removeSlices(
    objects: readonly KubeObject[],
    may: May,
    isUnwanted: (slice: KubeObject) => boolean,
  ): Promise<void> {
    const { api } = this.#options;
    const unwanted = objects.filter(
      (one) =>
        one.kind === "EndpointSlice" && one.metadata.deletionTimestamp === undefined && isUnwanted(one),
    );
    await all(
      unwanted.map(async ({ metadata: { name, namespace = "", resourceVersion, uid } }) => {
        if (!may()) return;
        await api.delete("EndpointSlice", namespace, name, {
          ...(uid === undefined ? {} : { uid }),
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        });
      }),
    );
  }

  /**
   * In words, what of a workload's objects is not as it was applied.
   * @param intent what was applied
   */
  differences(intent: Intent): string[] {
    // A look at an agent of which nothing has changed since the last look costs next to nothing.
    const versions = this.#versions(intent);
    const before = this.#verdicts.get(intent);
    if (before?.versions === versions) return before.words;
    const words = this.#compare(intent);
    this.#verdicts.set(intent, { versions, words });
    return words;
  }

  #versions({ agentId, userId }: Intent): string {
    const { inventory, manifests, view, writer } = this.#options;
    const namespace = namespaceOf(manifests.namespacePrefix, userId ?? "");
    const mine = view.objects(agentId).all.filter(({ kind }) => kind !== "Pod" && kind !== "ReplicaSet");
    const objects = [...mine, ...view.ofUser(userId ?? "")];
    const versions = objects.map(({ metadata }) => `${metadata.uid}:${metadata.resourceVersion}`);
    const served = view.absence("HTTPRoute") === undefined;
    return [inventory.version(namespace), writer.version, served, ...versions].join(" ");
  }

  #compare(intent: Intent): string[] {
    const { writer, inventory, view } = this.#options;
    const manifests = this.#manifests(intent, this.#quota(intent));
    const { user, anchor, before, beside, deployment, after } = manifests;
    const read = inventory.isLoaded(user.namespace.metadata.name);
    return [
      ...[user.namespace, ...user.bounds, anchor, ...before, ...beside, ...after]
        // Of what was never read nothing is said, nor of what cannot be there.
        .filter(({ kind }) => read || !isUnwatched(kind as Kind))
        .filter(({ kind }) => view.absence(kind as Kind) === undefined)
        .flatMap((object) => writer.differences(object)),
      ...writer.differences(deployment, ignored(manifests)),
    ];
  }

  #manifests(workload: Intent & Partial<Workload>, quota: Quota | null): WorkloadManifests {
    const made = workloadManifests(workload, this.#options.manifests, quota);
    const { name, namespace = "" } = made.deployment.metadata;
    const live = this.#options.view.find("Deployment", namespace, name);
    return { ...made, deployment: inItsForm(made.deployment, live, workload.platform) };
  }

  /** What the namespace is bounded by now: the user's other agents may have brought a newer quota than this one's. */
  #quota({ userId, quota }: Intent): Quota | null {
    const namespace = namespaceOf(this.#options.manifests.namespacePrefix, userId ?? "");
    return quotaOf(this.#options.view.find("ResourceQuota", namespace, BOUNDS)) ?? quota;
  }

  /**
   * The namespace first; then the controller's role in it; then what bounds it, before anything runs in it. One at a
   * time for each namespace: a user's agents come together.
   */
  async #user(manifests: NamespaceManifests, may: May): Promise<void> {
    const { writer, inventory } = this.#options;
    const { name } = manifests.namespace.metadata;
    await this.#namespaces.run(name, async () => {
      const made = await this.#namespace(manifests.namespace, may);
      if (made) await this.#bind(manifests, may);
      try {
        await inventory.load(name);
      } catch (error) {
        if (!isForbidden(error) || (!made && manifests.access.length === 0)) throw error;
        // An earlier life made the namespace and got no further; or somebody took the role away.
        if (!made) await this.#bind(manifests, may);
        await writer.reading(name, () => inventory.load(name));
      }
      await all(manifests.bounds.map((object) => writer.apply(object, may)));
      await this.#options.copies.into(name, may);
    });
  }

  async #bind({ namespace, access }: NamespaceManifests, may: May): Promise<void> {
    for (const object of access) await this.#options.writer.apply(object, may);
    if (access.length > 0) this.#options.writer.granted(namespace.metadata.name);
  }

  /** @returns whether it was made just now */
  async #namespace(wanted: KubeObject, may: May): Promise<boolean> {
    const { api, view, writer, inventory } = this.#options;
    const { name } = wanted.metadata;
    let live = view.find("Namespace", "", name);
    const known = live !== undefined;
    live ??= await api.get("Namespace", "", name);
    if (live?.metadata.deletionTimestamp !== undefined) {
      inventory.forget(name);
      throw new KubeError(
        "TERMINATING",
        `The namespace ${name} is being deleted; nothing can be made in it until it is gone.`,
      );
    }
    const owner = live?.metadata.labels?.[LABELS.installation];
    if (live !== undefined && !known && owner !== wanted.metadata.labels?.[LABELS.installation]) {
      throw new KubeError(
        "INVALID",
        `The namespace ${name} exists and is not this installation's; remove it, or choose another prefix.`,
      );
    }
    const database = live?.metadata.annotations?.[ANNOTATIONS.database];
    if (database !== undefined && !this.#options.manifests.isOurs(database)) {
      throw new KubeError(
        "INVALID",
        `The namespace ${name} belongs to the database ${database}; take it over with \`launchpad fleet adopt ${database}\`.`,
      );
    }
    if (live === undefined) inventory.forget(name);
    await writer.apply(wanted, may);
    return live === undefined;
  }

  /**
   * With an autoscaler the number is its own, unless a person has just asked for another. A number that we still own is
   * said again, as it is now: to leave it out would set it back to one.
   */
  async #withReplicas(manifests: WorkloadManifests, workload: Workload): Promise<KubeObject> {
    const { deployment, autoscaled } = manifests;
    if (!autoscaled) return deployment;
    const { name, namespace = "" } = deployment.metadata;
    const seen = this.#options.view.find("Deployment", namespace, name);
    const asked = seen?.metadata.annotations?.[ANNOTATIONS.replicas];
    if (seen === undefined || asked !== String(workload.replicas)) return deployment;
    // Nothing else differs: then nothing is written, whoever owns the number.
    if (this.#options.writer.differences(deployment, ["spec.replicas"]).length === 0) return deployment;
    // The view does not keep who owns which field.
    const live = (await this.#options.api.get("Deployment", namespace, name)) ?? seen;
    const { replicas: _, ...spec } = deployment.spec as { replicas?: number };
    const owned = ownsReplicas(live.metadata.managedFields);
    const current = (live.spec as { replicas?: number } | undefined)?.replicas;
    // Scaled to nothing, an autoscaler rests: then the number that was asked for is the one to begin with.
    if (current === 0) return deployment;
    return { ...deployment, spec: owned ? { ...spec, replicas: current } : spec };
  }

  /** What an earlier generation had and this one has not: an autoscaler, a way in. */
  async #removeUnwanted(agentId: string, manifests: WorkloadManifests, may: May): Promise<void> {
    const wanted = new Set(
      [manifests.anchor, ...manifests.beside, ...manifests.after].map(
        ({ kind, metadata }) => `${kind}/${metadata.name}`,
      ),
    );
    const surplus = this.#options.view
      .objects(agentId)
      .all.filter(
        ({ kind, metadata }) =>
          OPTIONAL.has(kind) &&
          metadata.deletionTimestamp === undefined &&
          !wanted.has(`${kind}/${metadata.name}`),
      );
    await all(
      surplus.map(({ kind, metadata }) =>
        this.#options.writer.remove(
          kind as "Ingress",
          metadata.namespace ?? "",
          metadata.name,
          may,
          metadata.uid,
        ),
      ),
    );
  }
}

/** What of the Deployment is the autoscaler's. */
function ignored({ autoscaled }: WorkloadManifests): string[] {
  return autoscaled ? ["spec.replicas"] : [];
}

function ownsReplicas(fields: readonly ManagedFields[] = []): boolean {
  return fields.some(({ manager, operation, fieldsV1 }) => {
    if (manager !== FIELD_MANAGER || operation !== "Apply") return false;
    const spec = fieldsV1?.["f:spec"];
    return spec !== null && typeof spec === "object" && "f:replicas" in spec;
  });
}

function same(deployment: KubeObject): KubeObject {
  return deployment;
}

/** Waits for all, also when one fails: nothing of it goes on behind the caller's back. */
async function all(work: Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
