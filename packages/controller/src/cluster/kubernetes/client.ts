// The HTTP client of a Kubernetes API server.

import { request } from "undici";
import { backoff, jittered } from "../../clock.ts";
import {
  type ApplyOptions,
  type DeleteOptions,
  isTransient,
  type JsonPatch,
  KINDS,
  type Kind,
  type KubeApi,
  KubeError,
  type KubeList,
  type KubeObject,
  type ListQuery,
  type PodLogQuery,
  type WatchEvent,
  type WatchQuery,
} from "./api.ts";
import { type Connection, connect } from "./connection.ts";
import { type Asked, failureOf, unreachable } from "./failures.ts";
import type { Content } from "./foreign-objects.ts";
import { FIELD_MANAGER } from "./names.ts";
import { Gate } from "./observe/concurrency.ts";
import type { KubernetesOptions } from "./options.ts";
import { readLines } from "./read-lines.ts";

export interface ClientOptions extends Pick<KubernetesOptions, "kubeconfig" | "context" | "observe"> {
  /** In place of what kubeconfig and context name. */
  connection?: Connection;
  random?: () => number;
  /** For one try of a call that ends on its own. */
  timeoutMs?: number;
}

/** Tries of a call in all; what still does not work is the caller's to try again, with its own backoff. */
const TRIES = 3;
const PAGE = 200;
/** Calls under way at once; the others wait, and their time runs only from when they begin. */
const AT_ONCE = 64;
/** How long after its own end a watch is given up for dead. */
const WATCH_GRACE_MS = 15_000;

interface Call {
  asked: Asked;
  method: "GET" | "PATCH" | "DELETE";
  path: string;
  query?: Record<string, string | undefined>;
  body?: string;
  contentType?: string;
  headers?: Record<string, string>;
  accept?: string;
  /** Says the same however often it is said, so that a lost answer may be asked for again. */
  repeatable: boolean;
  timeoutMs?: number;
}

/**
 * The API server as the controller uses it.
 * @throws {Error} one sentence when there is no cluster to talk to
 */
export async function createClient(options: ClientOptions): Promise<KubeApi> {
  return new HttpKubeApi(options.connection ?? (await connect(options.kubeconfig, options.context)), options);
}

class HttpKubeApi implements KubeApi {
  readonly #connection: Connection;
  readonly #random: () => number;
  readonly #timeoutMs: number;
  readonly #observe: ClientOptions["observe"];
  readonly #closed = new AbortController();
  readonly #gate = new Gate(AT_ONCE);

  constructor(connection: Connection, options: ClientOptions) {
    this.#connection = connection;
    this.#random = options.random ?? Math.random;
    this.#timeoutMs = options.timeoutMs ?? 15_000;
    this.#observe = options.observe;
  }

