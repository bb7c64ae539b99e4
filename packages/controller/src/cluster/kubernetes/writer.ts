// Writes single objects by server-side apply, only where they differ.

import { backoff, type Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import {
  type ApplyOptions,
  type JsonPatch,
  type Kind,
  type KubeApi,
  KubeError,
  type KubeObject,
} from "./api.ts";
import { compare, type Differences, removals } from "./compare.ts";
import type { Inventory } from "./inventory.ts";
import { isForbidden, UNWATCHED } from "./inventory.ts";
import { ANNOTATIONS } from "./names.ts";
import type { ClusterView } from "./observe/view.ts";

export interface WriterOptions {
  api: KubeApi;
  view: Pick<ClusterView, "find" | "absorb">;
  inventory: Inventory;
  clock: Clock;
  log: Log;
}

/** Whether the caller may still write, asked before every call: a lease may have passed on meanwhile. */
export type May = () => boolean;

/** The right to write in a namespace comes a while after the role was bound: the API server reads it from a cache. */
const GRANT_MS = 10_000;
/** How often an object that changes under our hands is read again; a rollout reports its status many times a second. */
const RACES = 8;
const FIRST_RACE_MS = 5;

/** The lease is gone, or somebody with a newer one was here: nothing may be written any more. */
export class OutdatedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "OutdatedError";
  }
}

/** Writes single objects: only what differs, by server-side apply, and says whose fields were taken over. */
export class Writer {
  readonly #options: WriterOptions;
  /** When the controller's role was bound, by namespace. */
  readonly #granted = new Map<string, number>();
  /** What differed in the server's own answer, by object. */
  readonly #accepted = new Map<string, string>();
  /** Fenced objects whose last write was not taken: the next try reads nothing first, the fence holds all the same. */
  readonly #untaken = new Set<string>();
  /** Another number whenever what was accepted changes. */
  version = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** What is known of the object, by the watch or the inventory. */
  live(object: KubeObject): KubeObject | undefined {
    const { view, inventory } = this.#options;
    const { name, namespace = "" } = object.metadata;
    const kind = object.kind as Kind;
    if (!isUnwatched(kind)) return view.find(kind, namespace, name);
    const metadata = inventory.find(kind, namespace, name);
    return metadata === undefined ? undefined : { ...object, metadata: { ...object.metadata, ...metadata } };
  }

  /** In words, what of the object is not as it should be; empty when all is. */
  differences(wanted: KubeObject, ignore: readonly string[] = []): string[] {
    const live = this.live(wanted);
    const what = `${wanted.kind} ${wanted.metadata.name}`;
    if (live === undefined) return [`${what} was removed`];
    // It is told once it is gone.
    if (live.metadata.deletionTimestamp !== undefined) return [];
    const { changed, added } = this.#compare(wanted, live, ignore);
    const by = writerOf(live);
    return [
      ...changed.map((path) => `${what}: ${path} was changed${by}`),
      ...added.map((one) => `${what}: ${one.words} was added${by}`),
    ];
  }

  /**
   * Makes the object what is wanted; no call when it is already.
   * @param more.fenced written only over what is known of it; never over a newer generation, unless `evenNewer`
   * @throws {KubeError}
   * @throws {OutdatedError} when it may not be written any more
   */
  async apply(
    wanted: KubeObject,
    may: May,
    more: { ignore?: readonly string[]; fenced?: boolean; evenNewer?: boolean } = {},
  ): Promise<void> {
    const { view, inventory } = this.#options;
    const kind = wanted.kind as Kind;
    const { namespace = "", name } = wanted.metadata;
    const live = this.live(wanted);
    if (live?.metadata.deletionTimestamp !== undefined) {
      throw new KubeError(
        "TERMINATING",
        `The ${kind} ${name} is being deleted; it is made again once it is gone.`,
      );
    }
    if (isUnwatched(kind)) {
      if (live !== undefined && this.differences(wanted).length === 0) return;
      const answer = await this.#retryGrant(namespace, may, () => this.#applyUnwatched(wanted));
      inventory.note(kind, namespace, answer.metadata);
      return;
    }
    if (live !== undefined) {
      const { changed, added } = this.#compare(wanted, live, more.ignore);
      if (changed.length === 0) {
        if (added.length === 0) return;
        this.#accept(wanted, await this.#takeOut(wanted, live, may, more.ignore), more.ignore);
        return;
      }
    }
    // Its version changes with each report of its status: read again, so that one write is enough.
    const key = keyOf(wanted);
    const reads = more.fenced && live !== undefined && !this.#untaken.has(key);
    let known = reads ? await this.#read(kind, namespace, name) : live;
    for (let race = 1; ; race += 1) {
      if (more.fenced && !more.evenNewer) refuseNewer(wanted, known);
      const object = more.fenced && known !== undefined ? versioned(wanted, known) : wanted;
      try {
        const answer = await this.#retryGrant(namespace, may, () => this.#force(object));
        this.#untaken.delete(key);
        view.absorb(answer);
        this.#accept(wanted, await this.#takeOut(wanted, answer, may, more.ignore), more.ignore);
        return;
      } catch (error) {
        const raced = error instanceof KubeError && error.code === "CONFLICT" && error.conflicts.length === 0;
        if (!raced && more.fenced) this.#untaken.add(key);
        if (!raced || race >= RACES) throw error;
        await this.#pause(backoff(race, FIRST_RACE_MS, 500));
        const read = await this.#read(kind, namespace, name);
        if (read !== undefined) view.absorb(read);
        known = read;
      }
    }
  }

