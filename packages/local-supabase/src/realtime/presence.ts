// Who is present in one topic, and what changed since the last diff.
import { randomBytes } from "node:crypto";

export type Meta = Record<string, unknown> & { phx_ref: string };
/** Presences by key, as presence_state and the halves of presence_diff carry them. */
export type Presences = Record<string, { metas: Meta[] }>;

export interface Diff {
  joins: Presences;
  leaves: Presences;
}

interface Presence {
  key: string;
  meta: Meta;
  bytes: number;
}

/**
 * Who is present in one topic: each member (a channel of a connection) under one key with one meta. Changes are collected:
 * however often a member changes between two diffs, the diff has its last state.
 */
export class PresenceState<Member> {
  readonly #current = new Map<Member, Presence>();
  /** As the clients know it: every diff so far applied. */
  readonly #sent = new Map<Member, Presence>();
  readonly #changed = new Set<Member>();
  readonly #newRef: () => string;
  #bytes = 0;

  constructor(newRef: () => string = () => randomBytes(9).toString("base64")) {
    this.#newRef = newRef;
  }

  /** The size of all payloads together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What a member's payload counts now. */
  bytesOf(member: Member): number {
    return this.#current.get(member)?.bytes ?? 0;
  }

  /** Adds a member or changes its payload. */
  track(member: Member, key: string, payload: Record<string, unknown>, bytes: number): void {
    const before = this.#sent.get(member);
    const meta: Meta = {
      ...payload,
      phx_ref: this.#newRef(),
      ...(before ? { phx_ref_prev: before.meta.phx_ref } : {}),
    };
    this.#bytes += bytes - this.bytesOf(member);
    this.#current.set(member, { key, meta, bytes });
    this.#changed.add(member);
  }

  /** Removes a member; false when it was not there. */
  untrack(member: Member): boolean {
    const before = this.#current.get(member);
    if (!before) return false;
    this.#bytes -= before.bytes;
    this.#current.delete(member);
    this.#changed.add(member);
    return true;
  }

  /** What changed since the last diff, undefined when nothing did. A change names the old meta as a leave, as Phoenix does. */
  nextDiff(): Diff | undefined {
    const joins: Presence[] = [];
    const leaves: Presence[] = [];
    for (const member of this.#changed) {
      const [before, now] = [this.#sent.get(member), this.#current.get(member)];
      if (before) leaves.push(before);
      if (now) {
        joins.push(now);
        this.#sent.set(member, now);
      } else this.#sent.delete(member);
    }
    this.#changed.clear();
    if (joins.length === 0 && leaves.length === 0) return undefined;
    return { joins: byKey(joins), leaves: byKey(leaves) };
  }

  /** Everyone, as a newcomer gets it: the next diff continues from here. */
  list(): Presences {
    return byKey(this.#sent.values());
  }
}

function byKey(presences: Iterable<Presence>): Presences {
  const all = new Map<string, Meta[]>();
  for (const { key, meta } of presences) {
    const metas = all.get(key);
    if (metas) metas.push(meta);
    else all.set(key, [meta]);
  }
  return Object.fromEntries([...all].map(([key, metas]) => [key, { metas }]));
}
