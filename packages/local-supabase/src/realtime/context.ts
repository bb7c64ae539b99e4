// What a channel shares with all others.

import { setTimeout as delay } from "node:timers/promises";
import type { JwtKeys } from "../jwt-keys.ts";
import type { Connections } from "./connections.ts";
import type { Database } from "./database.ts";
import type { FairQueue } from "./fair-queue.ts";
import type { Feed } from "./feed.ts";
import type { Limits } from "./limits.ts";
import type { Owner, Spending } from "./owners.ts";
import type { Past } from "./past.ts";
import type { ChangeQuota } from "./quota.ts";
import type { Registry } from "./registry.ts";
import type { RealtimeSocket } from "./socket.ts";
import type { Standing } from "./standing.ts";
import type { SubscriptionTable } from "./subscriptions.ts";
import type { Hub } from "./topics.ts";

export interface RealtimeContext {
  database: Database;
  feed: Feed;
  hub: Hub;
  registry: Registry;
  subscriptions: SubscriptionTable;
  limits: Limits;
  jwtKeys: JwtKeys;
  /** The time in milliseconds. */
  now: () => number;
  log: (line: string) => void;
  connections: Connections<RealtimeSocket>;
  spending: Spending;
  turns: FairQueue;
  quota: ChangeQuota;
  standing: Standing;
  past: Past;
}

/** Waits until an owner has paid for what the server did for them. */
export async function untilPaid({ spending, now }: RealtimeContext, owner: Owner): Promise<void> {
  for (let wait = spending.waitMs(owner, now()); wait > 0; wait = spending.waitMs(owner, now()))
    await delay(wait, undefined, { ref: false });
}

/** Asks the database on behalf of an owner: at the owner's turn, and at the owner's expense. */
export async function atTurn<T>(context: RealtimeContext, owner: Owner, work: () => Promise<T>): Promise<T> {
  const { turns, spending, now } = context;
  return await turns.run(owner, async () => {
    const begun = performance.now();
    try {
      return await work();
    } finally {
      spending.spendAtDatabase(owner, performance.now() - begun, now());
    }
  });
}
