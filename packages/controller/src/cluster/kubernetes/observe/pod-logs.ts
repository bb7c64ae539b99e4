// Collects the logs of all agents' pods within bounds.

import { backoff, type Clock, jittered } from "../../../clock.ts";
import { errorMessage, type Log } from "../../../log.ts";
import type { ReplicaLog } from "../../cluster.ts";
import { LogBudgets } from "../../log-budget.ts";
import { type KubeApi, KubeError, type PodLogQuery } from "../api.ts";
import { CONTAINER, LABELS } from "../names.ts";
import { Gate, Pace } from "./concurrency.ts";
import { LogBreaks, LogCursor, secondsText } from "./log-cursor.ts";
import { readLog } from "./log-reader.ts";
import { containerOf, type Pod, timeOf } from "./objects.ts";
import type { Redact, Redactors } from "./redactors.ts";
import type { ClusterView } from "./view.ts";

export interface PodLogsOptions {
  api: Pick<KubeApi, "podLog">;
  view: Pick<ClusterView, "pods" | "onPod">;
  redactors: Pick<Redactors, "of">;
  /** How much of an agent's output is kept. */
  budgets?: LogBudgets;
  /** Whether logs are read at all, true by default; otherwise each replica's log says once that they are not. */
  store?: boolean;
  /** Whether this controller passes on what the agent says. */
  responsible(agentId: string, namespace?: string): boolean;
  clock: Clock;
  random: () => number;
  log: Log;
  onLine(line: ReplicaLog): void;
  /** A log is being opened: to follow it, or to read what is new. */
  onOpen?(how: "followed" | "read"): void;
  limits?: Partial<PodLogsLimits>;
}

export interface PodLogsLimits {
  /** Logs followed at once; those of further pods are read again and again. */
  followed: number;
  /** Streams and reads that are being opened at once. */
  opening: number;
  /** First reads of a container, and last words of one that ended: at most so many a second. */
  firstPerSecond: number;
  /** Reads again: at most so many a second. With more pods than can be followed, each waits longer for its turn. */
  againPerSecond: number;
  /** How far back a pod is read that this controller meets for the first time. */
  backfillMs: number;
  backfillLines: number;
  /** Between reads of a pod that is not followed: from the first to the second while nothing comes. */
  pollMs: number;
  slowestPollMs: number;
  /** How often it is asked which agents this controller is responsible for. */
  reviewMs: number;
  /** A stream that is silent for so long is opened again. */
  quietMs: number;
  /** How long a pod that is gone may still be read. */
  lastWordsMs: number;
}

const LIMITS: PodLogsLimits = {
  followed: 1000,
  opening: 16,
  firstPerSecond: 50,
  againPerSecond: 50,
  backfillMs: 3_600_000,
  backfillLines: 5000,
  pollMs: 2000,
  slowestPollMs: 30_000,
  reviewMs: 2000,
  quietMs: 300_000,
  lastWordsMs: 5000,
};

/** A replica that says nothing is not answered for: so long it counts as being opened. */
const OPENING_MS = 500;
/** A stream that ended within the first has told all there is for now; the second is the least until the next. */
const SHORT_MS = 1000;
const RETRY_MS = 500;

/** One start of the container: its number, and whether it has ended. */
interface Life {
  number: number;
  /** When it began, in milliseconds. */
  began: number;
  over: boolean;
}

interface Reader {
  pod: Pod;
  cursor: LogCursor;
  /** The life read last, and whether it was read to its end. */
  life: number | undefined;
  complete: boolean;
  breaks: LogBreaks;
  /** Aborted when nothing more of the pod may be read. */
  ending: AbortController;
  gone: boolean;
  /** Errors since a line was read. */
  failures: number;
  /** The life whose reading was begun last. */
  tried: Life | undefined;
  /** Something of the pod changed, or it need not be waited for any more. */
  wake: () => void;
  running: Promise<void>;
}

/**
 * Follows the logs of the pods of the agents that this controller holds, each from its beginning to its end, through
 * broken connections and restarts of the container. Nothing is told twice under another number, and a line is told again
 * only by another controller.
 */
export class PodLogs {
  readonly #options: PodLogsOptions;
  readonly #limits: PodLogsLimits;
  readonly #readers = new Map<string, Reader>();
  readonly #budgets: LogBudgets;
  readonly #opening: Gate;
  readonly #first: Pace;
  readonly #again: Pace;
  #followed = 0;
  #cancelReview: () => void = () => {};
  #stopped = false;

  constructor(options: PodLogsOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#budgets = options.budgets ?? new LogBudgets({ clock: options.clock });
    const { againPerSecond, firstPerSecond, opening } = this.#limits;
    this.#opening = new Gate(opening);
    this.#first = new Pace(options.clock, firstPerSecond, 2 * firstPerSecond);
    this.#again = new Pace(options.clock, againPerSecond, 2 * againPerSecond);
  }

