// Databases for integration tests, cloned from one migrated template.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, beforeAll } from "vitest";

export type Role = "supabase_admin" | "postgres" | "authenticator" | "supabase_lite";

/** What the server process tells its clients: a URL per login role, on the database `maintenance`. */
export interface ServerFacts {
  urls: Record<Role, string>;
}

export interface TestUser {
  id: string;
  email: string;
}

export interface Caller {
  role: "anon" | "authenticated" | "service_role";
  /** Claims of the token beside role, sub and email. */
  claims?: Record<string, unknown>;
  user?: TestUser | string;
  /** Request headers, lower case, as PostgREST hands them to SQL. */
  headers?: Record<string, string>;
}

/** What PostgREST would answer to an RPC. */
export interface RpcAnswer {
  status: number;
  headers: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: a JSON body whose shape the test asserts
  body: any;
}

export interface TestDatabase {
  name: string;
  /** A connection URL for a login role. */
  url(role: Role): string;
  /** As `postgres`, who pushed the migrations: bypasses RLS. */
  pool: pg.Pool;
  /** As supabase_admin. */
  superuser: pg.Pool;
  /** Runs fn as a caller of PostgREST: one transaction with the role and the request's settings; commits when fn resolves. */
  as<T>(caller: Caller, fn: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  asUser<T>(user: TestUser | string, fn: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  asAnon<T>(fn: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  asService<T>(fn: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  /** Calls a function of public as PostgREST does; a `PGRST` error becomes its status and body, any other error is thrown. */
  rpc(caller: Caller, name: string, args?: Record<string, unknown>): Promise<RpcAnswer>;
  /** Adds a confirmed user to auth.users, as a sign-up does. */
  createUser(email?: string, metadata?: Record<string, unknown>): Promise<TestUser>;
  /** Drops the database. */
  destroy(): Promise<void>;
}

/** One server per test run: its processes share the parent (vitest), so the parent names the socket. */
function socketPath(): string {
  const name = `launchpad-test-${userInfo().username}-${process.env.LAUNCHPAD_TEST_RUN ?? process.ppid}`;
  return process.platform === "win32" ? `\\\\.\\pipe\\${name}` : join(tmpdir(), `${name}.sock`);
}

function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

let facts: Promise<ServerFacts> | undefined;

/** Gives the run's server, which is started by whoever comes first and stays while this process lives. */
export function testServer(): Promise<ServerFacts> {
  facts ??= connectToServer();
  return facts;
}

async function connectToServer(): Promise<ServerFacts> {
  const path = socketPath();
  let socket = await tryConnect(path);
  for (let attempt = 0; !socket && attempt < 200; attempt++) {
    if (attempt % 40 === 0) {
      if (process.platform !== "win32") rmSync(path, { force: true }); // nobody answers there
      // Its failures come through the socket: an inherited pipe would keep the test runner waiting for its end.
      const main = fileURLToPath(new URL("./database-server.ts", import.meta.url));
      spawn(process.execPath, [main, path], {
        detached: true,
        stdio: ["ignore", "ignore", "inherit"],
      }).unref();
    }
    await delay(50); // a process that starts announces itself by its socket alone
    socket = await tryConnect(path);
  }
  if (!socket) throw new Error("The test database server did not start.");
  const lines = createInterface({ input: socket });
  const [line] = await new Promise<string[]>((resolve) => {
    lines.once("line", (text) => resolve([text]));
    lines.once("close", () => resolve([]));
  });
  socket.unref(); // holding it open keeps the server; it must not keep this process
  const answer = JSON.parse(line ?? '{"error":"it ended"}') as ServerFacts | { error: string };
  if ("error" in answer) throw new Error(`The test database server did not start: ${answer.error}`);
  return answer;
}

function onDatabase(url: string, database: string): string {
  const result = new URL(url);
  result.pathname = `/${database}`;
  return result.toString();
}

async function maintain(sql: string): Promise<void> {
  const { urls } = await testServer();
  const client = new pg.Client({ connectionString: urls.supabase_admin });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/**
 * Runs work that changes roles (bootstrap, migrations), one at a time on the run's server: all databases share the roles, and
 * of two transactions that alter one Postgres fails the second ("tuple concurrently updated").
 */
export async function changingRoles<T>(work: () => Promise<T>): Promise<T> {
  const { urls } = await testServer();
  const client = new pg.Client({ connectionString: urls.supabase_admin });
  await client.connect();
  try {
    await client.query("select pg_advisory_lock(hashtext('roles'))");
    return await work();
  } finally {
    await client.end();
  }
}

/**
 * Gives a database with every migration, cloned from the run's template in 0.1 s. Roles are shared by all databases of the
 * server. Call destroy() when done, or use useTestDatabase().
 * @param template another database to clone, such as `template0`, which has nothing
 */
export async function createTestDatabase(template = "postgres"): Promise<TestDatabase> {
  const { urls } = await testServer();
  const name = `test_${randomUUID().replaceAll("-", "").slice(0, 16)}`;
  await maintain(`create database ${name} template ${template} owner postgres`);
  const url = (role: Role) => onDatabase(urls[role], name);
  const pools = {
    postgres: new pg.Pool({ connectionString: url("postgres"), max: 8 }),
    superuser: new pg.Pool({ connectionString: url("supabase_admin"), max: 2 }),
    authenticator: new pg.Pool({ connectionString: url("authenticator"), max: 12 }),
  };
  for (const pool of Object.values(pools)) pool.on("error", () => undefined); // idle connections end with the database
  await pools.superuser.query(
    "do $$ begin if to_regclass('cron.job') is not null then update cron.job set database = current_database(); end if; end $$",
  );

  const as: TestDatabase["as"] = async (caller, fn) => {
    const client = await pools.authenticator.connect();
    try {
      await client.query("begin");
      await client.query(
        "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true), set_config('request.headers', $3, true), set_config('request.method', 'POST', true)",
        [caller.role, JSON.stringify(claimsOf(caller)), JSON.stringify(caller.headers ?? {})],
      );
      const result = await fn(client);
      await client.query("commit");
      return result;
    } catch (error) {
      await client.query("rollback").catch(() => undefined);
      throw error;
    } finally {
      client.release();
    }
  };

  return {
    name,
    url,
    pool: pools.postgres,
    superuser: pools.superuser,
    as,
    asUser: (user, fn) => as({ role: "authenticated", user }, fn),
    asAnon: (fn) => as({ role: "anon" }, fn),
    asService: (fn) => as({ role: "service_role" }, fn),
    rpc: (caller, fn, args = {}) => callFunction((run) => as(caller, run), fn, args),
    async createUser(email = `${randomUUID().slice(0, 8)}@example.com`, metadata = {}) {
      const id = randomUUID();
      await pools.postgres.query(
        `insert into auth.users (id, aud, role, email, email_confirmed_at, created_at, updated_at, raw_app_meta_data, raw_user_meta_data)
         values ($1, 'authenticated', 'authenticated', $2, now(), now(), now(), '{"provider":"email","providers":["email"]}', $3)`,
        [id, email, JSON.stringify(metadata)],
      );
      return { id, email };
    },
    async destroy() {
      await Promise.all(Object.values(pools).map((pool) => pool.end()));
      await maintain(`drop database if exists ${name} with (force)`);
    },
  };
}

/** A database for the tests of one file (or describe): made before them, dropped after them. */
export function useTestDatabase(): () => TestDatabase {
  let database: TestDatabase | undefined;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database?.destroy());
  return () => {
    if (!database) throw new Error("The test database exists only while tests run.");
    return database;
  };
}

/** Runs fn with a database of its own. */
export async function withDatabase<T>(fn: (database: TestDatabase) => Promise<T>): Promise<T> {
  const database = await createTestDatabase();
  try {
    return await fn(database);
  } finally {
    await database.destroy();
  }
}

function claimsOf(caller: Caller): Record<string, unknown> {
  const user = typeof caller.user === "string" ? { id: caller.user } : caller.user;
  return {
    role: caller.role,
    ...(user ? { aud: "authenticated", sub: user.id } : {}),
    ...(user && "email" in user ? { email: user.email } : {}),
    ...caller.claims,
  };
}

async function callFunction(
  run: (fn: (client: pg.PoolClient) => Promise<RpcAnswer>) => Promise<RpcAnswer>,
  name: string,
  args: Record<string, unknown>,
): Promise<RpcAnswer> {
  const names = Object.keys(args);
  // pg would send an array as a PostgreSQL array; PostgREST reads arguments as JSON.
  const values = names.map((arg) =>
    typeof args[arg] === "object" && args[arg] !== null ? JSON.stringify(args[arg]) : args[arg],
  );
  try {
    return await run(async (client) => {
      const arrays = names.some((arg) => Array.isArray(args[arg])) ? await arrayArguments(client, name) : {};
      const list = names.map((arg, i) => {
        const value = arrays[arg] === undefined ? `$${i + 1}` : readArray(`$${i + 1}`, arrays[arg]);
        return `${pg.escapeIdentifier(arg)} => ${value}`;
      });
      const { rows } = await client.query(
        `select public.${pg.escapeIdentifier(name)}(${list.join(", ")}) as body`,
        values,
      );
      const set = await client.query<{ status: string | null; headers: string | null }>(
        "select nullif(current_setting('response.status', true), '') as status, nullif(current_setting('response.headers', true), '') as headers",
      );
      const headers = JSON.parse(set.rows[0]?.headers ?? "[]") as Record<string, string>[];
      return {
        status: Number(set.rows[0]?.status ?? 200),
        headers: lowerCase(Object.assign({}, ...headers)),
        body: rows[0]?.body,
      };
    });
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== "PGRST") throw error;
    const detail = JSON.parse(error.detail ?? "{}") as { status: number; headers: Record<string, string> };
    return { status: detail.status, headers: lowerCase(detail.headers), body: JSON.parse(error.message) };
  }
}

/** Reads JSON as PostgREST reads an argument that is an array in SQL. */
const readArray = (json: string, type: string) =>
  `(select x from json_to_record(json_build_object('x', ${json}::json)) as _ (x ${type}))`;

/** The types of a function's arguments that are arrays in SQL, by name. */
async function arrayArguments(client: pg.PoolClient, name: string): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string; type: string }>(
    `select p.proargnames[a.place] as name, format_type(a.type, null) as type
     from pg_proc p, unnest(p.proargtypes::oid[]) with ordinality as a (type, place)
     where p.pronamespace = 'public'::regnamespace and p.proname = $1 and format_type(a.type, null) like '%[]'`,
    [name],
  );
  return Object.fromEntries(rows.map((row) => [row.name, row.type]));
}

function lowerCase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
