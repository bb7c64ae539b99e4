// The database connections of Realtime.

import pg from "pg";

/**
 * Realtime's connections: `admin` (supabase_realtime_admin: catalogue, subscriptions, messages, on behalf of clients), `feed`
 * (the same role, for changes on their way: no crowd of joins is before them) and `api` (authenticator, who may become the
 * role of a token and nothing else). Opened on demand, closed after half a minute without use.
 */
export interface Database {
  admin: pg.Pool;
  feed: pg.Pool;
  /** The same role; a statement ends after the time that judging one user's filters may take. */
  judging: pg.Pool;
  api: pg.Pool;
  /** The same role as `api`, for snapshots. */
  past: pg.Pool;
  stop(): Promise<void>;
}

/** Opens nothing yet. */
export function createDatabase(urls: { admin: string; api: string }, judgingMs: number): Database {
  const pool = (connectionString: string, max: number, options: string) => {
    const made = new pg.Pool({
      connectionString,
      max,
      application_name: "realtime",
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: 5000,
      allowExitOnIdle: true,
      options,
    });
    made.on("error", () => undefined); // an idle connection ended with the server; the next query opens another
    // A connection in use has no listener of the pool's: its loss would end the process. The query under way reports it.
    made.on("connect", (client) => client.on("error", () => undefined));
    return made;
  };
  // Nothing on the search path: type names come out qualified, and fit every connection.
  const options = (timeoutMs: number) =>
    `-c search_path= -c statement_timeout=${timeoutMs} -c timezone=UTC -c datestyle=ISO`;
  const admin = pool(urls.admin, 4, options(10_000));
  const feed = pool(urls.admin, 2, options(10_000));
  const judging = pool(urls.admin, 1, options(judgingMs));
  const api = pool(urls.api, 2, "-c timezone=UTC -c datestyle=ISO");
  const past = pool(urls.api, 4, "-c timezone=UTC -c datestyle=ISO");
  return {
    admin,
    feed,
    judging,
    api,
    past,
    async stop() {
      await Promise.all([admin.end(), feed.end(), judging.end(), api.end(), past.end()]);
    },
  };
}

/** Whether an error means that the server is down, not that it refused. */
export function isAway(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return true;
  return /^(57P0[1-3]|08|53300)/.test(error.code ?? "");
}
