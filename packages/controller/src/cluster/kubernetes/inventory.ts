// Remembers which Secrets and ConfigMaps exist, since these are not watched.

import type { Clock } from "../../clock.ts";
import { type Kind, type KubeApi, KubeError, type ObjectMeta } from "./api.ts";
import { installationSelector, LABELS } from "./names.ts";

/** Kinds that are not watched: the right to list them in all namespaces is the right to read them there. */
export const UNWATCHED = ["Secret", "ConfigMap"] as const satisfies Kind[];

/**
 * Which objects of the unwatched kinds there are, by namespace: names and labels, never what they hold. Read once per
 * namespace and again in turns (see Sweeper); own writes are noted in between.
 */
export class Inventory {
  readonly #api: Pick<KubeApi, "list">;
  readonly #selector: string;
  readonly #namespaces = new Map<string, Promise<Map<string, ObjectMeta>>>();
  readonly #versions = new Map<string, number>();
  /** Counts for all namespaces: one that was forgotten has no number again that it had before. */
  #changes = 0;
  readonly #known = new Map<string, Map<string, ObjectMeta>>();
  readonly #askedAt = new Map<string, number>();
  readonly #clock: Pick<Clock, "now">;

  constructor(api: Pick<KubeApi, "list">, installation: string, clock: Pick<Clock, "now">) {
    this.#api = api;
    this.#clock = clock;
    this.#selector = installationSelector(installation);
  }

  /** Reads the namespace, unless it was read before. */
  async load(namespace: string): Promise<void> {
    await (this.#namespaces.get(namespace) ?? this.refresh(namespace));
  }

  /**
   * Reads the namespace again.
   * @throws {KubeError} when it cannot be read: then what was known stays
   */
  async refresh(namespace: string): Promise<void> {
    this.#askedAt.set(namespace, this.#clock.now());
    const reading = this.#read(namespace);
    this.#namespaces.set(namespace, reading);
    try {
      this.#known.set(namespace, await reading);
      this.#changed(namespace);
    } catch (error) {
      if (this.#namespaces.get(namespace) === reading) this.#namespaces.delete(namespace);
      throw error;
    }
  }

  /** What there is in a namespace, without keeping it in mind. */
  async peek(namespace: string): Promise<{ kind: Kind; metadata: ObjectMeta }[]> {
    return entries(await this.#read(namespace));
  }

  /** Undefined: there is none, or the namespace was never read. */
  find(kind: Kind, namespace: string, name: string): ObjectMeta | undefined {
    return this.#known.get(namespace)?.get(`${kind}/${name}`);
  }

  /** Another number after each change of what is known of the namespace. */
  version(namespace: string): number {
    return this.#versions.get(namespace) ?? 0;
  }

  isLoaded(namespace: string): boolean {
    return this.#known.has(namespace);
  }

  /** Every object known in the namespace. */
  all(namespace: string): { kind: Kind; metadata: ObjectMeta }[] {
    return entries(this.#known.get(namespace) ?? new Map());
  }

  note(kind: Kind, namespace: string, metadata: ObjectMeta): void {
    this.#known.get(namespace)?.set(`${kind}/${metadata.name}`, slim(metadata));
    this.#changed(namespace);
  }

  drop(kind: Kind, namespace: string, name: string): void {
    this.#known.get(namespace)?.delete(`${kind}/${name}`);
    this.#changed(namespace);
  }

  /** Whatever was known of the agent is of another time. */
  dropAgent(namespace: string, agentId: string): void {
    for (const { kind, metadata } of this.all(namespace)) {
      if (metadata.labels?.[LABELS.agent] === agentId) this.drop(kind, namespace, metadata.name);
    }
  }

  /** The namespace is gone. */
  forget(namespace: string): void {
    this.#known.delete(namespace);
    this.#askedAt.delete(namespace);
    this.#versions.delete(namespace);
    this.#namespaces.delete(namespace);
  }

  /** When the namespace was last asked for, whatever the answer was. */
  askedAt(namespace: string): number {
    return this.#askedAt.get(namespace) ?? Number.NEGATIVE_INFINITY;
  }

  /** Namespaces that were read. */
  namespaces(): string[] {
    return [...this.#known.keys()];
  }

  #changed(namespace: string): void {
    this.#changes += 1;
    this.#versions.set(namespace, this.#changes);
  }

  async #read(namespace: string): Promise<Map<string, ObjectMeta>> {
    const lists = await Promise.all(
      UNWATCHED.map(async (kind) => {
        const query = { namespace, labelSelector: this.#selector, metadataOnly: true };
        const { items } = await this.#api.list(kind, query);
        return items.map(({ metadata }) => [`${kind}/${metadata.name}`, slim(metadata)] as const);
      }),
    );
    return new Map(lists.flat());
  }
}

function entries(objects: Map<string, ObjectMeta>): { kind: Kind; metadata: ObjectMeta }[] {
  return [...objects].map(([key, metadata]) => ({ kind: key.slice(0, key.indexOf("/")) as Kind, metadata }));
}

function slim({
  name,
  labels,
  annotations,
  uid,
  creationTimestamp,
  deletionTimestamp,
}: ObjectMeta): ObjectMeta {
  return {
    name,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
}

/** Whether the answer only says that the controller may not read there: as before its role is bound. */
export function isForbidden(error: unknown): boolean {
  return error instanceof KubeError && error.code === "FORBIDDEN";
}
