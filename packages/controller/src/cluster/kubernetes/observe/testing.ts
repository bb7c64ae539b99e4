// A fake API server for tests of the watching side.

import {
  KINDS,
  type Kind,
  type KubeApi,
  KubeError,
  type KubeList,
  type KubeObject,
  type ListQuery,
  type WatchEvent,
  type WatchQuery,
} from "../api.ts";
import { FIELD_MANAGER, LABELS } from "../names.ts";
import type { Pod } from "./objects.ts";

/** What may happen to the next watch, or to one that is open. */
export type WatchFault =
  /** The version is too old, told at once or in the stream. */
  | "gone"
  | "busy"
  | "server error"
  | "reset"
  /** Ends in good order, as at the server's time limit. */
  | "end"
  /** Says nothing any more, and does not heed its signal. */
  | "silence"
  /** The same, and is not even accepted. */
  | "hang";

interface OpenWatch {
  kind: Kind;
  query: WatchQuery;
  deliver: ((event: WatchEvent) => void) | undefined;
  end(error?: Error): void;
}

/** The reading half of an API server in memory, with every fault that a watch can meet. */
export class FakeServer implements Pick<KubeApi, "list" | "watch"> {
  readonly #objects = new Map<string, { kind: Kind; object: KubeObject }>();
  #history: { kind: Kind; version: number; event: WatchEvent }[] = [];
  #version = 100;
  #oldest = 0;
  readonly watches = new Set<OpenWatch>();
  /** For the next watches that are opened, first in first out. */
  readonly watchFaults: WatchFault[] = [];
  readonly listFaults: Error[] = [];
  readonly lists: { kind: Kind; query: ListQuery }[] = [];
  watched = 0;

