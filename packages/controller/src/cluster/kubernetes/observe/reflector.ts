// Mirrors one kind of object by list and watch, and survives every way a watch can break.

import { backoff, type Clock, jittered } from "../../../clock.ts";
import { errorMessage, type Log } from "../../../log.ts";
import {
  KINDS,
  type Kind,
  type KubeApi,
  KubeError,
  type KubeList,
  type KubeObject,
  type WatchEvent,
} from "../api.ts";
import type { Gate } from "./concurrency.ts";

export interface ReflectorOptions {
  api: Pick<KubeApi, "list" | "watch">;
  kind: Kind;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Shared with others, lets only some of them list at once: a list is the largest thing there is in memory. */
  listing?: Gate;
  /** What is kept of each item. */
  keep?: (item: KubeObject) => KubeObject;
  /** Lists nothing and only tells what comes after: for what is not worth a list of the whole cluster. */
  fromNow?: boolean;
  clock: Clock;
  random: () => number;
  log: Log;
  /** All there is: what is not among it is gone. */
  onList(list: KubeList): void;
  onEvent(event: WatchEvent): void;
  onOutcome?(outcome: "started" | "relisted" | "failed"): void;
  onFailure?(error: unknown): void;
  /** Whether a refused list says that there is nothing of the kind at all: then it is asked again now and then. */
  isAbsent?(error: unknown): boolean;
  onAbsent?(): void;
  times?: Partial<ReflectorTimes>;
}

export interface ReflectorTimes {
  /** Bookmarks come every minute: a watch that says nothing for longer may be dead, and is opened again. */
  silenceMs: number;
  /** The server ends a watch after this long, and up to twice as long. */
  lifeSeconds: number;
  listMs: number;
  firstWaitMs: number;
  longestWaitMs: number;
  /** A watch that holds for this long after the server accepted it works. */
  settledMs: number;
  /** How often it is asked whether a kind that the server does not know has come. */
  absentMs: number;
}

const TIMES: ReflectorTimes = {
  silenceMs: 90_000,
  lifeSeconds: 240,
  listMs: 60_000,
  firstWaitMs: 100,
  longestWaitMs: 30_000,
  settledMs: 5000,
  absentMs: 10_000,
};

/** So many watches in a row that failed at the same version: what there is is listed again, in case the version is why. */
const RELIST_AFTER = 5;

/**
 * Tells what there is of one kind and every change of it, for ever: lists, watches from there, goes on from the last
 * version told when a watch ends or breaks, and lists again when that version is too old. Whatever happens, it tries
 * again, waiting longer each time, until {@link stop}.
 */
