// Runs the PostgreSQL server process.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { StackError } from "../errors.ts";
import { freePort, HOST } from "../ports.ts";
import { type Account, launchAs } from "./account.ts";

/** How a server ended. `expected`: somebody called stop() or kill(). */
export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  expected: boolean;
  /** The last lines that the server logged. */
  log: string[];
}

export interface ServerProcess {
  pid: number;
  port: number;
  /** Resolves when the server is gone, however that came about. */
  exited: Promise<ServerExit>;
  /** Ends the server in order (open transactions are rolled back), harder when it takes longer than `timeoutMs`. */
  stop(timeoutMs?: number): Promise<void>;
  /** Ends it at once, as a crash would; its next start recovers. */
  kill(): Promise<void>;
}

export interface ServerOptions {
  postgres: string;
  data: string;
  /** 0 = any free port. */
  port: number;
  account: Account | undefined;
  /** false: no fsync, for data that nobody will miss; a crash of the machine, not of the server, can lose it. */
  durable: boolean;
  /** true: the server goes when this process goes, even by SIGKILL (Linux). */
  dieWithUs: boolean;
  onLog?: ((line: string) => void) | undefined;
}

/** Sized for one developer: an idle server stays near 40 MB. */
function settings(durable: boolean): Record<string, string | number> {
  return {
    listen_addresses: HOST,
    unix_socket_directories: "",
    wal_level: "logical",
    max_connections: 100,
    shared_buffers: "32MB",
    wal_buffers: "1MB",
    min_wal_size: "16MB",
    max_wal_size: "256MB",
    maintenance_work_mem: "32MB",
    max_wal_senders: 10,
    max_replication_slots: 10,
    // A slot that nobody reads must not fill the disk; beyond this it is given up, and its reader starts again.
    max_slot_wal_keep_size: "256MB",
    max_worker_processes: 4,
    max_parallel_workers_per_gather: 0,
    jit: "off",
    // The others are used by the first call of a connection: loaded once, they cost it no time, and their memory is shared.
    shared_preload_libraries: "pg_stat_statements, plpgsql, pgcrypto",
    "pg_stat_statements.max": 1000,
    // After a crash PostgreSQL makes sure of every file first: 2.5 s one by one, 0.1 s for the file system as a whole.
    ...(process.platform === "linux" ? { recovery_init_sync_method: "syncfs" } : {}),
    // Utility statements would show passwords, failed ones the secrets in their text.
    "pg_stat_statements.track_utility": "off",
    log_min_error_statement: "panic",
    log_parameter_max_length_on_error: 0,
    log_checkpoints: "off",
    lc_messages: "C",
    log_timezone: "UTC",
    timezone: "UTC",
    // Still survives a killed server; not a machine that loses power.
    ...(durable ? {} : { fsync: "off", full_page_writes: "off" }),
  };
}

/**
 * Starts the postmaster of a data folder as a direct child and waits until it accepts connections.
 * Throws a StackError with the server's own last words when it does not come up.
 */
export async function launchServer(options: ServerOptions): Promise<ServerProcess> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(options.port);
    try {
      return await launchOn(port, options);
    } catch (error) {
      // Between our look at a free port and the server's, another process may have taken it.
      const lost = error instanceof StackError && /could not bind|Address already in use/.test(error.message);
      if (!lost || options.port !== 0 || attempt === 5) throw error;
    }
  }
}

async function launchOn(port: number, options: ServerOptions): Promise<ServerProcess> {
  const args = ["-D", options.data, "-p", String(port)];
  for (const [name, value] of Object.entries(settings(options.durable))) args.push("-c", `${name}=${value}`);
  const launch = launchAs(options.account, options.postgres, args, {
    paths: [options.data],
    dieWithUs: options.dieWithUs,
  });
  // Its own process group: Ctrl-C at the terminal must reach us alone, who then stop things in order.
  const child = spawn(launch.command, launch.args, {
    cwd: "/",
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
    env: { PATH: process.env.PATH ?? "", LC_ALL: "C", TZ: "UTC" },
    ...(launch.uid === undefined ? {} : { uid: launch.uid }),
    ...(launch.gid === undefined ? {} : { gid: launch.gid }),
  });
  const log: string[] = [];
  let expected = false;
  const exited = exitOf(child, () => ({ expected, log }));

  await new Promise<void>((resolve, reject) => {
    child.once("error", (error) =>
      reject(new StackError(`PostgreSQL could not be started: ${error.message}`)),
    );
    exited.then((exit) => reject(new StackError(`PostgreSQL did not start: ${lastWords(exit)}`)));
    if (!child.stderr) return;
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      if (log.length > 40) log.shift();
      options.onLog?.(line);
      if (line.includes("database system is ready to accept connections")) resolve();
    });
  });

  const signal = (name: NodeJS.Signals) => {
    expected = true;
    if (child.exitCode === null && child.signalCode === null) child.kill(name);
  };
  return {
    pid: child.pid ?? 0,
    port,
    exited,
    async stop(timeoutMs = 4000) {
      signal("SIGINT"); // fast shutdown
      const harder = setTimeout(() => signal("SIGQUIT"), timeoutMs);
      const hardest = setTimeout(() => signal("SIGKILL"), timeoutMs * 2);
      await exited;
      clearTimeout(harder);
      clearTimeout(hardest);
    },
    async kill() {
      signal("SIGQUIT"); // immediate shutdown: unlike SIGKILL it takes the backends along
      const hardest = setTimeout(() => signal("SIGKILL"), 2000);
      await exited;
      clearTimeout(hardest);
    },
  };
}

function exitOf(child: ChildProcess, state: () => { expected: boolean; log: string[] }): Promise<ServerExit> {
  return new Promise((resolve) => {
    // "close" comes after the last line of the log was read; "error" alone when the program never ran.
    child.once("close", (code, signal) => resolve({ code, signal, ...state() }));
  });
}

function lastWords(exit: ServerExit): string {
  const lines = exit.log.filter((line) => /FATAL|PANIC|ERROR|HINT|could not|setpriv/.test(line));
  const words = (lines.length > 0 ? lines : exit.log.slice(-1)).map((line) =>
    line.replace(/^.*?(FATAL|PANIC|ERROR|HINT|LOG): +/, ""),
  );
  return words.join(" ") || `it ended with ${exit.signal ?? `code ${exit.code}`}`;
}