  /** How many pods are read, and how many of them by a stream that stays open. */
  get counts(): { readers: number; followed: number } {
    return { readers: this.#readers.size, followed: this.#followed };
  }

  start(): void {
    this.#options.view.onPod((before, after) => this.#changed(before, after));
    this.#review();
  }

  /** Ends every reading at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelReview();
    const readers = [...this.#readers.values()];
    for (const reader of readers) this.#end(reader);
    await Promise.all(readers.map(({ running }) => running));
  }

  /** Begins with pods of agents that came into this controller's hands, and leaves those that went out of them. */
  #review(): void {
    const { clock, responsible, view } = this.#options;
    for (const reader of this.#readers.values()) {
      if (!reader.gone && !responsible(agentOf(reader.pod), reader.pod.metadata.namespace)) this.#end(reader);
    }
    for (const pod of view.pods()) this.#consider(pod);
    if (!this.#stopped) this.#cancelReview = clock.after(this.#limits.reviewMs, () => this.#review());
  }

  #changed(before: Pod | undefined, after: Pod | undefined): void {
    const uid = before?.metadata.uid;
    const reader = uid === undefined ? undefined : this.#readers.get(uid);
    if (reader !== undefined && after?.metadata.uid !== uid) this.#leave(reader);
    if (after === undefined) return;
    const known = this.#readers.get(after.metadata.uid ?? "");
    if (known === undefined) this.#consider(after);
    else {
      known.pod = after;
      known.wake();
    }
  }

