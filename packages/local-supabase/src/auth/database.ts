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

/** For how long a request waits for a connection, and for a statement. */
const PATIENCE_MS = 30_000;

/** Whether the database did not answer in time. */
export const isLate = (error: unknown): boolean =>
  error instanceof Error &&
  (("code" in error && error.code === "57014") || error.message.startsWith("timeout exceeded when trying"));

/** Whether another user has the address meanwhile: two requests may both have found it free. */
export const isTakenEmail = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && error.constraint === "users_email_partial_key";

/**
 * Opens Auth's pool.
 * @param url the connection of Auth's role
 */
export function openAuthDatabase(url: string): AuthDatabase {
  const pool = new pg.Pool({
    connectionString: url,
    max: 8,
    options: `-c statement_timeout=${PATIENCE_MS}`,
    connectionTimeoutMillis: PATIENCE_MS,
    idleTimeoutMillis: 60_000,
    allowExitOnIdle: true,
  });
  // A server that ends meanwhile ends idle connections; the next request opens others.
  pool.on("error", () => undefined);
  // The pool does not listen while a transaction has the connection; unheard, its end would end this process.
  pool.on("connect", (client) => client.on("error", () => undefined));
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
