// Topics and who is in them; a message to a topic is encoded once and sent to each member.
import { encodePush, encodeUserBroadcast, type UserBroadcast, type Version } from "./frames.ts";
import type { Limits } from "./limits.ts";
import { PresenceState } from "./presence.ts";

/** A joined channel as the hub sees it. */
export interface Member {
  readonly version: Version;
  /** The topic as the client named it. */
  readonly topic: string;
  readonly maySeeBroadcasts: boolean;
  readonly maySeePresence: boolean;
  /** Sends a whole frame; many members share one buffer. */
  send(data: string | Buffer, options?: { binary: boolean }): void;
}

/** How much a message made the server send. */
export interface Sent {
  deliveries: number;
  bytes: number;
}

interface Topic {
  members: Set<Member>;
  presence: PresenceState<Member>;
  /** presence_state by version, until the next diff. */
  state: Map<Version, Buffer>;
  /** When the next diff may be sent, and the timer that waits for it. */
  nextDiffAt: number;
  timer?: NodeJS.Timeout;
}

type HubLimits = Pick<
  Limits,
  "presenceBytesPerTopic" | "presenceDeliveriesPerSecond" | "presenceDeliveredBytesPerSecond"
>;

const TEXT = { binary: false };
const BINARY = { binary: true };

/** Topics and who is in them. A private topic and a public one of the same name are two. */
export class Hub {
  readonly #topics = new Map<string, Topic>();
  readonly #limits: HubLimits;
  readonly #now: () => number;

  constructor(limits: HubLimits, now: () => number = Date.now) {
    this.#limits = limits;
    this.#now = now;
  }

  join(name: string, isPrivate: boolean, member: Member): void {
    const key = keyOf(name, isPrivate);
    let topic = this.#topics.get(key);
    if (!topic) {
      topic = { members: new Set(), presence: new PresenceState(), state: new Map(), nextDiffAt: 0 };
      this.#topics.set(key, topic);
    }
    topic.members.add(member);
  }

  leave(name: string, isPrivate: boolean, member: Member): void {
    const key = keyOf(name, isPrivate);
    const topic = this.#topics.get(key);
    if (!topic?.members.delete(member)) return;
    const wasPresent = topic.presence.untrack(member);
    if (topic.members.size === 0) {
      clearTimeout(topic.timer);
      this.#topics.delete(key);
    } else if (wasPresent) this.#presenceChanged(topic);
  }

  /** Sends a newcomer who is present. */
  sendPresences(name: string, isPrivate: boolean, member: Member): Sent {
    const topic = this.#topics.get(keyOf(name, isPrivate));
    let data = topic?.state.get(member.version);
    if (!data) {
      const json = JSON.stringify(topic?.presence.list() ?? {});
      data = Buffer.from(encodePush(member.version, member.topic, "presence_state", json));
      topic?.state.set(member.version, data);
    }
    member.send(data, TEXT);
    return { deliveries: 1, bytes: data.length };
  }

  /**
   * Shows a member with this payload, of `bytes` as JSON. Undefined when the topic's presences are full; otherwise what
   * the change makes the server send.
   */
  track(
    name: string,
    isPrivate: boolean,
    member: Member,
    presence: { key: string; payload: Record<string, unknown>; bytes: number },
  ): Sent | undefined {
    const topic = this.#topics.get(keyOf(name, isPrivate));
    if (!topic?.members.has(member)) return { deliveries: 0, bytes: 0 };
    const { key, payload, bytes } = presence;
    const total = topic.presence.bytes - topic.presence.bytesOf(member) + bytes;
    if (total > this.#limits.presenceBytesPerTopic) return undefined;
    topic.presence.track(member, key, payload, bytes);
    this.#presenceChanged(topic);
    return { deliveries: topic.members.size, bytes: bytes * topic.members.size };
  }

  untrack(name: string, isPrivate: boolean, member: Member): void {
    const topic = this.#topics.get(keyOf(name, isPrivate));
    if (topic?.presence.untrack(member)) this.#presenceChanged(topic);
  }

  /** Sends a broadcast to everyone in the topic but `from`; each form is encoded once. */
  broadcast(
    name: string,
    isPrivate: boolean,
    message: UserBroadcast,
    options: { from?: Member; meta?: Record<string, unknown> } = {},
  ): Sent {
    return this.#fanOut(name, isPrivate, options.from, (version, topic) =>
      encodeUserBroadcast(version, topic, message, options.meta),
    );
  }

  /** Sends a broadcast that came as text on as text. */
  broadcastText(name: string, isPrivate: boolean, payloadJson: string, from?: Member): Sent {
    return this.#fanOut(name, isPrivate, from, (version, topic) =>
      encodePush(version, topic, "broadcast", payloadJson),
    );
  }

  #fanOut(
    name: string,
    isPrivate: boolean,
    from: Member | undefined,
    encode: (version: Version, topic: string) => string | Buffer | undefined,
  ): Sent {
    const members = this.#topics.get(keyOf(name, isPrivate))?.members ?? [];
    return sendEncoded(members, encode, (member) => member !== from && member.maySeeBroadcasts);
  }

  /** Sends the diff now, or once the crowd's last one is paid: in a large crowd changes are combined, none is lost. */
  #presenceChanged(topic: Topic): void {
    if (topic.timer) return;
    const wait = topic.nextDiffAt - this.#now();
    if (wait <= 0) {
      this.#sendDiff(topic);
      return;
    }
    topic.timer = setTimeout(() => {
      delete topic.timer;
      this.#sendDiff(topic);
    }, wait);
    topic.timer.unref();
  }

  #sendDiff(topic: Topic): void {
    const diff = topic.presence.nextDiff();
    if (!diff) return;
    topic.state.clear();
    const json = JSON.stringify(diff);
    const { deliveries, bytes } = sendEncoded(
      topic.members,
      (version, name) => encodePush(version, name, "presence_diff", json),
      (member) => member.maySeePresence,
    );
    const limits = this.#limits;
    const share = Math.max(
      deliveries / limits.presenceDeliveriesPerSecond,
      bytes / limits.presenceDeliveredBytesPerSecond,
    );
    topic.nextDiffAt = this.#now() + share * 1000;
  }
}

function sendEncoded(
  members: Iterable<Member>,
  encode: (version: Version, topic: string) => string | Buffer | undefined,
  receives: (member: Member) => boolean,
): Sent {
  const encoded = new Map<Version, { data: Buffer; options: { binary: boolean } } | undefined>();
  const sent = { deliveries: 0, bytes: 0 };
  for (const member of members) {
    if (!receives(member)) continue;
    const { version, topic } = member;
    if (!encoded.has(version)) {
      const frame = encode(version, topic);
      const form =
        typeof frame === "string"
          ? { data: Buffer.from(frame), options: TEXT }
          : frame && { data: frame, options: BINARY };
      encoded.set(version, form);
    }
    const form = encoded.get(version);
    if (!form) continue;
    member.send(form.data, form.options);
    sent.deliveries += 1;
    sent.bytes += form.data.length;
  }
  return sent;
}

function keyOf(name: string, isPrivate: boolean): string {
  return `${isPrivate ? "private" : "public"}:${name}`;
}