export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #times: ReflectorTimes;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #version: string | undefined;
  #synced = false;
  #absent = false;
  /** Errors since it last worked. */
  #failures = 0;
  #failingSince: number | undefined;
  #error = "";

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
  }

  /** What there is was listed once. */
  get synced(): boolean {
    return this.#synced;
  }

  /** The server does not know the kind. */
  get absent(): boolean {
    return this.#absent;
  }

  /** The last version told; undefined before the first list, and when it is too old to go on from. */
  get version(): string | undefined {
    return this.#version;
  }

  /** Since when it fails, and why; undefined while it works. */
  get failing(): { since: number; error: string } | undefined {
    return this.#failingSince === undefined ? undefined : { since: this.#failingSince, error: this.#error };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends it; nothing is told any more, and nothing of it is left. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stopped) {
      const began = clock.now();
      try {
        if (this.#version === undefined) await this.#list();
        if (this.#absent) {
          await this.#wait(jittered(this.#times.absentMs, 0.2, this.#options.random));
          continue;
        }
        await this.#watch();
        // A server that ends each watch at once would otherwise be asked without pause.
        if (clock.now() - began < 1000) await this.#wait(this.#times.firstWaitMs);
      } catch (error) {
        if (this.#stopped) return;
        await this.#failed(error);
      }
    }
  }

  async #list(): Promise<void> {
    const leave = await this.#options.listing?.enter();
    try {
      await this.#listNow();
    } finally {
      leave?.();
    }
  }

  async #listNow(): Promise<void> {
    const { fromNow, onAbsent, onList, onOutcome } = this.#options;
    if (this.#stopped) return;
    const list = await this.#bounded(this.#times.listMs, "the list took too long", (signal) =>
      this.#ask(signal),
    );
    if (this.#stopped) return;
    this.#absent = list === undefined;
    this.#version = list?.resourceVersion;
    if (list === undefined) {
      this.#works();
      onAbsent?.();
    } else {
      onOutcome?.("relisted");
      onList(fromNow ? { ...list, items: [] } : list);
    }
    this.#synced = true;
  }

  /** Undefined: there is no such kind. */
  async #ask(signal: AbortSignal): Promise<KubeList | undefined> {
    const { api, fieldSelector, fromNow, isAbsent, keep, kind, labelSelector } = this.#options;
    try {
      return await api.list(kind, {
        ...(labelSelector === undefined ? {} : { labelSelector }),
        ...(keep === undefined ? {} : { keep }),
        ...(fromNow
          ? { fieldSelector: "metadata.name=-", metadataOnly: true }
          : fieldSelector && { fieldSelector }),
        signal,
      });
    } catch (error) {
      if (isAbsent?.(error)) return undefined;
      throw error;
    }
  }

  async #watch(): Promise<void> {
    const { api, clock, fieldSelector, kind, labelSelector, onEvent, onOutcome, random } = this.#options;
    const { lifeSeconds, settledMs, silenceMs } = this.#times;
    const resourceVersion = this.#version;
    if (this.#stopped || resourceVersion === undefined) return;
    onOutcome?.("started");
    let open = true;
    let accepted = false;
    let cancelSettled = () => {};
    // A server that hangs lets a watch wait as long as one that has nothing to tell.
    const onOpen = () => {
      accepted = true;
      cancelSettled = clock.after(settledMs, () => this.#works());
    };
    try {
      await this.#bounded(silenceMs, "the server did not begin to answer", (signal, alive) =>
        api.watch(
          kind,
          {
            resourceVersion,
            ...(labelSelector === undefined ? {} : { labelSelector }),
            ...(fieldSelector === undefined ? {} : { fieldSelector }),
            timeoutSeconds: Math.round(lifeSeconds * (1 + random())),
            signal,
            onOpen,
          },
          (event) => {
            // What a watch that was given up still says comes too late: another one tells it.
            if (!open || this.#stopped) return;
            alive();
            this.#works();
            const version = event.object.metadata.resourceVersion;
            if (version !== undefined) this.#version = version;
            if (event.type !== "BOOKMARK") onEvent(event);
          },
        ),
      );
    } catch (error) {
      // A quiet kind: the watch is opened again from where it was, and nothing was missed.
      if (!(error instanceof Silence) || !accepted) throw error;
    } finally {
      open = false;
      cancelSettled();
    }
  }

  #works(): void {
    if (this.#failingSince !== undefined && this.#failures > 1) {
      this.#options.log.info("a watch works again", { resource: KINDS[this.#options.kind].resource });
    }
    this.#failures = 0;
    this.#failingSince = undefined;
  }

  async #failed(error: unknown): Promise<void> {
    const { clock, kind, log, onFailure, onOutcome, random } = this.#options;
    const { firstWaitMs, longestWaitMs } = this.#times;
    this.#failures += 1;
    this.#failingSince ??= clock.now();
    this.#error = errorMessage(error);
    onOutcome?.("failed");
    onFailure?.(error);
    const gone = error instanceof KubeError && (error.code === "GONE" || error.code === "NOT_FOUND");
    if (gone || this.#failures % RELIST_AFTER === 0) this.#version = undefined;
    const facts = { resource: KINDS[kind].resource, error: this.#error, failures: this.#failures };
    // One break is nothing to speak of; more in a row are, once.
    if (this.#failures === 3) log.warn("a watch keeps failing", facts);
    else log.debug("a watch failed", facts);
    const told = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    const wait = jittered(backoff(this.#failures, firstWaitMs, longestWaitMs), 0.5, random);
    await this.#wait(Math.max(Math.min(told, longestWaitMs), wait));
  }

  #wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#stopping;
      const done = () => {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#options.clock.after(milliseconds, done);
      signal.addEventListener("abort", done);
      if (signal.aborted) done();
    });
  }

  /**
   * Does the work for as long as it shows signs of life within the limit. Whether or not it heeds its signal, this
   * returns.
   * @throws {Silence} when it shows none
   */
  async #bounded<T>(
    limitMs: number,
    what: string,
    work: (signal: AbortSignal, alive: () => void) => Promise<T>,
  ): Promise<T> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    const controller = new AbortController();
    const { promise: limit, reject } = Promise.withResolvers<never>();
    const expire = () => reject(new Silence(what));
    const stop = () => reject(new Error("stopped"));
    let cancel = clock.after(limitMs, expire);
    const alive = () => {
      cancel();
      cancel = clock.after(limitMs, expire);
    };
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    try {
      return await Promise.race([work(controller.signal, alive), limit]);
    } finally {
      cancel();
      signal.removeEventListener("abort", stop);
      controller.abort();
    }
  }
}

class Silence extends Error {}
