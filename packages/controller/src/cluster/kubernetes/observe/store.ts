// Indexes the watched objects by agent and by user.

import type { Kind, KubeObject } from "../api.ts";
import { LABELS, userOf } from "../names.ts";
import { isLater, trim } from "./objects.ts";
import { SharedParts } from "./shared.ts";

/** What changed: the object before and after, of which one may be missing. */
export type Change = (kind: Kind, before: KubeObject | undefined, after: KubeObject | undefined) => void;

/**
 * The objects of the installation by kind and name, and by the agent or user whose they are. Those that carry its labels in
 * no user's namespace are strays: counted, and otherwise not there.
 */
export class Store {
  readonly #kinds = new Map<Kind, Map<string, KubeObject>>();
  readonly #agents = new Map<string, Set<KubeObject>>();
  readonly #users = new Map<string, Set<KubeObject>>();
  readonly #strays = new Set<string>();
  readonly #shared = new SharedParts();
  readonly #changed: Change;
  readonly #prefix: string;
  readonly #stray: (kind: Kind, object: KubeObject) => void;

  /**
   * @param prefix what the names of users' namespaces begin with
   * @param stray told of each new stray
   */
  constructor(prefix: string, changed: Change, stray: (kind: Kind, object: KubeObject) => void = () => {}) {
    this.#prefix = prefix;
    this.#changed = changed;
    this.#stray = stray;
  }

  /** How many objects only pretend to be the installation's. */
  get strays(): number {
    return this.#strays.size;
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
  ofAgent(agentId: string): Iterable<KubeObject> {
    return this.#agents.get(agentId)?.values() ?? [];
  }

  /** Everything in the user's namespace, and that itself. */
  ofUser(userId: string): Iterable<KubeObject> {
    return this.#users.get(userId)?.values() ?? [];
  }

  all(kind: Kind): Iterable<KubeObject> {
    return this.#kinds.get(kind)?.values() ?? [];
  }

  /** The object as it is kept: only what is read, and its common parts shared with others. */
  slim(kind: Kind, object: KubeObject): KubeObject {
    return this.#shared.of(trim(kind, object));
  }

  /** Takes an object unless a later version of it is known. */
  put(kind: Kind, object: KubeObject): void {
    const objects = this.#of(kind);
    const key = keyOf(object);
    if (userOf(this.#prefix, object) === undefined) {
      if (!this.#strays.has(`${kind}/${key}`)) this.#stray(kind, object);
      this.#strays.add(`${kind}/${key}`);
      return;
    }
    const before = objects.get(key);
    if (before !== undefined && !isLater(object.metadata.resourceVersion, before.metadata.resourceVersion)) {
      return;
    }
    const after = this.slim(kind, object);
    objects.set(key, after);
    this.#index(before, after);
    this.#changed(kind, before, after);
  }

  /** Lets go of an object, unless what is known of that name is later than its end. */
  remove(kind: Kind, object: KubeObject): void {
    this.#strays.delete(`${kind}/${keyOf(object)}`);
    const before = this.#of(kind).get(keyOf(object));
    if (before === undefined || isLater(before.metadata.resourceVersion, object.metadata.resourceVersion)) {
      return;
    }
    this.#drop(kind, before);
  }

  /** Takes a list of all there is as of `version`: what is missing from it is gone, except what came later. */
  replace(kind: Kind, items: readonly KubeObject[], version: string): void {
    const present = new Set(items.map(keyOf));
    for (const stray of this.#strays) {
      if (stray.startsWith(`${kind}/`) && !present.has(stray.slice(kind.length + 1)))
        this.#strays.delete(stray);
    }
    for (const [key, object] of this.#of(kind)) {
      if (present.has(key) || isLater(object.metadata.resourceVersion, version)) continue;
      this.#drop(kind, object);
    }
    for (const item of items) this.put(kind, item);
  }

  /** Lets go of the agent's objects that a list of them as of `version` has not, except what came later. */
  keepOnly(kind: Kind, agentId: string, items: readonly KubeObject[], version: string): void {
    const present = new Set(items.map(keyOf));
    for (const object of [...this.ofAgent(agentId)]) {
      if (object.kind !== kind || present.has(keyOf(object))) continue;
      if (!isLater(object.metadata.resourceVersion, version)) this.#drop(kind, object);
    }
  }

  /** Lets go of every object of the kind. */
  clear(kind: Kind): void {
    for (const stray of this.#strays) if (stray.startsWith(`${kind}/`)) this.#strays.delete(stray);
    for (const object of [...this.#of(kind).values()]) this.#drop(kind, object);
  }

  #drop(kind: Kind, object: KubeObject): void {
    const key = keyOf(object);
    this.#of(kind).delete(key);
    this.#index(object, undefined);
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

  #index(before: KubeObject | undefined, after: KubeObject | undefined): void {
    const agentOf = (object: KubeObject) => object.metadata.labels?.[LABELS.agent];
    for (const [index, of] of [
      [this.#agents, agentOf],
      [this.#users, (object: KubeObject) => userOf(this.#prefix, object)],
    ] as const) {
      const was = before && of(before);
      const is = after && of(after);
      if (was !== undefined && before !== undefined) {
        const objects = index.get(was);
        objects?.delete(before);
        if (objects?.size === 0 && was !== is) index.delete(was);
      }
      if (is !== undefined && after !== undefined) {
        const objects = index.get(is) ?? new Set<KubeObject>();
        index.set(is, objects);
        objects.add(after);
      }
    }
  }
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}
