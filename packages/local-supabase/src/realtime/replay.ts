// Replays stored broadcasts to clients that join.

import type pg from "pg";
import { encodePush, encodeUserBroadcast, isRecord } from "./frames.ts";
import type { Member } from "./topics.ts";

/** A stored private broadcast. */
export interface Replayed {
  id: string;
  event: string;
  payload: string | null;
  binary_payload: Buffer | null;
}

/**
 * What a client that joins a private topic asks to see again: `{since: <ms>, limit?}`, at most 25, oldest first
 * (realtime/messages.ex). Returns undefined when the parameters are not valid.
 */
export async function readReplay(
  pool: pg.Pool,
  topic: string,
  asked: unknown,
  now: number,
): Promise<Replayed[] | undefined> {
  const { since, limit = 25 } = isRecord(asked) ? asked : {};
  if (!Number.isInteger(since) || !Number.isInteger(limit) || Math.abs(Number(since)) > now * 10)
    return undefined;
  const { rows } = await pool.query<Replayed>(
    `select m.id, m.event, m.payload::text as payload, m.binary_payload from realtime.messages m
     where m.topic = $1 and m.private and m.extension = 'broadcast' and m.inserted_at >= to_timestamp($2) at time zone 'utc'
     order by m.inserted_at desc limit $3`,
    [topic, Number(since) / 1000, Math.max(1, Math.min(25, Number(limit)))],
  );
  return rows.reverse();
}

/** Sends what was stored to one member. */
export function sendReplayed(member: Member, messages: readonly Replayed[]): void {
  for (const { id, event, payload, binary_payload: binary } of messages) {
    const meta = { replayed: true, id };
    const body = `{"event":${JSON.stringify(event)},"meta":${JSON.stringify(meta)},"payload":${payload ?? "{}"},"type":"broadcast"}`;
    const data = binary
      ? encodeUserBroadcast(member.version, member.topic, { event, encoding: "binary", body: binary }, meta)
      : encodePush(member.version, member.topic, "broadcast", body);
    if (data !== undefined) member.send(data);
  }
}
