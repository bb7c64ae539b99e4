// Reports to the database which parts of the platform are up.

import type { Worker } from "@agent-launchpad/local-supabase/workers/net-worker.ts";
import { keepSession } from "@agent-launchpad/local-supabase/workers/session.ts";
import type pg from "pg";

export type Part = "auth" | "storage" | "realtime" | "edge_functions";

export interface HeartbeatOptions {
  /** A connection URL of supabase_admin. */
  url: string;
  /** Whether a part works now, and what else is to be told of it. A rejection, or no answer in time, means it does not. */
  probes: Record<Part, () => Promise<{ ok: boolean; report?: Record<string, unknown> }>>;
  beatMs?: number;
  onLog?: (line: string) => void;
}

const BEAT = `
  insert into private.platform_parts as p (part, status, report, beat_at)
  select b.part, b.status, coalesce(b.report, '{}'), now()
  from jsonb_to_recordset($1) as b (part text, status text, report jsonb)
  on conflict (part) do update set status = excluded.status, report = excluded.report, beat_at = excluded.beat_at`;

/** Longer than this, and a part does not work. */
const PROBE_MS = 2000;

/** How soon a part that does not work is looked at again: while the stack starts, it is about to. */
const AGAIN_MS = 500;

/**
 * Tells the database every two seconds which of the platform's parts work (private.platform_parts): health cannot see them
 * from inside SQL. Sooner where a part does not work. Where the pulse itself stops, SQL takes every part for away.
 */
export function startHeartbeat({ url, probes, beatMs = 2000, onLog }: HeartbeatOptions): Worker {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let failed = false;

  const beat = async (client: pg.Client): Promise<void> => {
    clearTimeout(timer);
    let wait = beatMs;
    try {
      const beats = await Promise.all(
        Object.entries(probes).map(async ([part, probe]) => {
          const { ok, report } = await inTime(probe());
          return { part, status: ok ? "HEALTHY" : "UNAVAILABLE", ...(report ? { report } : {}) };
        }),
      );
      if (beats.some(({ status }) => status !== "HEALTHY")) wait = Math.min(beatMs, AGAIN_MS);
      await client.query(BEAT, [JSON.stringify(beats)]);
      failed = false;
    } catch (error) {
      if (!failed) onLog?.(`pulse: ${error instanceof Error ? error.message : String(error)}`);
      failed = true;
    }
    if (!stopped && session.client() === client) timer = setTimeout(() => void beat(client), wait);
  };
  const session = keepSession({
    url,
    name: "launchpad pulse",
    channels: [],
    onConnect: (client) => void beat(client),
    onNotify: () => {},
    onLog,
  });
  return {
    ready: session.ready,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await session.stop();
    },
  };
}

async function inTime(
  probe: Promise<{ ok: boolean; report?: Record<string, unknown> }>,
): Promise<{ ok: boolean; report?: Record<string, unknown> }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<{ ok: boolean }>((resolve) => {
    timer = setTimeout(() => resolve({ ok: false }), PROBE_MS);
  });
  try {
    return await Promise.race([probe, late]);
  } catch {
    return { ok: false };
  } finally {
    clearTimeout(timer);
  }
}
