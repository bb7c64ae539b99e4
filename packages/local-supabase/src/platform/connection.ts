// Connects @supabase/lite to the database through pg.

import pg from "pg";
import { noteError } from "./auth-answers.ts";

/** `"char"[]`, `name[]` and `text[]`: pg has no names for lists. */
const [CHAR_LIST, NAME_LIST, TEXT_LIST] = [1002, 1003, 1009];

/** Types that lite wants other than pg gives them: as the text that the database wrote, or as numbers where that loses nothing. */
const PARSERS = new Map<number, (text: string) => unknown>([
  [pg.types.builtins.INT8, (text) => (Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text))],
  [pg.types.builtins.NUMERIC, (text) => (String(Number(text)) === text ? Number(text) : text)],
  ...[
    pg.types.builtins.DATE,
    pg.types.builtins.TIME,
    pg.types.builtins.TIMETZ,
    pg.types.builtins.TIMESTAMP,
    pg.types.builtins.TIMESTAMPTZ,
  ].map((type) => [type, (text: string) => text] as const),
  // Lists of the catalogue, which pg leaves as text.
  ...[CHAR_LIST, NAME_LIST].map((type) => [type, pg.types.getTypeParser(TEXT_LIST)] as const),
]);

/**
 * Lite's connection to the database, over pg. Its own driver writes to a socket that has gone when the server ends under a
 * transaction, out of a timer, and so ends the process that it is in (docs/adr/0115); it is never connected here.
 * @param url of the role `supabase_lite`
 */
export async function createConnection(url: string) {
  const [{ createPostgresConnection }, { Kysely, PostgresDialect }] = await Promise.all([
    import("@supabase/lite/postgres"),
    import("kysely"),
  ]);
  const pool = new pg.Pool({
    connectionString: url,
    options: "-c TimeZone=UTC",
    max: 6,
    idleTimeoutMillis: 60_000,
    types: {
      getTypeParser: ((type: number, format?: "text" | "binary") =>
        PARSERS.get(type) ?? pg.types.getTypeParser(type, format as "text")) as typeof pg.types.getTypeParser,
    },
  });
  // A server that ends rejects the queries under way; the event of each connection, unheard, would end the whole stack.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  const connection = createPostgresConnection({ url });
  connection.kysely = new Kysely({
    dialect: new PostgresDialect({ pool }),
    log: (event) => {
      if (event.level === "error") noteError(event.error);
    },
  });
  connection.close = () => pool.end();
  return connection;
}
