// Reads a channel's join message.

import { randomUUID } from "node:crypto";
import { isRecord } from "./frames.ts";
import type { Limits } from "./limits.ts";

/** What a client asks for when it joins. */
export interface JoinConfig {
  ack: boolean;
  self: boolean;
  private: boolean;
  presenceKey: string;
  presenceEnabled: boolean;
  replicationReady: boolean;
  replay: unknown;
  /** Each as the client sent it: the reply echoes it. */
  postgresChanges: Record<string, unknown>[];
  accessToken: string | undefined;
}

/**
 * Reads a join's payload. Like hosted it takes what it can: a field of the wrong type counts as absent
 * (realtime_channel.ex logs InvalidJoinPayload and goes on). Takes the payload and the topic after `realtime:`.
 */
export function parseJoin(payload: unknown, subTopic: string): JoinConfig {
  const params = isRecord(payload) ? payload : {};
  const config = isRecord(params.config) ? params.config : {};
  const broadcast = isRecord(config.broadcast) ? config.broadcast : {};
  const presence = isRecord(config.presence) ? config.presence : {};
  const key = presence.key;
  const token = params.user_token ?? params.access_token;
  const changes = Array.isArray(config.postgres_changes)
    ? (config.postgres_changes as unknown[]).filter(isRecord)
    : [];
  return {
    ack: flag(broadcast.ack),
    self: flag(broadcast.self),
    private: flag(config.private),
    presenceKey: key === undefined || key === null || key === "" ? randomUUID() : String(key),
    presenceEnabled: flag(presence.enabled),
    replicationReady: flag(broadcast.replication_ready),
    replay: broadcast.replay,
    postgresChanges: "config" in params ? changes : changesOfTopic(subTopic),
    accessToken: typeof token === "string" ? token : undefined,
  };
}

/** The form before `config`: the topic itself names schema, table and filter (`public:agents:id=eq.1`). */
export function changesOfTopic(subTopic: string): Record<string, unknown>[] {
  const [schema = "", table, ...filter] = subTopic.split(":");
  return [
    {
      event: "*",
      schema,
      ...(table === undefined ? {} : { table }),
      ...(filter.length > 0 ? { filter: filter.join(":") } : {}),
    },
  ];
}

function flag(value: unknown): boolean {
  return value === true || (typeof value === "string" && value.toLowerCase() === "true");
}

/** What is wrong with a name of a topic, an event or a presence key, as the end of a sentence; undefined for a good one. */
export function nameProblem(name: string, most: number): string | undefined {
  if (Buffer.byteLength(name) > most) return `is longer than ${most} bytes`;
  // PostgreSQL's texts cannot hold it, and policies see the topic.
  return name.includes("\0") ? "contains a null character" : undefined;
}

/** Why a join cannot be taken, as hosted words its reasons: `Code: sentence`. */
export function configProblem(config: JoinConfig, limits: Limits): string | undefined {
  const { nameBytes, tokenBytes, changesPerChannel } = limits;
  const key = nameProblem(config.presenceKey, nameBytes);
  if (key) return `InvalidPresenceKey: The presence key ${key}`;
  if (Buffer.byteLength(config.accessToken ?? "") > tokenBytes)
    return `InvalidJWTToken: The token is longer than ${tokenBytes} bytes`;
  if (config.postgresChanges.length > changesPerChannel)
    return `TooManyChanges: One channel can listen to ${changesPerChannel} kinds of changes at most`;
  return undefined;
}
