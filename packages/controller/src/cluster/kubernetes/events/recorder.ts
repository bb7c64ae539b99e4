// Writes what the controller did as Kubernetes Events, where `kubectl describe` and `kubectl events` show it.
import { hostname } from "node:os";
import type { EventsV1Event } from "@kubernetes/client-node";
import type { Clock } from "../../../clock.ts";
import { errorMessage, type Log } from "../../../log.ts";
import type { KubeApi, KubeObject } from "../api.ts";
import { optional, type Wire } from "../manifests/wire.ts";
import { Gate } from "../observe/concurrency.ts";
import { type Note, type Series, SeriesBook, type SeriesLimits } from "./series.ts";

/** Who writes, as Events say it. */
export const REPORTER = "agent-launchpad.dev/controller";

/** What an Event is about. */
export interface Regarding {
  apiVersion: string;
  kind: string;
  namespace: string;
  name: string;
  uid?: string;
}

export interface RecorderOptions {
  api: Pick<KubeApi, "record">;
  clock: Clock;
  log: Log;
  /** Where this controller's own pod is; undefined: it runs outside of the cluster, and notes about it are only logged. */
  namespace?: string | undefined;
  /** The name of this controller's pod. */
  instance?: string;
  limits?: Partial<SeriesLimits>;
  onOutcome?(outcome: EventOutcome): void;
}

/** Dropped: too many at once. */
export type EventOutcome = "written" | "failed" | "dropped";

/** What the API server takes of a text, in bytes. */
const TEXT = 1024;
const AT_ONCE = 4;
/** Writes that wait while the API server is slow; more are dropped. */
const WAITING = 100;

/** Notes never fail and never wait: an Event that cannot be written is counted and left out. */
export class EventRecorder {
  readonly #options: RecorderOptions;
  readonly #instance: string;
  readonly #book: SeriesBook;
  readonly #gate = new Gate(AT_ONCE);
  readonly #plans = new Set<() => void>();
  #waiting = 0;
  #stopped = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#instance = (options.instance ?? hostname()).slice(0, 128);
    this.#book = new SeriesBook(options.limits);
  }

  /** Notes something about the controller itself: a brake, a hold, a rollout of all agents. */
  noteOwn(note: Note): void {
    const { namespace } = this.#options;
    if (namespace === undefined) return;
    this.note({ apiVersion: "v1", kind: "Pod", namespace, name: this.#instance }, note);
  }

  note(regarding: Regarding, note: Note): void {
    if (this.#stopped) return;
    const { clock, onOutcome } = this.#options;
    const clipped = { ...note, text: clip(note.text) };
    const about = `${regarding.kind}/${regarding.namespace}/${regarding.name}/${regarding.uid ?? ""}`;
    const verdict = this.#book.see(about, clipped, clock.now());
    switch (verdict.do) {
      case "write":
        return void this.#write(regarding, clipped, verdict.series);
      case "wait": {
        const cancel = clock.after(verdict.until - clock.now(), () => {
          this.#plans.delete(cancel);
          this.#book.due(verdict.series, clock.now());
          void this.#write(regarding, clipped, verdict.series);
        });
        this.#plans.add(cancel);
        return;
      }
      case "count":
        return;
      case "drop":
        onOutcome?.("dropped");
    }
  }

  /** Ends it; counts that were to be written later are lost. */
  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#plans) cancel();
    this.#plans.clear();
  }

  async #write(regarding: Regarding, note: Note, series: Series): Promise<void> {
    const { api, log, onOutcome } = this.#options;
    if (this.#waiting >= WAITING) return onOutcome?.("dropped");
    this.#waiting += 1;
    const leave = await this.#gate.enter();
    try {
      if (this.#stopped) return;
      await api.record(eventOf(regarding, note, series, this.#instance));
      onOutcome?.("written");
    } catch (error) {
      onOutcome?.("failed");
      log.debug("an event could not be written", { reason: note.reason, error: errorMessage(error) });
    } finally {
      this.#waiting -= 1;
      leave();
    }
  }
}

/** An Event of events.k8s.io/v1. All but its series stays the same from write to write, as the API server demands. */
export function eventOf(
  regarding: Regarding,
  { action, reason, text, type }: Note,
  { count, lastSeen, since }: Series,
  instance: string,
): KubeObject {
  // As client-go names them: unique by the time, within 253 characters.
  const suffix = `.${(since * 1000 + digest(`${instance}${type}${reason}${action}${text}`)).toString(16)}`;
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: {
      name: `${regarding.name.slice(0, 253 - suffix.length)}${suffix}`,
      namespace: regarding.namespace,
    },
    eventTime: microTime(since),
    type,
    reason,
    action,
    note: text,
    regarding,
    reportingController: REPORTER,
    reportingInstance: instance,
    ...optional<Pick<EventsV1Event, "series">>(
      count > 1 && { series: { count, lastObservedTime: microTime(lastSeen) } },
    ),
  } satisfies Wire<EventsV1Event>;
}

/** A number below 1000 that tells two texts of the same millisecond apart. */
function digest(text: string): number {
  let sum = 0;
  for (let index = 0; index < text.length; index += 1) sum = (sum * 31 + text.charCodeAt(index)) % 999_983;
  return sum % 1000;
}

function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace("Z", "000Z");
}

/** At most so many bytes, without a broken character at the end. */
function clip(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= TEXT) return text;
  return `${bytes
    .subarray(0, TEXT - 3)
    .toString("utf8")
    .replace(/\uFFFD+$/, "")}…`;
}
