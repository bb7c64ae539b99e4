// Models the storage of a Kubernetes API server.

import type { Clock } from "../clock.ts";
import {
  type ApplyOptions,
  type DeleteOptions,
  type JsonPatch,
  KINDS,
  type Kind,
  KubeError,
  type KubeList,
  type KubeObject,
  type ListQuery,
  type ManagedFields,
  type WatchEvent,
} from "../cluster/kubernetes/api.ts";
import type { Content } from "../cluster/kubernetes/foreign-objects.ts";
import { FIELD_MANAGER } from "../cluster/kubernetes/names.ts";
import { copyOf, type Fields, flatten, parts, sameValue, unflatten } from "./kubernetes-fields.ts";

interface Stored {
  object: KubeObject;
  /** Which fields each manager owns. */
  owners: Map<string, Set<string>>;
  /** When each manager last changed something. */
  times: Map<string, string>;
}

interface Told {
  kind: Kind;
  version: number;
  event: WatchEvent;
  /** As it was before: a change may bring an object into a selection, or take it out. */
  before: KubeObject | undefined;
}

/** Changes that a watch may go back to. */
const HISTORY = 400;

/**
 * A model of an API server's storage: versions, server-side apply with owners and conflicts, immutable objects,
 * namespaces that end, deletion. Each call takes effect at once; the simulation makes it slow or fail.
 */
export class KubernetesModel {
  readonly #clock: Clock;
  readonly #objects = new Map<string, Stored>();
  /** The same by kind: what the cluster's controllers walk through after every change. */
  readonly #ofKind = new Map<string, Map<string, Stored>>();
  readonly #history: Told[] = [];
  readonly #watchers = new Set<(told: Told) => void>();
  #version = 1;
  #uids = 0;
  /** Every write that was asked for, as `apply Deployment agents-u/a`. */
  readonly writes: string[] = [];
  /** Namespaces that stay while they are being deleted: a finalizer of something in them is not worked off. */
  readonly stuck = new Set<string>();
  /** Told after every change. */
  changed: () => void = () => {};
  /** What the server's policies say of an object that is applied. */
  judge: (wanted: KubeObject) => KubeError | undefined = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  // What clients ask.

  get(kind: Kind, namespace: string, name: string): KubeObject | undefined {
    const stored = this.#objects.get(keyOf(kind, namespace, name));
    return stored === undefined ? undefined : this.#told(stored);
  }