  /** Asks for the end of an object, if it is known; waits for nothing. */
  async remove(kind: Kind, namespace: string, name: string, may: May, uid?: string): Promise<void> {
    check(may);
    await this.#options.api.delete(kind, namespace, name, uid === undefined ? {} : { uid });
    if (isUnwatched(kind)) this.#options.inventory.drop(kind, namespace, name);
    this.#accepted.delete(`${kind}/${namespace}/${name}`);
    this.#untaken.delete(`${kind}/${namespace}/${name}`);
  }

  /** Notes that the controller's role was bound in the namespace just now. */
  granted(namespace: string): void {
    const now = this.#options.clock.now();
    for (const [one, at] of this.#granted) if (now - at > GRANT_MS) this.#granted.delete(one);
    this.#granted.set(namespace, now);
  }

  /** Does the work; while the controller's new role may not be known everywhere, a refusal is tried again. */
  async #retryGrant<T>(namespace: string, may: May, work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    for (let wait = 20; ; wait = Math.min(1000, wait * 2)) {
      check(may);
      try {
        return await work();
      } catch (error) {
        const since = this.#granted.get(namespace);
        if (!isForbidden(error) || since === undefined || clock.now() - since > GRANT_MS) throw error;
        await this.#pause(wait);
      }
    }
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(milliseconds, resolve));
  }

  /** The object as it is now. By a list: the controller's role in users' namespaces has it for other reasons already. */
  async #read(kind: Kind, namespace: string, name: string): Promise<KubeObject | undefined> {
    const { items } = await this.#options.api.list(kind, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
    });
    return items[0];
  }

  /** As {@link Writer.#retryGrant}, for reading. */
  async reading<T>(namespace: string, work: () => Promise<T>): Promise<T> {
    return await this.#retryGrant(namespace, () => true, work);
  }

  async #applyUnwatched(wanted: KubeObject): Promise<KubeObject> {
    try {
      return await this.#force(wanted);
    } catch (error) {
      // Immutable, and there: it is the one that is meant, its name says what is in it.
      if (wanted.immutable === true && error instanceof KubeError && error.code === "INVALID") {
        const there = await this.#options.api.list(wanted.kind as Kind, {
          namespace: wanted.metadata.namespace ?? "",
          fieldSelector: `metadata.name=${wanted.metadata.name}`,
          metadataOnly: true,
        });
        const found = there.items[0];
        if (found !== undefined) return found;
      }
      throw error;
    }
  }

  /** Takes over, of fields that others own, those that are ours, and says so. */
  async #force(object: KubeObject, options: ApplyOptions = {}): Promise<KubeObject> {
    const { api, log } = this.#options;
    try {
      return await api.apply(object, options);
    } catch (error) {
      if (!(error instanceof KubeError) || error.code !== "CONFLICT" || error.conflicts.length === 0)
        throw error;
      log.warn("fields of ours were changed by others; they are put back", {
        kind: object.kind,
        namespace: object.metadata.namespace,
        name: object.metadata.name,
        conflicts: error.conflicts.map(({ field, manager }) => `${field} (${manager})`).join(", "),
      });
      return await api.apply(object, { ...options, force: true });
    }
  }

  /**
   * Takes out what was added by hand.
   * @returns the object as it is then; undefined when others were faster, again and again
   */
  async #takeOut(
    wanted: KubeObject,
    live: KubeObject,
    may: May,
    ignore: readonly string[] = [],
  ): Promise<KubeObject | undefined> {
    const { api, view, log } = this.#options;
    let seen = live;
    for (let race = 1; race <= RACES; race += 1) {
      const { added } = this.#compare(wanted, seen, ignore);
      if (added.length === 0) return seen;
      check(may);
      const { namespace = "", name, resourceVersion } = seen.metadata;
      const fields = added.map(({ words }) => words).join(", ");
      log.warn("somebody added fields; they are taken out", { kind: wanted.kind, namespace, name, fields });
      const operations: JsonPatch[] = [
        { op: "test", path: "/metadata/resourceVersion", value: resourceVersion },
        ...removals(added),
      ];
      try {
        const answer = await api.patch(wanted.kind as Kind, namespace, name, operations);
        view.absorb(answer);
        return answer;
      } catch (error) {
        // Changed since it was read, if only in its status.
        if (!(error instanceof KubeError) || (error.code !== "INVALID" && error.code !== "CONFLICT"))
          throw error;
        const read = await this.#read(wanted.kind as Kind, namespace, name);
        if (read === undefined) return undefined;
        view.absorb(read);
        seen = read;
      }
    }
    return undefined;
  }

  /** What still differs in the server's own answer is an admission plugin's work: to fight it would never end. */
  #accept(wanted: KubeObject, answer: KubeObject | undefined, ignore: readonly string[] = []): void {
    if (answer === undefined) return;
    this.version += 1;
    const left = compare(wanted, answer, ignore);
    if (left.changed.length + left.added.length === 0) this.#accepted.delete(keyOf(wanted));
    else {
      const { kind, metadata } = wanted;
      this.#options.log.warn("an object is not as it was applied: an admission plugin changes it", {
        kind,
        namespace: metadata.namespace,
        name: metadata.name,
        fields: [...left.changed, ...left.added.map(({ words }) => words)].join(", "),
      });
      this.#accepted.set(keyOf(wanted), JSON.stringify(left));
    }
  }

  /** As {@link compare}, without what was accepted. */
  #compare(wanted: KubeObject, live: KubeObject, ignore: readonly string[] = []): Differences {
    const found = compare(wanted, live, ignore);
    const accepted = this.#accepted.get(keyOf(wanted));
    return accepted !== undefined && accepted === JSON.stringify(found) ? { changed: [], added: [] } : found;
  }
}