  get version(): string {
    return String(this.#version);
  }

  /** Makes or changes an object; returns it as the server would answer. */
  put(kind: Kind, object: Partial<KubeObject> & { metadata: KubeObject["metadata"] }): KubeObject {
    const key = keyOf(kind, object.metadata);
    const known = this.#objects.get(key)?.object;
    this.#version += 1;
    const written = {
      ...object,
      apiVersion: KINDS[kind].apiVersion,
      kind,
      metadata: {
        uid: known?.metadata.uid ?? `uid-${this.#version}`,
        ...object.metadata,
        resourceVersion: String(this.#version),
      },
    } as KubeObject;
    this.#objects.set(key, { kind, object: written });
    this.#tell(kind, { type: known === undefined ? "ADDED" : "MODIFIED", object: written });
    return structuredClone(written);
  }

  remove(kind: Kind, namespace: string, name: string): void {
    const key = keyOf(kind, { namespace, name });
    const known = this.#objects.get(key);
    if (known === undefined) return;
    this.#objects.delete(key);
    this.#version += 1;
    const { object } = known;
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    this.#tell(kind, { type: "DELETED", object: last });
  }

  /** Forgets the past: a watch from an earlier version is too old. */
  compact(): void {
    this.#history = [];
    this.#oldest = this.#version;
  }

  /** Tells every open watch of the kind how far it has come. */
  bookmark(kind: Kind): void {
    const metadata = { name: "", resourceVersion: this.version };
    for (const watch of this.watches) {
      if (watch.kind === kind) watch.deliver?.({ type: "BOOKMARK", object: bare(kind, metadata) });
    }
  }

  /** Lets a fault happen to the open watches. */
  break(fault: WatchFault): void {
    for (const watch of [...this.watches]) {
      if (fault === "silence") watch.deliver = undefined;
      else watch.end(errorOf(fault));
    }
  }

  async list(kind: Kind, query: ListQuery = {}): Promise<KubeList> {
    this.lists.push({ kind, query });
    const fault = this.listFaults.shift();
    if (fault !== undefined) throw fault;
    const items = [...this.#objects.values()]
      .filter((one) => one.kind === kind && matches(one.object, query.labelSelector))
      // As a real list: its items do not say what they are.
      .map(({ object: { apiVersion: _, kind: __, ...item } }) => structuredClone(item) as KubeObject);
    if (query.fieldSelector === "metadata.name=-") items.length = 0;
    return { resourceVersion: this.version, items };
  }

  watch(kind: Kind, query: WatchQuery, onEvent: (event: WatchEvent) => void): Promise<void> {
    this.watched += 1;
    const fault = this.watchFaults.shift();
    const from = Number(query.resourceVersion);
    if (fault === "gone" || from < this.#oldest) return Promise.reject(errorOf("gone"));
    const isDead = fault === "silence" || fault === "hang";
    if (fault !== undefined && !isDead) return settle(errorOf(fault));
    if (fault !== "hang") query.onOpen?.();
    return new Promise((resolve, reject) => {
      const watch: OpenWatch = {
        kind,
        query,
        deliver: isDead ? undefined : onEvent,
        end: (error) => {
          this.watches.delete(watch);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.watches.add(watch);
      query.signal?.addEventListener("abort", () => {
        // One that is dead hears nothing; it is only struck off the books.
        if (watch.deliver === undefined) this.watches.delete(watch);
        else watch.end(new DOMException("aborted", "AbortError"));
      });
      for (const past of this.#history) {
        if (past.kind === kind && past.version > from && matches(past.event.object, query.labelSelector)) {
          watch.deliver?.(structuredClone(past.event));
        }
      }
    });
  }

  #tell(kind: Kind, event: WatchEvent): void {
    this.#history.push({ kind, version: this.#version, event });
    for (const watch of this.watches) {
      if (watch.kind !== kind || !matches(event.object, watch.query.labelSelector)) continue;
      watch.deliver?.(structuredClone(event));
    }
  }
}

/** The labels of an agent's object, for tests. */
export function labelsOf(agentId: string, userId = "u1", installation = "test"): Record<string, string> {
  return {
    [LABELS.managedBy]: FIELD_MANAGER,
    [LABELS.installation]: installation,
    [LABELS.user]: userId,
    [LABELS.agent]: agentId,
  };
}

function settle(error: Error | undefined): Promise<void> {
  return error === undefined ? Promise.resolve() : Promise.reject(error);
}

function errorOf(fault: WatchFault): Error | undefined {
  switch (fault) {
    case "gone":
      return new KubeError("GONE", "too old resource version", { status: 410 });
    case "busy":
      return new KubeError("BUSY", "too many requests", { status: 429, retryAfterMs: 1000 });
    case "server error":
      return new KubeError("SERVER", "etcdserver: leader changed", { status: 500 });
    case "reset":
      return new KubeError("UNREACHABLE", "the connection was reset");
    default:
      return undefined;
  }
}

function bare(kind: Kind, metadata: KubeObject["metadata"]): KubeObject {
  return { apiVersion: KINDS[kind].apiVersion, kind, metadata };
}

function keyOf(kind: Kind, { name, namespace }: { name: string; namespace?: string }): string {
  return `${kind}/${namespace ?? ""}/${name}`;
}

function matches({ metadata }: KubeObject, selector: string | undefined): boolean {
  if (selector === undefined) return true;
  return selector.split(",").every((term) => {
    const [label = "", value] = term.split("=");
    return metadata.labels?.[label] === value;
  });
}

/** A pod of an agent whose container runs and is ready, for tests. */
export function readyPod(agentId: string, name: string, part: Partial<Pod> = {}): Pod {
  const at = "2030-01-01T00:00:00Z";
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "agents-u1",
      uid: `uid-${name}`,
      labels: labelsOf(agentId),
      creationTimestamp: at,
    },
    spec: { containers: [{ name: "agent", resources: { limits: { cpu: "500m", memory: "268435456" } } }] },
    status: {
      phase: "Running",
      podIP: "10.0.0.1",
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: at }],
      containerStatuses: [{ name: "agent", restartCount: 0, state: { running: { startedAt: at } } }],
    },
    ...part,
  };
}

/** The pods of a view, for what listens to it. */
export class FakePods {
  readonly known = new Map<string, Pod>();
  readonly #listeners: ((before: Pod | undefined, after: Pod | undefined) => void)[] = [];

  pods(): Iterable<Pod> {
    return this.known.values();
  }

  onPod(listener: (before: Pod | undefined, after: Pod | undefined) => void): void {
    this.#listeners.push(listener);
  }

  put(pod: Pod): void {
    this.#change(pod.metadata.name, pod);
  }

  remove(name: string): void {
    this.#change(name, undefined);
  }

  #change(name: string, after: Pod | undefined): void {
    const before = this.known.get(name);
    if (after === undefined) this.known.delete(name);
    else this.known.set(name, after);
    for (const listener of this.#listeners) listener(before, after);
  }
}
