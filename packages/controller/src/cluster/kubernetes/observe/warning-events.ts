// Keeps the latest warning events about the installation's objects.

import type { KubeObject } from "../api.ts";
import { REPORTER } from "../events/recorder.ts";
import { type EventNote, timeOf } from "./objects.ts";

interface WrittenEvent extends KubeObject {
  type?: string;
  reason?: string;
  message?: string;
  note?: string;
  lastTimestamp?: string | null;
  firstTimestamp?: string | null;
  eventTime?: string | null;
  reportingComponent?: string;
  series?: { lastObservedTime?: string };
  involvedObject?: { kind?: string; namespace?: string; name?: string; uid?: string };
}

/** Notes kept about one object, and of how many objects. */
const EACH = 6;
const OBJECTS = 10_000;

/**
 * The latest warnings about objects in namespaces of the installation. Events cannot be asked for by label, so those of
 * the whole cluster pass by and only these are kept, a bounded number.
 */
export class Warnings {
  readonly #prefix: string;
  /** By uid of the object they are about, in the order of their last warning. */
  readonly #about = new Map<string, EventNote[]>();

  /** @param prefix what the names of the installation's namespaces begin with */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Takes a written event; returns what it is about when it is kept. */
  take(object: KubeObject): { kind: string; namespace: string; name: string } | undefined {
    const event = object as WrittenEvent;
    const { kind, name, namespace, uid } = event.involvedObject ?? {};
    // What this installation's controllers wrote themselves says nothing new.
    if (event.reportingComponent === REPORTER) return;
    if (!namespace?.startsWith(this.#prefix) || !kind || !name || !uid || event.type !== "Warning") return;
    const note: EventNote = {
      kind,
      name,
      uid,
      reason: event.reason ?? "",
      message: (event.message ?? event.note ?? "").slice(0, 2000),
      at: lastSeen(event),
    };
    // The same thing again is written into the same event: one note of each reason is kept.
    const notes = (this.#about.get(uid) ?? []).filter(
      (known) => known.reason !== note.reason || known.message.slice(0, 40) !== note.message.slice(0, 40),
    );
    notes.push(note);
    this.#about.delete(uid);
    this.#about.set(uid, notes.slice(-EACH));
    if (this.#about.size > OBJECTS) {
      const [oldest] = this.#about.keys();
      if (oldest !== undefined) this.#about.delete(oldest);
    }
    return { kind, namespace, name };
  }

  /** Warnings about the object, oldest first. */
  about(uid: string | undefined): readonly EventNote[] {
    return uid === undefined ? [] : (this.#about.get(uid) ?? []);
  }

  /** The object is gone. */
  forget(uid: string | undefined): void {
    if (uid !== undefined) this.#about.delete(uid);
  }

  get size(): number {
    return this.#about.size;
  }
}

function lastSeen({ eventTime, firstTimestamp, lastTimestamp, metadata, series }: WrittenEvent): number {
  return (
    timeOf(series?.lastObservedTime) ??
    timeOf(lastTimestamp ?? undefined) ??
    timeOf(eventTime ?? undefined) ??
    timeOf(firstTimestamp ?? undefined) ??
    timeOf(metadata.creationTimestamp) ??
    0
  );
}