  async get(kind: Kind, namespace: string, name: string): Promise<KubeObject | undefined> {
    try {
      return await this.#json<KubeObject>({
        asked: { verb: "get", resource: KINDS[kind].resource, namespace, name },
        method: "GET",
        path: pathOf(kind, namespace, name),
        repeatable: true,
      });
    } catch (error) {
      if (error instanceof KubeError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  async contents(namespace: string): Promise<Content[]> {
    const lists = await Promise.all(
      (await this.#resources()).map(async ({ group, version, resource }) => {
        const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
        const path = `${root}/namespaces/${encodeURIComponent(namespace)}/${resource}`;
        const asked = { verb: "list", resource, namespace, name: "" };
        const name = group === "" ? resource : `${resource}.${group}`;
        try {
          const items = await this.#pages(asked, path, {}, `${METADATA_ONLY}, application/json`);
          return items.map(({ metadata }) => ({ resource: name, metadata }));
        } catch (error) {
          // Served no longer, or by a server that cannot list it: nothing is kept there.
          if (error instanceof KubeError && (error.code === "NOT_FOUND" || error.status === 405)) return [];
          throw error;
        }
      }),
    );
    return lists.flat();
  }

  /** Every resource in namespaces that can be listed, in the version that the server prefers. */
  async #resources(): Promise<{ group: string; version: string; resource: string }[]> {
    const discover = async (path: string) => {
      const asked = { verb: "get", resource: "discovery", namespace: "", name: "" };
      return await this.#json<{ items?: DiscoveredGroup[] }>({
        asked,
        method: "GET",
        path,
        accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        repeatable: true,
      });
    };
    const groups = (await Promise.all([discover("/api"), discover("/apis")])).flatMap(
      ({ items }) => items ?? [],
    );
    return groups.flatMap(({ metadata, versions }) => {
      // Figures, which are nobody's objects; what serves them is often away.
      if (metadata.name?.endsWith("metrics.k8s.io")) return [];
      const seen = new Set<string>();
      return versions.flatMap(({ version, resources = [], freshness }) => {
        // What an aggregated server holds is not known while it is down: then nothing can be said.
        if (freshness === "Stale") {
          throw new KubeError(
            "BUSY",
            `The API server cannot tell now what there is in the group ${metadata.name}.`,
          );
        }
        return resources
          .filter(({ resource, scope, verbs }) => {
            if (scope !== "Namespaced" || !verbs.includes("list") || seen.has(resource)) return false;
            seen.add(resource);
            return true;
          })
          .map(({ resource }) => ({ group: metadata.name ?? "", version, resource }));
      });
    });
  }

  async list(kind: Kind, query: ListQuery = {}): Promise<KubeList> {
    const { apiVersion, resource } = KINDS[kind];
    const namespace = query.namespace ?? "";
    const items: KubeObject[] = [];
    let next: string | undefined;
    for (;;) {
      query.signal?.throwIfAborted();
      const page = await this.#json<KubeList & { metadata: { resourceVersion: string; continue?: string } }>({
        asked: { verb: "list", resource, namespace, name: "" },
        method: "GET",
        path: pathOf(kind, namespace),
        query: {
          labelSelector: query.labelSelector,
          fieldSelector: query.fieldSelector,
          limit: String(PAGE),
          continue: next,
        },
        ...(query.metadataOnly ? { accept: METADATA_ONLY } : {}),
        repeatable: true,
      });
      // Of an empty list of metadata, `items` is null.
      for (const item of page.items ?? []) {
        item.kind = kind;
        item.apiVersion = apiVersion;
        items.push(query.keep?.(item) ?? item);
      }
      next = page.metadata.continue;
      if (next === undefined || next === "") return { resourceVersion: page.metadata.resourceVersion, items };
    }
  }

  async #pages(
    asked: Asked,
    path: string,
    query: Record<string, string | undefined>,
    accept: string,
  ): Promise<KubeObject[]> {
    const items: KubeObject[] = [];
    for (let next: string | undefined; ; ) {
      const page: KubeList & { metadata: { continue?: string } } = await this.#json({
        asked,
        method: "GET",
        path,
        query: { ...query, limit: String(PAGE), continue: next },
        accept,
        repeatable: true,
      });
      items.push(...(page.items ?? []));
      next = page.metadata.continue;
      if (next === undefined || next === "") return items;
    }
  }

  async apply(object: KubeObject, options: ApplyOptions = {}): Promise<KubeObject> {
    const kind = object.kind as Kind;
    const { name, namespace = "" } = object.metadata;
    return await this.#json<KubeObject>({
      asked: { verb: "apply", resource: KINDS[kind].resource, namespace, name },
      method: "PATCH",
      path: pathOf(kind, namespace, name),
      query: {
        fieldManager: FIELD_MANAGER,
        force: String(options.force ?? false),
        dryRun: options.dryRun ? "All" : undefined,
      },
      // JSON is YAML.
      contentType: "application/apply-patch+yaml",
      body: JSON.stringify(object),
      repeatable: true,
    });
  }

  async record(event: KubeObject): Promise<void> {
    const { name, namespace = "" } = event.metadata;
    const folder = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`;
    await this.#text({
      asked: { verb: "apply", resource: "events", namespace, name },
      method: "PATCH",
      path: `${folder}/${encodeURIComponent(name)}`,
      query: { fieldManager: FIELD_MANAGER, force: "true" },
      contentType: "application/apply-patch+yaml",
      body: JSON.stringify(event),
      repeatable: true,
    });
  }

  async patch(
    kind: Kind,
    namespace: string,
    name: string,
    operations: readonly JsonPatch[],
  ): Promise<KubeObject> {
    return await this.#json<KubeObject>({
      asked: { verb: "patch", resource: KINDS[kind].resource, namespace, name },
      method: "PATCH",
      path: pathOf(kind, namespace, name),
      query: { fieldManager: FIELD_MANAGER },
      contentType: "application/json-patch+json",
      body: JSON.stringify(operations),
      repeatable: false,
    });
  }

  async delete(kind: Kind, namespace: string, name: string, options: DeleteOptions = {}): Promise<void> {
    const { uid, propagation = "Background", gracePeriodSeconds, resourceVersion } = options;
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    const conditional = Object.keys(preconditions).length > 0;
    try {
      await this.#text({
        asked: { verb: "delete", resource: KINDS[kind].resource, namespace, name },
        method: "DELETE",
        path: pathOf(kind, namespace, name),
        contentType: "application/json",
        body: JSON.stringify({
          apiVersion: "v1",
          kind: "DeleteOptions",
          propagationPolicy: propagation,
          ...(conditional ? { preconditions } : {}),
          ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
        }),
        repeatable: true,
      });
    } catch (error) {
      // Gone already; or another object of the same name, which is not meant.
      if (error instanceof KubeError && error.code === "NOT_FOUND") return;
      if (error instanceof KubeError && error.code === "CONFLICT" && conditional) return;
      throw error;
    }
  }

  async watch(kind: Kind, query: WatchQuery, onEvent: (event: WatchEvent) => void): Promise<void> {
    const { resource } = KINDS[kind];
    const asked = { verb: "watch", resource, namespace: query.namespace ?? "", name: "" };
    const limit = AbortSignal.timeout(query.timeoutSeconds * 1000 + WATCH_GRACE_MS);
    const signal = AbortSignal.any([limit, this.#closed.signal, ...(query.signal ? [query.signal] : [])]);
    try {
      const body = await this.#stream(
        asked,
        pathOf(kind, asked.namespace),
        {
          watch: "true",
          allowWatchBookmarks: "true",
          resourceVersion: query.resourceVersion,
          timeoutSeconds: String(query.timeoutSeconds),
          labelSelector: query.labelSelector,
          fieldSelector: query.fieldSelector,
        },
        signal,
      );
      query.onOpen?.();
      for await (const line of readLines(body)) {
        const event = JSON.parse(line) as WatchEvent | { type: "ERROR"; object: { code?: number } };
        if (event.type === "ERROR") {
          const { code = 500 } = event.object;
          throw failureOf(asked, code, JSON.stringify(event.object), undefined);
        }
        onEvent(event);
      }
    } catch (error) {
      if (query.signal?.aborted || this.#closed.signal.aborted) return;
      if (error instanceof KubeError) throw error;
      throw unreachable(this.#connection.server, asked, error);
    }
  }

  async podLog(namespace: string, pod: string, query: PodLogQuery): Promise<AsyncIterable<Uint8Array>> {
    const signal = AbortSignal.any([this.#closed.signal, ...(query.signal ? [query.signal] : [])]);
    const number = (value: number | undefined) => (value === undefined ? undefined : String(value));
    return await this.#stream(
      { verb: "get", resource: "pods/log", namespace, name: pod },
      `${pathOf("Pod", namespace, pod)}/log`,
      {
        container: query.container,
        follow: query.follow ? "true" : undefined,
        timestamps: query.timestamps ? "true" : undefined,
        previous: query.previous ? "true" : undefined,
        sinceTime: query.sinceTime,
        tailLines: number(query.tailLines),
        limitBytes: number(query.limitBytes),
      },
      signal,
      query.follow,
    );
  }

  async podProxy(
    namespace: string,
    pod: string,
    port: number,
    path: string,
    timeoutMs: number,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: string }> {
    const target = `${pathOf("Pod", namespace, `${pod}:${port}`)}/proxy${path}`;
    return await this.#once({
      asked: { verb: "get", resource: "pods/proxy", namespace, name: pod },
      method: "GET",
      path: target,
      repeatable: false,
      timeoutMs,
      headers,
    });
  }

  async version(): Promise<string> {
    const asked = { verb: "get", resource: "version", namespace: "", name: "" };
    const { gitVersion } = await this.#json<{ gitVersion: string }>({
      asked,
      method: "GET",
      path: "/version",
      repeatable: true,
    });
    return gitVersion;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#connection.close();
  }

  async #json<T>(call: Call): Promise<T> {
    return JSON.parse(await this.#text(call)) as T;
  }

  /** Tries again what a busy server or a broken connection refused, as often as is safe and as late as it asks. */
  async #text(call: Call): Promise<string> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await this.#once(call);
        if (answer.status < 300) return answer.body;
        throw failureOf(call.asked, answer.status, answer.body, answer.retryAfter);
      } catch (error) {
        // 429 is said before anything was done; what else failed may have taken effect.
        const again =
          error instanceof KubeError && (error.status === 429 || (call.repeatable && isTransient(error)));
        if (!again || attempt >= TRIES || this.#closed.signal.aborted) throw error;
        const wait = Math.min(error.retryAfterMs ?? 0, 5000) + backoff(attempt, 100, 2000);
        await this.#pause(jittered(wait, 0.3, this.#random));
      }
    }
  }

  async #once(call: Call): Promise<{ status: number; body: string; retryAfter: string | undefined }> {
    const leave = await this.#gate.enter();
    const started = performance.now();
    let status = 0;
    try {
      const { headers, pools } = await this.#connection.credentials();
      const response = await request(this.#connection.server + call.path + queryText(call.query), {
        method: call.method,
        dispatcher: pools.calls,
        signal: AbortSignal.any([
          AbortSignal.timeout(call.timeoutMs ?? this.#timeoutMs),
          this.#closed.signal,
        ]),
        headers: {
          ...call.headers,
          ...headers,
          accept: call.accept ?? "application/json",
          ...(call.contentType === undefined ? {} : { "content-type": call.contentType }),
        },
        body: call.body ?? null,
      });
      status = response.statusCode;
      return {
        status,
        body: await response.body.text(),
        retryAfter: headerText(response.headers["retry-after"]),
      };
    } catch (error) {
      if (error instanceof KubeError) throw error;
      throw unreachable(this.#connection.server, call.asked, error);
    } finally {
      leave();
      this.#observe?.apiCall(call.asked.verb, call.asked.resource, status, performance.now() - started);
    }
  }

  async #stream(
    asked: Asked,
    path: string,
    query: Record<string, string | undefined>,
    signal: AbortSignal,
    // A node answers who follows a log only with its first line, however long that takes.
    mayBeSilent = false,
  ): Promise<AsyncIterable<Uint8Array>> {
    const started = performance.now();
    let status = 0;
    // Until it begins to answer, it is a call like any other.
    const slow = new AbortController();
    const tooSlow = () => slow.abort(new DOMException("no answer", "TimeoutError"));
    const timer = mayBeSilent ? undefined : setTimeout(tooSlow, this.#timeoutMs);
    try {
      const { headers, pools } = await this.#connection.credentials();
      const response = await request(this.#connection.server + path + queryText(query), {
        method: "GET",
        dispatcher: pools.streams,
        signal: AbortSignal.any([signal, slow.signal]),
        ...(mayBeSilent ? { headersTimeout: 0 } : {}),
        headers: { ...headers, accept: "application/json, */*" },
      });
      status = response.statusCode;
      if (status >= 300) {
        throw failureOf(
          asked,
          status,
          await response.body.text(),
          headerText(response.headers["retry-after"]),
        );
      }
      return response.body;
    } catch (error) {
      if (error instanceof KubeError) throw error;
      throw unreachable(this.#connection.server, asked, error);
    } finally {
      clearTimeout(timer);
      this.#observe?.apiCall(asked.verb, asked.resource, status, performance.now() - started);
    }
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, milliseconds);
      const closed = this.#closed.signal;
      closed.addEventListener("abort", done, { once: true });
      function done() {
        clearTimeout(timer);
        closed.removeEventListener("abort", done);
        resolve();
      }
    });
  }
}

interface DiscoveredGroup {
  metadata: { name?: string };
  versions: {
    version: string;
    freshness?: string;
    resources?: { resource: string; scope: string; verbs: string[] }[];
  }[];
}

const METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/** The address of a resource: all objects, those of a namespace, or one. */
function pathOf(kind: Kind, namespace: string, name?: string): string {
  const { apiVersion, resource, namespaced } = KINDS[kind];
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const within = namespaced && namespace !== "" ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  // A pod's name carries its port behind a colon, which stays as it is.
  const last = name === undefined ? "" : `/${encodeURIComponent(name).replace("%3A", ":")}`;
  return `${root}${within}/${resource}${last}`;
}

function queryText(query: Record<string, string | undefined> = {}): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

function headerText(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}
