import type { Kind, KubeObject } from "../api.ts";
import { LABELS } from "../names.ts";
import { isLater, trim } from "./objects.ts";

/** What changed: the object before and after, of which one may be missing. */
export type Change = (kind: Kind, before: KubeObject | undefined, after: KubeObject | undefined) => void;

/** The objects of the installation by kind and name, and by the agent or user whose they are. */
export class Store {
  readonly #kinds = new Map<Kind, Map<string, KubeObject>>();
  readonly #agents = new Map<string, Map<string, Entry>>();
  readonly #users = new Map<string, Map<string, Entry>>();
  readonly #changed: Change;

  constructor(changed: Change) {
    this.#changed = changed;
  }

  find(kind: Kind, namespace: string, name: string): KubeObject | undefined {
    return this.#kinds.get(kind)?.get(`${namespace}/${name}`);
  }

  agents(): string[] {
    return [...this.#agents.keys()];
  }

  users(): string[] {
    return [...this.#users.keys()];
  }

  /** Everything with the agent's label. */
  ofAgent(agentId: string): Iterable<Entry> {
    return this.#agents.get(agentId)?.values() ?? [];
  }

  /** Everything with the user's label. */
  ofUser(userId: string): Iterable<Entry> {
    return this.#users.get(userId)?.values() ?? [];
  }

  all(kind: Kind): Iterable<KubeObject> {
    return this.#kinds.get(kind)?.values() ?? [];
  }

  /** Takes an object unless a later version of it is known. */
  put(kind: Kind, object: KubeObject): void {
    const objects = this.#of(kind);
    const key = keyOf(object);
    const before = objects.get(key);
    if (before !== undefined && !isLater(object.metadata.resourceVersion, before.metadata.resourceVersion)) {
      return;
    }
    const after = trim(kind, object);
    objects.set(key, after);
    this.#index(kind, key, before, after);
    this.#changed(kind, before, after);
  }

  /** Lets go of an object, unless what is known of that name is later than its end. */
  remove(kind: Kind, object: KubeObject): void {
    const before = this.#of(kind).get(keyOf(object));
    if (before === undefined || isLater(before.metadata.resourceVersion, object.metadata.resourceVersion)) {
      return;
    }
    this.#drop(kind, before);
  }

  /** Takes a list of all there is as of `version`: what is missing from it is gone, except what came later. */
  replace(kind: Kind, items: readonly KubeObject[], version: string): void {
    const present = new Set(items.map(keyOf));
    for (const [key, object] of this.#of(kind)) {
      if (present.has(key) || isLater(object.metadata.resourceVersion, version)) continue;
      this.#drop(kind, object);
    }
    for (const item of items) this.put(kind, item);
  }

  /** Lets go of every object of the kind. */
  clear(kind: Kind): void {
    for (const object of [...this.#of(kind).values()]) this.#drop(kind, object);
  }

  #drop(kind: Kind, object: KubeObject): void {
    const key = keyOf(object);
    this.#of(kind).delete(key);
    this.#index(kind, key, object, undefined);
    this.#changed(kind, object, undefined);
  }

  #of(kind: Kind): Map<string, KubeObject> {
    let objects = this.#kinds.get(kind);
    if (objects === undefined) {
      objects = new Map();
      this.#kinds.set(kind, objects);
    }
    return objects;
  }

  #index(kind: Kind, key: string, before: KubeObject | undefined, after: KubeObject | undefined): void {
    const entry = `${kind}/${key}`;
    for (const [index, label] of [
      [this.#agents, LABELS.agent],
      [this.#users, LABELS.user],
    ] as const) {
      const was = before?.metadata.labels?.[label];
      const is = after?.metadata.labels?.[label];
      if (was !== undefined && was !== is) {
        const entries = index.get(was);
        entries?.delete(entry);
        if (entries?.size === 0) index.delete(was);
      }
      if (is !== undefined && after !== undefined) {
        const entries = index.get(is) ?? new Map<string, Entry>();
        index.set(is, entries);
        entries.set(entry, { kind, object: after });
      }
    }
  }
}

export interface Entry {
  kind: Kind;
  object: KubeObject;
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}
