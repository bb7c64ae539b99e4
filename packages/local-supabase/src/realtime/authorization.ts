// Asks the policies of realtime.messages who may read and write a private topic.

import { randomUUID } from "node:crypto";
import pg from "pg";
import { reasonOf } from "../errors.ts";
import type { Identity } from "./claims.ts";
import type { Database } from "./database.ts";

/** What the policies on realtime.messages let somebody do on a topic, by extension. */
export interface Rights {
  broadcast: boolean;
  presence: boolean;
}

export type Extension = keyof Rights;

/** The policies could not be asked: the database is down or a policy failed. */
export class AuthorizationError extends Error {
  readonly policyFailed: boolean;
  constructor(message: string, policyFailed: boolean) {
    super(message);
    this.policyFailed = policyFailed;
  }
}

/**
 * Who may read and write a private topic. As hosted (realtime/tenants/authorization.ex): in a transaction that is rolled
 * back, probe rows are put into realtime.messages and looked for (read), or put there (write), with the caller's role,
 * claims, headers and the topic set. Throws AuthorizationError.
 */
export async function mayRead(
  database: Database,
  identity: Identity,
  topic: string,
  headers: string,
): Promise<Rights> {
  return await probe(database, async (client) => {
    const ids = { broadcast: randomUUID(), presence: randomUUID() };
    await client.query(
      "insert into realtime.messages (id, topic, extension) values ($1, $3, 'broadcast'), ($2, $3, 'presence')",
      [ids.broadcast, ids.presence, topic],
    );
    await become(client, identity, topic, headers);
    const { rows } = await client.query<{ id: string }>(
      "select id from realtime.messages where id in ($1, $2)",
      [ids.broadcast, ids.presence],
    );
    const seen = new Set(rows.map(({ id }) => id));
    return { broadcast: seen.has(ids.broadcast), presence: seen.has(ids.presence) };
  });
}

/** Who may write; see mayRead. */
export async function mayWrite(
  database: Database,
  identity: Identity,
  topic: string,
  headers: string,
): Promise<Rights> {
  return await probe(database, async (client) => {
    await become(client, identity, topic, headers);
    const rights: Rights = { broadcast: false, presence: false };
    for (const extension of ["broadcast", "presence"] as const) {
      await client.query("savepoint probe");
      try {
        await client.query("insert into realtime.messages (topic, extension) values ($1, $2)", [
          topic,
          extension,
        ]);
        rights[extension] = true;
      } catch (error) {
        if (!(error instanceof pg.DatabaseError) || error.code !== "42501") throw error;
      }
      await client.query("rollback to savepoint probe");
    }
    return rights;
  });
}

async function probe<T>(database: Database, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  let client: pg.PoolClient | undefined;
  let broken: Error | undefined;
  try {
    client = await database.admin.connect();
    await client.query("begin");
    const result = await work(client);
    await client.query("rollback");
    return result;
  } catch (error) {
    const refused = error instanceof pg.DatabaseError && !error.code?.startsWith("57P");
    if (refused) await client?.query("rollback").catch(() => undefined);
    else broken = error as Error;
    throw new AuthorizationError(reasonOf(error), refused);
  } finally {
    client?.release(broken);
  }
}

async function become(
  client: pg.PoolClient,
  identity: Identity,
  topic: string,
  headers: string,
): Promise<void> {
  // Policies call functions by name as they do under PostgREST: the role's own search path, not this connection's.
  await client.query(
    `select set_config('search_path', 'public, extensions', true), set_config('role', $1, true), set_config('realtime.topic', $2, true),
       set_config('request.jwt.claims', $3, true), set_config('request.jwt.claim.sub', $4, true),
       set_config('request.jwt.claim.role', $1, true), set_config('request.headers', $5, true)`,
    [identity.role, topic, identity.json, identity.sub ?? "", headers],
  );
}
