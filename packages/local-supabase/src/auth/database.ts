// Auth's connections, and transactions on them.

import pg from "pg";
import type { HookDatabase } from "./hooks/hooks.ts";
import type { Queryable } from "./queryable.ts";

export interface AuthDatabase extends HookDatabase, Queryable {
  transaction<T>(work: (connection: Queryable) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** An error that does not undo what its transaction did: what was detected is kept, and the request fails. */
export class CommitWithError extends Error {
  readonly reason: Error;

  constructor(reason: Error) {
    super(reason.message);
    this.reason = reason;
  }
}

/**
 * Opens Auth's pool.
 * @param url the connection of Auth's role
 */
export function openAuthDatabase(url: string): AuthDatabase {
  const pool = new pg.Pool({
    connectionString: url,
    max: 8,
    idleTimeoutMillis: 60_000,
    allowExitOnIdle: true,
  });
  // A server that ends meanwhile ends idle connections; the next request opens others.
  pool.on("error", () => undefined);
  return {
    query: (text, values) => pool.query(text, values),
    async transaction(work) {
      const client = await pool.connect();
      let broken: Error | undefined;
      try {
        await client.query("begin");
        const result = await work(client);
        await client.query("commit");
        return result;
      } catch (error) {
        const kept = error instanceof CommitWithError;
        await client.query(kept ? "commit" : "rollback").catch((failure: Error) => {
          broken = failure;
        });
        throw kept ? error.reason : error;
      } finally {
        client.release(broken);
      }
    },
    close: () => pool.end(),
  };
}
