// Starts the stack's database server.

import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { freePort } from "../ports.ts";
import { serverAccount } from "./account.ts";
import { createCluster, inspectCluster } from "./cluster.ts";
import { type LoginRole, readCredentials } from "./credentials.ts";
import { type Distribution, ensureDistribution } from "./distribution.ts";
import { clearLeftoverServer } from "./leftover-server.ts";
import { CACHE_FOLDER, clusterPaths } from "./paths.ts";
import { launchServer, type ServerExit, type ServerProcess } from "./process.ts";
import { ensureTemplate } from "./template.ts";

export type { LoginRole } from "./credentials.ts";
export type { ServerExit } from "./process.ts";

export interface PostgresOptions {
  /** The stack's data folder; the database lies in its subfolder `postgres`. Made when absent. */
  dataDir: string;
  /** 0 = any free port. */
  port: number;
  /** Called once when the server ends, asked or not. */
  onExit?: (exit: ServerExit) => void;
  onLog?: (line: string) => void;
  /** false: no fsync (tests, --ephemeral). Default true. */
  durable?: boolean;
  cacheFolder?: string;
  /** A folder with further extensions (ensureDistribution). */
  extensionsFolder?: string | undefined;
}

export interface Postgres {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  /** Whether this start made the data folder. */
  readonly isNew: boolean;
  readonly distribution: Distribution;
  /** supabase_admin on the database `postgres`. */
  readonly superuserUrl: string;
  /** A connection URL for one of the stack's login roles. */
  url(role: LoginRole, database?: string): string;
  /** Ends the server in order; resolves when it is gone. */
  stop(): Promise<void>;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
}

/**
 * Starts the database of a data folder; makes it first where there is none, and recovers it after a crash.
 * The postmaster is a direct child of this process. Throws a StackError (one sentence) for a taken port, a data folder that
 * is foreign, broken, of another major version, or in use by a running stack.
 */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const paths = clusterPaths(resolve(options.dataDir));
  const exists = inspectCluster(paths);
  if (exists) await clearLeftoverServer(paths);
  if (options.port !== 0) await freePort(options.port); // before a second's work, not after

  const distribution = await ensureDistribution(
    options.cacheFolder ?? CACHE_FOLDER,
    options.extensionsFolder,
  );
  if (!exists) {
    mkdirSync(paths.folder, { recursive: true });
    await createCluster(
      distribution,
      await ensureTemplate(distribution, options.cacheFolder ?? CACHE_FOLDER),
      paths,
    );
  }
  const credentials = readCredentials(paths.credentials);
  writeFileSync(paths.owner, JSON.stringify({ pid: process.pid }));

  const server: ServerProcess = await launchServer({
    postgres: distribution.postgres,
    data: paths.data,
    port: options.port,
    account: serverAccount(paths.data),
    durable: options.durable ?? true,
    dieWithUs: true,
    onLog: options.onLog,
  });
  void server.exited.then((exit) => options.onExit?.(exit));

  const url = (role: LoginRole, database = "postgres") =>
    `postgres://${role}:${encodeURIComponent(credentials[role])}@127.0.0.1:${server.port}/${encodeURIComponent(database)}?sslmode=disable`;
  return {
    pid: server.pid,
    host: "127.0.0.1",
    port: server.port,
    isNew: !exists,
    distribution,
    superuserUrl: url("supabase_admin"),
    url,
    stop: () => server.stop(),
    kill: () => server.kill(),
  };
}
