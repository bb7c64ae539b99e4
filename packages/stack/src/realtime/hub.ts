import { encodePush, encodeUserBroadcast, type UserBroadcast, type Version } from "./frames.ts";
import { type Diff, PresenceState } from "./presence.ts";

/** A joined channel as the hub sees it. */
export interface Member {
  readonly version: Version;
  /** The topic as the client named it. */
  readonly topic: string;
  readonly maySeeBroadcasts: boolean;
  readonly maySeePresence: boolean;
  send(data: string | Buffer): void;
}

interface Topic {
  members: Set<Member>;
  presence: PresenceState<Member>;
}

/** Topics and who is in them. A private topic and a public one of the same name are two. */
export class Hub {
  readonly #topics = new Map<string, Topic>();

  join(name: string, isPrivate: boolean, member: Member): void {
    const key = keyOf(name, isPrivate);
    let topic = this.#topics.get(key);
    if (!topic) {
      topic = { members: new Set(), presence: new PresenceState() };
      this.#topics.set(key, topic);
    }
    topic.members.add(member);
  }

  leave(name: string, isPrivate: boolean, member: Member): void {
    const key = keyOf(name, isPrivate);
    const topic = this.#topics.get(key);
    if (!topic?.members.delete(member)) return;
    const diff = topic.presence.untrack(member);
    if (topic.members.size === 0) this.#topics.delete(key);
    else if (diff) pushDiff(topic, diff);
  }

  /** The topic's presences as JSON, for a newcomer. */
  presences(name: string, isPrivate: boolean): string {
    return JSON.stringify(this.#topics.get(keyOf(name, isPrivate))?.presence.list() ?? {});
  }

  track(
    name: string,
    isPrivate: boolean,
    member: Member,
    key: string,
    payload: Record<string, unknown>,
  ): void {
    const topic = this.#topics.get(keyOf(name, isPrivate));
    if (topic?.members.has(member)) pushDiff(topic, topic.presence.track(member, key, payload));
  }

  untrack(name: string, isPrivate: boolean, member: Member): void {
    const topic = this.#topics.get(keyOf(name, isPrivate));
    const diff = topic?.presence.untrack(member);
    if (topic && diff) pushDiff(topic, diff);
  }

  /** Sends a broadcast to everyone in the topic but `from`; each form is encoded once. */
  broadcast(
    name: string,
    isPrivate: boolean,
    message: UserBroadcast,
    options: { from?: Member; meta?: Record<string, unknown> } = {},
  ): void {
    this.#fanOut(name, isPrivate, options.from, (version, topic) =>
      encodeUserBroadcast(version, topic, message, options.meta),
    );
  }

  /** Sends a broadcast that came as text on as text. */
  broadcastText(name: string, isPrivate: boolean, payloadJson: string, from?: Member): void {
    this.#fanOut(name, isPrivate, from, (version, topic) =>
      encodePush(version, topic, "broadcast", payloadJson),
    );
  }

  #fanOut(
    name: string,
    isPrivate: boolean,
    from: Member | undefined,
    encode: (version: Version, topic: string) => string | Buffer | undefined,
  ): void {
    const encoded = new Map<Version, string | Buffer | undefined>();
    for (const member of this.#topics.get(keyOf(name, isPrivate))?.members ?? []) {
      if (member === from || !member.maySeeBroadcasts) continue;
      const { version, topic } = member;
      if (!encoded.has(version)) encoded.set(version, encode(version, topic));
      const data = encoded.get(version);
      if (data !== undefined) member.send(data);
    }
  }
}

function pushDiff(topic: Topic, diff: Diff): void {
  const json = JSON.stringify(diff);
  for (const member of topic.members) {
    if (member.maySeePresence) member.send(encodePush(member.version, member.topic, "presence_diff", json));
  }
}

function keyOf(name: string, isPrivate: boolean): string {
  return `${isPrivate ? "private" : "public"}:${name}`;
}
