import type { Identity } from "./claims.ts";
import type { Database } from "./database.ts";
import type { Feed } from "./feed.ts";
import type { Hub } from "./hub.ts";
import type { Limits, RateWindow } from "./limits.ts";
import type { Registry } from "./registry.ts";
import type { SubscriptionTable } from "./subscriptions.ts";

/** What a channel shares with all others. */
export interface RealtimeContext {
  database: Database;
  feed: Feed;
  hub: Hub;
  registry: Registry;
  subscriptions: SubscriptionTable;
  limits: Limits;
  jwtSecret: string;
  /** The time in milliseconds. */
  now: () => number;
  log: (line: string) => void;
  users: Users;
}

/** Which connections each user has, and how fast each joins. */
export class Users {
  readonly #connections = new Map<string, Set<object>>();
  readonly #joins = new Map<string, RateWindow>();
  readonly #limits: Limits;
  readonly #newWindow: () => RateWindow;

  constructor(limits: Limits, newWindow: () => RateWindow) {
    this.#limits = limits;
    this.#newWindow = newWindow;
  }

  /** Counts a connection to its user; false when the user has too many. API keys have no user and no limit. */
  connect(identity: Identity, connection: object): boolean {
    if (identity.sub === undefined) return true;
    const known = this.#connections.get(identity.sub) ?? new Set();
    if (!known.has(connection) && known.size >= this.#limits.connectionsPerUser) return false;
    this.#connections.set(identity.sub, known.add(connection));
    return true;
  }

  /** Counts a join of a user (or of all who come with one API key); false when there are too many in this second. */
  join(identity: Identity, now: number): boolean {
    const key = identity.sub ?? `role ${identity.role}`;
    let window = this.#joins.get(key);
    if (!window) {
      window = this.#newWindow();
      this.#joins.set(key, window);
    }
    return window.take(now);
  }

  disconnect(connection: object): void {
    for (const [user, connections] of this.#connections) {
      if (!connections.delete(connection) || connections.size > 0) continue;
      this.#connections.delete(user);
      this.#joins.delete(user);
    }
  }
}
