// Runs database work in a transaction as the caller.

import type { ClientBase, Pool } from "pg";
import type { Identity } from "../realtime/claims.ts";
import type { Catalogue } from "./catalogue.ts";
import { ident } from "./sql.ts";

/** One request as the database sees it. */
export interface Caller {
  identity: Identity;
  /** Names in lower case, as PostgREST hands them to SQL. */
  headers: Record<string, string>;
}

/** What SQL adds to the answer's headers. */
export type AnswerHeaders = Record<string, string>;

/**
 * Runs `work` in one transaction as the caller: role, claims and settings as PostgREST sets them, then what PostgREST calls
 * before each request. What `work` did is undone where it throws; that the request was counted stays.
 *
 * @throws {WorkFailed} with what `work` threw; else what the pre-request or the connection throws
 */
export async function asCaller<T>(
  pool: Pool,
  catalogue: Catalogue,
  { identity, headers }: Caller,
  work: (client: ClientBase) => Promise<T>,
): Promise<{ result: T; headers: AnswerHeaders }> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query("begin");
    await become(client, catalogue, identity, headers);
    const told = catalogue.preRequest === undefined ? {} : await preRequest(client, catalogue.preRequest);
    await client.query("savepoint work");
    try {
      const result = await work(client);
      await client.query("commit");
      return { result, headers: told };
    } catch (error) {
      await client.query("rollback to savepoint work; commit");
      throw new WorkFailed(error, told);
    }
  } catch (error) {
    await client.query("rollback").catch((lost: Error) => {
      broken = lost;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}

/** `work` threw `reason`; the request has been counted, and `headers` tell of it. */
export class WorkFailed extends Error {
  readonly reason: unknown;
  readonly headers: AnswerHeaders;

  constructor(reason: unknown, headers: AnswerHeaders) {
    super("the request's work failed");
    this.reason = reason;
    this.headers = headers;
  }
}

async function become(
  client: ClientBase,
  { settings, searchPath }: Catalogue,
  identity: Identity,
  headers: Record<string, string>,
): Promise<void> {
  const set: [string, string][] = [
    ...settings,
    ...(searchPath === undefined ? [] : ([["search_path", pathOf(searchPath)]] as [string, string][])),
    ["role", identity.role],
    ["request.jwt.claims", identity.json],
    ["request.method", "POST"],
    ["request.path", "/rpc/graphql"],
    ["request.headers", JSON.stringify(headers)],
  ];
  const calls = set.map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, true)`);
  await client.query(`select ${calls.join(", ")}`, set.flat());
}

/** The setting's names, with commas between them, as search_path takes them. */
const pathOf = (names: string): string =>
  names
    .split(",")
    .map((name) => ident(name.trim()))
    .join(", ");

async function preRequest(client: ClientBase, name: string): Promise<AnswerHeaders> {
  const called = name.split(".").map(ident).join(".");
  const { rows } = await client.query<{ headers: string | null }>(
    `with called as materialized (select ${called}()) select nullif(current_setting('response.headers', true), '') as headers from called`,
  );
  const list = JSON.parse(rows[0]?.headers ?? "[]") as Record<string, string>[];
  return Object.assign({}, ...list) as AnswerHeaders;
}