function check(may: May): void {
  if (!may()) throw new OutdatedError("The agent is no longer this controller's.");
}

export function isUnwatched(kind: Kind): boolean {
  return (UNWATCHED as readonly Kind[]).includes(kind);
}

function keyOf({ kind, metadata }: KubeObject): string {
  return `${kind}/${metadata.namespace ?? ""}/${metadata.name}`;
}

function versioned(wanted: KubeObject, known: KubeObject): KubeObject {
  const { resourceVersion, uid } = known.metadata;
  return {
    ...wanted,
    metadata: {
      ...wanted.metadata,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(uid === undefined ? {} : { uid }),
    },
  };
}

/** The generation that a Deployment was applied for; 0 where it does not say. */
export function generationOf(object: KubeObject | undefined): number {
  return Number(object?.metadata.annotations?.[ANNOTATIONS.generation] ?? 0);
}

function refuseNewer(wanted: KubeObject, known: KubeObject | undefined): void {
  if (generationOf(known) <= generationOf(wanted)) return;
  throw new OutdatedError("Another controller has already applied a newer generation of the agent.");
}

/** Who wrote the object last, beside the controllers of the cluster and us; for people. */
function writerOf(live: KubeObject): string {
  const others = (live.metadata.managedFields ?? []).filter(
    ({ manager = "", subresource }) =>
      subresource === undefined && manager !== "agent-launchpad" && !manager.startsWith("kube-"),
  );
  const last = others.at(-1)?.manager;
  return last === undefined ? "" : ` by ${last}`;
}
