// Runs Storage's statements as the caller, so that policies judge them, or as Storage itself.

import pg from "pg";

/** Who asks, and what for: what policies see. */
export interface Scope {
  role: string;
  claims: Record<string, unknown>;
  jwt: string;
  method: string;
  path: string;
  headers: Record<string, unknown>;
  /** As `storage.operation()` gives it. */
  operation: string;
}

export type Client = pg.PoolClient;

export interface Database {
  /** Runs `fn` in one transaction with the caller's role and claims. */
  as<T>(scope: Scope, fn: (client: Client) => Promise<T>): Promise<T>;
  /** The same as Storage itself, whom no policy holds back. */
  asService<T>(scope: Scope, fn: (client: Client) => Promise<T>): Promise<T>;
  /** As the caller, and takes everything back: only whether it is allowed matters. */
  test<T>(scope: Scope, fn: (client: Client) => Promise<T>): Promise<T>;
  /** Without a caller. */
  query: pg.Pool["query"];
  close(): Promise<void>;
}

const SCOPE = `select set_config('role', $1, true), set_config('request.jwt.claim.role', $1, true),
  set_config('request.jwt', $2, true), set_config('request.jwt.claim.sub', $3, true),
  set_config('request.jwt.claims', $4, true), set_config('request.headers', $5, true),
  set_config('request.method', $6, true), set_config('request.path', $7, true),
  set_config('storage.operation', $8, true), set_config('storage.allow_delete_query', 'true', true)`;

const INT8 = 20;

/** Opens the pool. Takes the URL of a role that may become the API roles. */
export function openDatabase(url: string): Database {
  const pool = new pg.Pool({
    connectionString: url,
    options: "-c search_path=storage,public,extensions -c TimeZone=UTC -c statement_timeout=30s",
    max: 8,
    idleTimeoutMillis: 60_000,
    types: {
      // Sizes: JSON has numbers for them.
      getTypeParser: ((type: number, format?: "text" | "binary") =>
        type === INT8
          ? Number
          : pg.types.getTypeParser(type, format as "text")) as typeof pg.types.getTypeParser,
    },
  });
  // A server that ends rejects the queries under way; the event, unheard, would end this process.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));

  async function run<T>(scope: Scope, end: "commit" | "rollback", fn: (client: Client) => Promise<T>) {
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      await client.query("begin");
      await client.query(SCOPE, [
        scope.role,
        scope.jwt,
        typeof scope.claims.sub === "string" ? scope.claims.sub : "",
        JSON.stringify(scope.claims),
        JSON.stringify(scope.headers),
        scope.method,
        scope.path,
        scope.operation,
      ]);
      const result = await fn(client);
      await client.query(end);
      return result;
    } catch (error) {
      await client.query("rollback").catch((fault: Error) => {
        broken = fault;
      });
      throw error;
    } finally {
      client.release(broken);
    }
  }

  return {
    as: (scope, fn) => run(scope, "commit", fn),
    asService: (scope, fn) =>
      run({ ...scope, role: "service_role", claims: { role: "service_role" }, jwt: "" }, "commit", fn),
    test: (scope, fn) => run(scope, "rollback", fn),
    query: pool.query.bind(pool),
    close: () => pool.end(),
  };
}
