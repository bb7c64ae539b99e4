// What elizaOS remembers of a conversation: the platform's own word where it stores it, else what was said here; bounded both ways.
import { createHash } from "node:crypto";
import type { Turn } from "../engine.ts";
import type { ElizaMemory, ElizaRuntime } from "./types.ts";

/** elizaOS's table of what was said. */
export const MESSAGES = "messages";

/** What the ids of rooms of stored conversations are made of, with the conversation's id. */
export const STORED_ROOM = "stored room";

/** Who speaks, and in which conversation. */
export interface Place {
  readonly entityId: string;
  readonly roomId: string;
}

/** Messages beyond what elizaOS looks back on are forgotten in steps of so many conversations' lengths. */
const KEPT_LENGTHS = 4;

export type ToUuid = (kind: string, name: string) => string;

/** Whether a text is a UUID. */
export const isId = (text: string | undefined): boolean =>
  text !== undefined && /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(text);

interface Wanted {
  readonly id: string;
  readonly role: Turn["role"];
  readonly text: string;
}

/**
 * The turns as they are kept: their ids are those of the stored messages, or follow from what was said. Pure.
 * @param toUuid makes elizaOS's ids
 */
export function wantedTurns(history: readonly Turn[], room: string, toUuid: ToUuid): Wanted[] {
  const seen = new Map<string, number>();
  // Counted from the newest: the oldest fall out of what the platform sends.
  return history
    .toReversed()
    .map(({ id, role, content }) => {
      const words = `${role} ${createHash("sha256").update(content).digest("hex")}`;
      const times = seen.get(words) ?? 0;
      seen.set(words, times + 1);
      return { id: toUuid("message", id ?? `${room} ${words} ${times}`), role, text: content };
    })
    .reverse();
}

/**
 * Makes a room's messages what the platform says was said. What is there already stays, so that elizaOS knows what it has
 * looked at; only where the order would suffer the room is made again.
 */
export async function recall(
  runtime: ElizaRuntime,
  place: Place,
  history: readonly Turn[],
  toUuid: ToUuid,
): Promise<void> {
  const wanted = wantedTurns(history.slice(-runtime.getConversationLength()), place.roomId, toUuid);
  const kept = await runtime.getMemories({
    tableName: MESSAGES,
    roomId: place.roomId,
    count: KEPT_LENGTHS * runtime.getConversationLength(),
  });
  const texts = new Map(kept.map(({ id, content }) => [id, content.text]));
  const isKept = wanted.map(({ id, text }) => texts.get(id) === text);
  const first = isKept.indexOf(false);
  const isInOrder = first < 0 || !isKept.includes(true, first);
  const staying = new Set(isInOrder ? wanted.filter((_, place) => isKept[place]).map(({ id }) => id) : []);
  const gone = kept.filter(({ id }) => !staying.has(id)).map(({ id }) => id);
  if (gone.length > 0) await runtime.adapter.deleteManyMemories(gone);
  const missing = wanted.filter(({ id }) => !staying.has(id));
  const begin = Date.now() - missing.length; // elizaOS orders by time
  for (const [index, { id, role, text }] of missing.entries()) {
    await runtime.createMemory(
      {
        id,
        agentId: runtime.agentId,
        roomId: place.roomId,
        entityId: role === "assistant" ? runtime.agentId : place.entityId,
        content: { text, source: "launchpad", channelType: "API" },
        createdAt: begin + index,
      },
      MESSAGES,
    );
  }
}

/** Forgets a room's oldest messages beyond what elizaOS looks back on. */
export async function forgetOld(runtime: ElizaRuntime, roomId: string): Promise<void> {
  const most = KEPT_LENGTHS * runtime.getConversationLength();
  const count = await runtime.countMemories(roomId, false, MESSAGES);
  if (count <= most) return;
  const kept = await runtime.getMemories({ tableName: MESSAGES, roomId, count });
  const old = newestFirst(kept).slice(most / 2);
  await runtime.adapter.deleteManyMemories(old.map(({ id }) => id));
}

const newestFirst = (memories: readonly ElizaMemory[]) =>
  memories.toSorted((a, b) => b.createdAt - a.createdAt);