  #consider(pod: Pod): void {
    const { uid } = pod.metadata;
    if (this.#stopped || uid === undefined || this.#readers.has(uid)) return;
    if (lifeOf(pod) === undefined || !this.#options.responsible(agentOf(pod), pod.metadata.namespace)) return;
    const reader: Reader = {
      pod,
      cursor: new LogCursor(),
      life: undefined,
      complete: false,
      breaks: new LogBreaks(),
      ending: new AbortController(),
      gone: false,
      failures: 0,
      tried: undefined,
      wake: () => {},
      running: Promise.resolve(),
    };
    this.#readers.set(uid, reader);
    const running = (this.#options.store ?? true) ? this.#run(reader) : this.#leaveUnread(reader);
    reader.running = running.finally(() => {
      if (this.#readers.get(uid) === reader) this.#readers.delete(uid);
    });
  }

  /** The pod is gone: what is still on its way is read, for a moment. */
  #leave(reader: Reader): void {
    reader.gone = true;
    const cancel = this.#options.clock.after(this.#limits.lastWordsMs, () => this.#end(reader));
    void reader.running.finally(cancel);
    reader.wake();
  }

  #end(reader: Reader): void {
    reader.ending.abort();
    reader.wake();
  }

  /** Says in place of the log that it is not read. Its number is the pod's age: another controller says the same. */
  async #leaveUnread(reader: Reader): Promise<void> {
    const { metadata } = reader.pod;
    const created = timeOf(metadata.creationTimestamp) ?? 0;
    this.#options.onLine({
      agentId: agentOf(reader.pod),
      replica: metadata.name,
      sequence: created * 1000,
      timestamp: new Date(created).toISOString(),
      level: "INFO",
      message:
        "Logs of agents are not stored on this installation. Its operator can read them in the cluster.",
      source: "controller",
      metadata: {},
    });
    while (!reader.gone && !reader.ending.signal.aborted) await this.#pause(reader, undefined);
  }

  async #run(reader: Reader): Promise<void> {
    const { clock, log, random } = this.#options;
    const { pollMs, slowestPollMs } = this.#limits;
    const { signal } = reader.ending;
    let quiet = 0;
    while (!signal.aborted) {
      const life = lifeOf(reader.pod);
      const done = life === undefined || (reader.life === life.number && reader.complete);
      if (done && reader.gone) return;
      if (done) {
        await this.#pause(reader, undefined);
        continue;
      }
      const began = clock.now();
      try {
        const { fresh, followed } = await this.#read(reader, life);
        if (reader.gone) return;
        reader.failures = 0;
        quiet = fresh > 0 ? 0 : quiet + 1;
        // A stream that ends at once: the container did, and its status comes in a moment; or the node follows no more logs
        // than it can. Then this one too is read now and then.
        if (!life.over && clock.now() - began < SHORT_MS) {
          await this.#pause(reader, backoff(quiet + 1, followed ? RETRY_MS : pollMs, slowestPollMs));
        }
      } catch (error) {
        if (signal.aborted || reader.gone) return;
        reader.failures += 1;
        const { failures } = reader;
        const facts = { replica: reader.pod.metadata.name, error: errorMessage(error), failures };
        if (failures === 5) log.warn("a replica's log cannot be read", facts);
        else log.debug("reading a replica's log failed", facts);
        await this.#pause(reader, jittered(backoff(failures, 250, 30_000), 0.5, random));
      }
    }
  }

  /** Reads what is new, once: what is left of the life before, then this one. */
  async #read(reader: Reader, life: Life): Promise<{ fresh: number; followed: boolean }> {
    const isFirst = reader.tried?.number !== life.number || reader.tried.over !== life.over;
    reader.tried = life;
    await (isFirst ? this.#first : this.#again).turn(reader.ending.signal);
    const leave = await this.#opening.enter();
    if (reader.ending.signal.aborted) {
      leave();
      return { fresh: 0, followed: false };
    }
    const follow = !life.over && this.#followed < this.#limits.followed;
    if (follow) this.#followed += 1;
    const cancel = follow ? this.#options.clock.after(OPENING_MS, leave) : () => {};
    try {
      const redact = await this.#options.redactors.of(reader.pod);
      this.#options.onOpen?.(follow ? "followed" : "read");
      let fresh = 0;
      const { breaks, cursor } = reader;
      if (life.number > (reader.life ?? 0) && !reader.complete) {
        const before = new LogCursor(breaks.certain(life.began, cursor.told));
        fresh += await this.#readOnce(reader, before, redact, { previous: true }).catch(noPrevious);
        cursor.skip(before.told);
      }
      if (reader.life !== life.number) breaks.clear();
      reader.life = life.number;
      reader.complete = false;
      try {
        fresh += await this.#readOnce(reader, cursor, redact, { follow }, follow ? leave : undefined);
      } finally {
        breaks.note(cursor.told, this.#options.clock.now());
      }
      reader.complete = life.over;
      return { fresh, followed: follow };
    } finally {
      if (follow) this.#followed -= 1;
      cancel();
      leave();
    }
  }

  async #readOnce(
    reader: Reader,
    cursor: LogCursor,
    redact: Redact,
    query: Pick<PodLogQuery, "follow" | "previous">,
    onOpen: () => void = () => {},
  ): Promise<number> {
    const { api, clock, onLine } = this.#options;
    const { ending, pod } = reader;
    const limit = new AbortController();
    // A replica may be silent for long, a dead connection for ever: now and then it is read from where it was.
    let quiet = false;
    const hush = () => {
      quiet = true;
      limit.abort();
    };
    let cancel = clock.after(this.#limits.quietMs, hush);
    const stop = () => limit.abort();
    ending.signal.addEventListener("abort", stop);
    if (ending.signal.aborted) stop();
    let fresh = 0;
    try {
      await readLog({
        api,
        pod,
        cursor,
        redact,
        budget: this.#budgets.of(agentOf(pod)),
        query: { ...query, ...this.#from(pod, cursor), signal: limit.signal },
        onLine: (line) => {
          if (ending.signal.aborted) return;
          fresh += 1;
          reader.failures = 0;
          reader.breaks.tell(line.sequence);
          onLine(line);
        },
        onData: () => {
          onOpen();
          cancel();
          cancel = clock.after(this.#limits.quietMs, hush);
        },
      });
    } catch (error) {
      if (!quiet) throw error;
    } finally {
      cancel();
      ending.signal.removeEventListener("abort", stop);
    }
    return fresh;
  }

  /** From where to read: where it was left, or else the beginning, or as far back as is worth it. */
  #from(pod: Pod, cursor: LogCursor): Pick<PodLogQuery, "sinceTime" | "tailLines"> {
    if (cursor.since !== undefined) return { sinceTime: cursor.since };
    const { backfillLines, backfillMs } = this.#limits;
    const earliest = this.#options.clock.now() - backfillMs;
    if ((timeOf(pod.metadata.creationTimestamp) ?? 0) >= earliest) return {};
    return { sinceTime: secondsText(Math.floor(earliest / 1000)), tailLines: backfillLines };
  }

  /** Waits until something of the pod changes, or for so long. */
  #pause(reader: Reader, milliseconds: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      if (reader.ending.signal.aborted) return resolve();
      let cancel = () => {};
      reader.wake = () => {
        cancel();
        reader.wake = () => {};
        resolve();
      };
      if (milliseconds !== undefined) cancel = this.#options.clock.after(milliseconds, reader.wake);
    });
  }
}

/** The start of the container that can be read now; undefined when it never was started. */
function lifeOf(pod: Pod): Life | undefined {
  const status = containerOf(pod, CONTAINER);
  const { running, terminated = status?.lastState?.terminated } = status?.state ?? {};
  const life = running ?? terminated;
  if (life === undefined) return undefined;
  return {
    number: status?.restartCount ?? 0,
    began: timeOf(life.startedAt) ?? 0,
    over: running === undefined,
  };
}

/** The node has put the life before away already. */
function noPrevious(error: unknown): number {
  if (error instanceof KubeError && (error.code === "INVALID" || error.code === "NOT_FOUND")) return 0;
  throw error;
}

function agentOf(pod: Pod): string {
  return pod.metadata.labels?.[LABELS.agent] ?? "";
}
