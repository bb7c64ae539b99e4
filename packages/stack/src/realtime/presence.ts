import { randomBytes } from "node:crypto";

export type Meta = Record<string, unknown> & { phx_ref: string };
/** Presences by key, as presence_state and the halves of presence_diff carry them. */
export type Presences = Record<string, { metas: Meta[] }>;

export interface Diff {
  joins: Presences;
  leaves: Presences;
}

/** Who is present on one topic: each member (a channel of a connection) under one key with one meta. */
export class PresenceState<Member> {
  readonly #members = new Map<Member, { key: string; meta: Meta }>();
  readonly #newRef: () => string;

  constructor(newRef: () => string = () => randomBytes(9).toString("base64")) {
    this.#newRef = newRef;
  }

  get size(): number {
    return this.#members.size;
  }

  /** Puts a member or changes its payload; the diff names the old meta as having left, as Phoenix.Presence.update does. */
  track(member: Member, key: string, payload: Record<string, unknown>): Diff {
    const before = this.#members.get(member);
    const meta: Meta = {
      ...payload,
      phx_ref: this.#newRef(),
      ...(before ? { phx_ref_prev: before.meta.phx_ref } : {}),
    };
    this.#members.set(member, { key, meta });
    return {
      joins: { [key]: { metas: [meta] } },
      leaves: before ? { [before.key]: { metas: [before.meta] } } : {},
    };
  }

  /** Removes a member; undefined when it was not there. */
  untrack(member: Member): Diff | undefined {
    const before = this.#members.get(member);
    if (!before) return undefined;
    this.#members.delete(member);
    return { joins: {}, leaves: { [before.key]: { metas: [before.meta] } } };
  }

  /** Everyone, as a newcomer gets it. */
  list(): Presences {
    const all = new Map<string, Meta[]>();
    for (const { key, meta } of this.#members.values()) {
      const metas = all.get(key);
      if (metas) metas.push(meta);
      else all.set(key, [meta]);
    }
    return Object.fromEntries([...all].map(([key, metas]) => [key, { metas }]));
  }
}