  list(kind: Kind, query: ListQuery = {}): KubeList {
    const items = this.all(kind)
      .filter((object) => matches(object, query))
      .map((object) =>
        query.metadataOnly
          ? { apiVersion: object.apiVersion, kind: object.kind, metadata: copyOf(object.metadata) }
          : copyOf(object),
      );
    return { resourceVersion: String(this.#version), items };
  }

  contents(namespace: string): Content[] {
    return [...this.#objects.values()].flatMap(({ object }) => {
      if (object.metadata.namespace !== namespace) return [];
      const { apiVersion, resource } = KINDS[object.kind as Kind];
      const [group, version] = apiVersion.split("/");
      return [
        {
          resource: version === undefined ? resource : `${resource}.${group}`,
          metadata: copyOf(object.metadata),
        },
      ];
    });
  }

  apply(wanted: KubeObject, { force = false }: ApplyOptions = {}): KubeObject {
    const kind = wanted.kind as Kind;
    const { namespace = "", name, resourceVersion, uid } = wanted.metadata;
    this.writes.push(`apply ${kind} ${namespace}/${name}`);
    const refusal = this.judge(wanted);
    if (refusal !== undefined) throw refusal;
    const key = keyOf(kind, namespace, name);
    const stored = this.#objects.get(key);
    if (uid !== undefined && stored?.object.metadata.uid !== uid) throw conflict(kind, name, "another uid");
    if (resourceVersion !== undefined && stored?.object.metadata.resourceVersion !== resourceVersion) {
      throw conflict(kind, name, "the object has been modified");
    }
    if (stored === undefined) this.#admit(kind, namespace);
    const next = fieldsOf(wanted);
    const fields = stored === undefined ? new Map<string, unknown>() : fieldsOf(stored.object);
    const owners = stored?.owners ?? new Map<string, Set<string>>();
    const others = [...owners].filter(([manager]) => manager !== FIELD_MANAGER);
    const contested = [...next].filter(
      ([path, value]) =>
        fields.has(path) &&
        !sameValue(fields.get(path), value) &&
        others.some(([, owned]) => owned.has(path)),
    );
    if (contested.length > 0 && !force) {
      throw new KubeError("CONFLICT", `${kind} ${name}: others own some fields`, {
        status: 409,
        conflicts: contested.map(([path]) => ({
          field: parts(path).join("."),
          manager: others.find(([, owned]) => owned.has(path))?.[0] ?? "",
        })),
      });
    }
    for (const path of owners.get(FIELD_MANAGER) ?? []) {
      if (!next.has(path) && !others.some(([, owned]) => owned.has(path))) fields.delete(path);
    }
    for (const [path, value] of next) {
      if (!sameValue(fields.get(path), value)) for (const [, owned] of others) owned.delete(path);
      clear(fields, path);
      fields.set(path, value);
    }
    owners.set(FIELD_MANAGER, new Set(next.keys()));
    return this.#store(kind, namespace, name, fields, owners, FIELD_MANAGER);
  }

  patch(kind: Kind, namespace: string, name: string, operations: readonly JsonPatch[]): KubeObject {
    this.writes.push(`patch ${kind} ${namespace}/${name}`);
    return this.edit(kind, namespace, name, FIELD_MANAGER, (object) => {
      for (const operation of operations) patchOne(object, operation);
    });
  }

  delete(kind: Kind, namespace: string, name: string, { resourceVersion, uid }: DeleteOptions = {}): void {
    this.writes.push(`delete ${kind} ${namespace}/${name}`);
    const now = this.#objects.get(keyOf(kind, namespace, name))?.object.metadata.resourceVersion;
    if (resourceVersion !== undefined && resourceVersion !== now) return;
    this.remove(kind, namespace, name, uid);
  }

  /** Tells every later change of the kind; the function returned ends it. @throws {KubeError} GONE */
  watch(kind: Kind, version: string, query: ListQuery, onEvent: (event: WatchEvent) => void): () => void {
    const from = Number(version);
    const oldest = this.#history[0]?.version ?? this.#version;
    if (from < oldest - 1 && this.#history.length >= HISTORY) {
      throw new KubeError("GONE", "too old resource version", { status: 410 });
    }
    const tell = (told: Told) => {
      if (told.kind !== kind) return;
      const { type, object } = told.event;
      const was = told.before !== undefined && matches(told.before, query);
      const is = type !== "DELETED" && matches(object, query);
      if (!was && !is) return;
      onEvent(copyOf({ type: is ? (was ? "MODIFIED" : "ADDED") : "DELETED", object }));
    };
    for (const told of this.#history) if (told.version > from) tell(told);
    this.#watchers.add(tell);
    return () => this.#watchers.delete(tell);
  }

  get version(): string {
    return String(this.#version);
  }

  // What the cluster's own controllers and people do.

  all(kind: Kind): KubeObject[] {
    return Array.from(this.#ofKind.get(kind)?.values() ?? [], ({ object }) => object);
  }

  /** Makes an object, as its controller does. */
  create(kind: Kind, manager: string, object: Omit<KubeObject, "apiVersion" | "kind">): KubeObject {
    const { namespace = "", name } = object.metadata as KubeObject["metadata"];
    const whole = { ...object, apiVersion: KINDS[kind].apiVersion, kind } as KubeObject;
    const fields = fieldsOf(whole);
    const owners = new Map([[manager, new Set(fields.keys())]]);
    const made = this.#store(kind, namespace, name, fields, owners, manager);
    const { ownerReferences } = whole.metadata;
    const stored = this.#objects.get(keyOf(kind, namespace, name));
    if (stored !== undefined && ownerReferences !== undefined) {
      stored.object.metadata.ownerReferences = ownerReferences;
    }
    return made;
  }

  /** Changes an object as an update does: what changed is the manager's then. */
  edit(
    kind: Kind,
    namespace: string,
    name: string,
    manager: string,
    change: (object: KubeObject) => void,
  ): KubeObject {
    const stored = this.#objects.get(keyOf(kind, namespace, name));
    if (stored === undefined) throw notFound(kind, name);
    const edited = copyOf(stored.object);
    change(edited);
    const before = fieldsOf(stored.object);
    const after = fieldsOf(edited);
    const mine = `${manager}\u0000update`;
    for (const [path, value] of after) {
      if (before.has(path) && sameValue(before.get(path), value)) continue;
      for (const owned of stored.owners.values()) owned.delete(path);
      const owned = stored.owners.get(mine) ?? new Set();
      stored.owners.set(mine, owned.add(path));
    }
    for (const path of before.keys()) {
      if (!after.has(path)) for (const owned of stored.owners.values()) owned.delete(path);
    }
    return this.#store(kind, namespace, name, after, stored.owners, mine);
  }

  /** Changes what a controller reports; no generation comes of it. */
  report(kind: Kind, namespace: string, name: string, status: Record<string, unknown>): void {
    const stored = this.#objects.get(keyOf(kind, namespace, name));
    if (stored === undefined || sameValue(stored.object.status, status)) return;
    stored.object = { ...stored.object, status: copyOf(status) };
    this.#tell("MODIFIED", kind, stored);
  }

  /** An object that is told to end; pods and namespaces take their time. */
  remove(kind: Kind, namespace: string, name: string, uid?: string): void {
    const key = keyOf(kind, namespace, name);
    const stored = this.#objects.get(key);
    if (stored === undefined || (uid !== undefined && stored.object.metadata.uid !== uid)) return;
    if (kind === "Pod" || kind === "Namespace") {
      if (stored.object.metadata.deletionTimestamp !== undefined) return;
      stored.object.metadata.deletionTimestamp = this.#time();
      this.#tell("MODIFIED", kind, stored);
    } else this.finish(kind, namespace, name);
  }

  /** The object is gone. */
  finish(kind: Kind, namespace: string, name: string): void {
    const key = keyOf(kind, namespace, name);
    const stored = this.#objects.get(key);
    if (stored === undefined) return;
    this.#objects.delete(key);
    this.#ofKind.get(kind)?.delete(key);
    this.#tell("DELETED", kind, stored);
  }

  #admit(kind: Kind, namespace: string): void {
    if (!KINDS[kind].namespaced) return;
    const space = this.#objects.get(keyOf("Namespace", "", namespace));
    if (space === undefined) throw notFound("Namespace", namespace);
    if (space.object.metadata.deletionTimestamp !== undefined) {
      throw new KubeError("TERMINATING", `namespace ${namespace} is being terminated`, { status: 403 });
    }
  }

  #store(
    kind: Kind,
    namespace: string,
    name: string,
    fields: Fields,
    owners: Stored["owners"],
    writer: string,
  ): KubeObject {
    const key = keyOf(kind, namespace, name);
    const stored = this.#objects.get(key);
    const built = unflatten(fields) as Pick<KubeObject, "metadata"> & Record<string, unknown>;
    const body: Record<string, unknown> = { ...built };
    delete body.metadata;
    if (kind === "Deployment") {
      const spec = body.spec as { replicas?: number };
      spec.replicas ??= 1;
    }
    const before = stored?.object;
    if (before?.immutable === true && !sameValue(before.data, body.data)) {
      throw new KubeError("INVALID", `${kind} ${name}: field is immutable`, { status: 422 });
    }
    const specChanged = !sameFields(before?.spec, body.spec);
    const metadata: KubeObject["metadata"] = {
      ...before?.metadata,
      name,
      ...(namespace === "" ? {} : { namespace }),
      uid: before?.metadata.uid ?? `uid-${++this.#uids}`,
      creationTimestamp: before?.metadata.creationTimestamp ?? this.#time(),
      generation: (before?.metadata.generation ?? 0) + (specChanged ? 1 : 0),
    };
    for (const part of ["labels", "annotations"] as const) {
      const value = built.metadata?.[part];
      if (value === undefined) delete metadata[part];
      else metadata[part] = value;
    }
    const object: KubeObject = {
      ...body,
      apiVersion: KINDS[kind].apiVersion,
      kind,
      metadata,
      ...(before?.status === undefined ? {} : { status: before.status }),
    };
    if (before !== undefined && sameFields({ ...before, status: 0 }, { ...object, status: 0 })) {
      return this.#told({ object: before, owners, times: stored?.times ?? new Map() });
    }
    const times = new Map(stored?.times).set(writer, this.#time());
    const next: Stored = { object, owners, times };
    this.#objects.set(key, next);
    this.#ofKind.set(kind, (this.#ofKind.get(kind) ?? new Map()).set(key, next));
    this.#tell(before === undefined ? "ADDED" : "MODIFIED", kind, next, before);
    return this.#told(next);
  }

  #tell(type: WatchEvent["type"], kind: Kind, stored: Stored, before?: KubeObject): void {
    this.#version += 1;
    stored.object.metadata.resourceVersion = String(this.#version);
    const object = this.#told(stored);
    const told = {
      kind,
      version: this.#version,
      event: { type, object },
      before: type === "ADDED" ? before : (before ?? object),
    };
    this.#history.push(told);
    if (this.#history.length > HISTORY) this.#history.shift();
    for (const watcher of [...this.#watchers]) watcher(told);
    this.changed();
  }

  #told({ object, owners, times }: Stored): KubeObject {
    const copy = copyOf(object);
    copy.metadata.managedFields = [...owners].map(([name, owned]): ManagedFields => {
      const [manager = "", update] = name.split("\u0000");
      const replicas = [...owned].some((path) => parts(path).join(".") === "spec.replicas");
      const time = times.get(name);
      return {
        manager,
        ...(time === undefined ? {} : { time }),
        operation: update === undefined ? "Apply" : "Update",
        fieldsV1: replicas ? { "f:spec": { "f:replicas": {} } } : {},
      };
    });
    return copy;
  }

  #time(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

function keyOf(kind: Kind, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

/** The fields that can be owned: not the identity, not the status. */
function fieldsOf({ metadata, apiVersion: _, kind: __, status: ___, ...rest }: KubeObject): Fields {
  const { labels, annotations } = metadata;
  return flatten({ metadata: { labels, annotations }, ...rest });
}

/** Makes room for a value: what lies below its path, or is an empty record above it, goes. */
function clear(fields: Fields, path: string): void {
  const above = parts(path);
  for (let length = above.length - 1; length > 0; length -= 1) {
    fields.delete(above.slice(0, length).join("\u0000"));
  }
  for (const known of fields.keys()) if (known.startsWith(`${path}\u0000`)) fields.delete(known);
}

function sameFields(a: unknown, b: unknown): boolean {
  if (a === undefined || b === undefined) return a === b;
  const [left, right] = [flatten(a), flatten(b)];
  return left.size === right.size && [...left].every(([path, value]) => sameValue(right.get(path), value));
}

function matches({ metadata }: KubeObject, { namespace, labelSelector, fieldSelector }: ListQuery): boolean {
  if (namespace !== undefined && namespace !== "" && metadata.namespace !== namespace) return false;
  if (fieldSelector?.startsWith("metadata.name=") && metadata.name !== fieldSelector.slice(14)) return false;
  return (labelSelector ?? "").split(",").every((term) => {
    const [name = "", value] = term.split("=");
    return name === "" || metadata.labels?.[name] === value;
  });
}

function patchOne(object: KubeObject, { op, path, value }: JsonPatch): void {
  const steps = path
    .slice(1)
    .split("/")
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = steps.pop() ?? "";
  let at = object as unknown as Record<string, unknown>;
  for (const step of steps) at = at[step] as Record<string, unknown>;
  if (op === "test") {
    if (!sameValue(at[last], value))
      throw new KubeError("INVALID", "a test of the patch failed", { status: 422 });
  } else if (op === "remove") {
    if (Array.isArray(at)) at.splice(Number(last), 1);
    else delete at[last];
  } else at[last] = value;
}

function conflict(kind: Kind, name: string, why: string): KubeError {
  return new KubeError("CONFLICT", `${kind} ${name}: ${why}`, { status: 409 });
}

function notFound(kind: Kind, name: string): KubeError {
  return new KubeError("NOT_FOUND", `${kind} ${name} not found`, { status: 404 });
}
