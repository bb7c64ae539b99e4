// Creates or inspects a PostgreSQL data folder.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { StackError } from "../errors.ts";
import { type Account, launchAs, serverAccount } from "./account.ts";
import { newCredentials, passwordStatements, writePrivate } from "./credentials.ts";
import type { Distribution } from "./distribution.ts";
import type { ClusterPaths } from "./paths.ts";

export const MAJOR_VERSION = "17";

/**
 * Judges a data folder before a server touches it.
 *
 * @returns whether there is a cluster to start; false when the folder is absent or empty.
 * Throws a StackError when what lies there is foreign, incomplete or of another major version.
 */
export function inspectCluster(paths: ClusterPaths): boolean {
  if (!existsSync(paths.data)) return false;
  let entries: string[];
  try {
    entries = readdirSync(paths.data);
  } catch {
    throw new StackError(`${paths.data} is not a folder; move it elsewhere or choose another --data-dir.`);
  }
  if (entries.length === 0) return false;
  if (!entries.includes("PG_VERSION")) {
    throw new StackError(
      `${paths.data} holds something that is not a PostgreSQL database; move it elsewhere or choose another --data-dir.`,
    );
  }
  const version = readFileSync(join(paths.data, "PG_VERSION"), "utf8").trim();
  if (version !== MAJOR_VERSION) {
    throw new StackError(
      `${paths.data} was made by PostgreSQL ${version}, this stack runs ${MAJOR_VERSION}; choose another --data-dir.`,
    );
  }
  for (const needed of ["global/pg_control", "pg_wal", "base", "pg_hba.conf", "postgresql.conf"]) {
    if (!existsSync(join(paths.data, needed))) {
      throw new StackError(
        `${paths.data} is incomplete (${needed} is missing); restore it or choose another --data-dir.`,
      );
    }
  }
  return true;
}

function chownTree(folder: string, account: Account | undefined): void {
  if (!account) return;
  chownSync(folder, account.uid, account.gid);
  for (const entry of readdirSync(folder, { recursive: true }))
    chownSync(join(folder, String(entry)), account.uid, account.gid);
}

/** Runs a PostgreSQL program to its end. Throws a StackError with its messages when it fails. */
export async function runProgram(
  account: Account | undefined,
  command: string,
  args: string[],
  opts: { paths: string[]; input?: string },
): Promise<void> {
  const launch = launchAs(account, command, args, { paths: opts.paths, dieWithUs: true });
  const child = spawn(launch.command, launch.args, {
    cwd: "/",
    stdio: ["pipe", "ignore", "pipe"],
    env: { PATH: process.env.PATH ?? "", LC_ALL: "C", TZ: "UTC" },
    ...(launch.uid === undefined ? {} : { uid: launch.uid }),
    ...(launch.gid === undefined ? {} : { gid: launch.gid }),
  });
  let messages = "";
  child.stderr.on("data", (chunk: Buffer) => {
    messages += chunk.toString();
  });
  child.stdin.on("error", () => undefined); // it may end before it read everything; its exit code tells
  child.stdin.end(opts.input ?? "");
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0)
    throw new StackError(`PostgreSQL's ${command.split(/[\\/]/).pop()} failed: ${messages.trim()}`);
}

/** Makes an empty cluster whose superuser is supabase_admin with this password. */
export async function initCluster(
  distribution: Distribution,
  data: string,
  account: Account | undefined,
  password: string,
): Promise<void> {
  const passwordFile = `${data}.password`;
  mkdirSync(data, { recursive: true, mode: 0o700 });
  writePrivate(passwordFile, password);
  if (account) {
    chownSync(data, account.uid, account.gid);
    chownSync(passwordFile, account.uid, account.gid);
  }
  // The collation is PostgreSQL's own C.UTF-8, the same on every system; the C library only classifies characters.
  const locale = { darwin: "en_US.UTF-8", win32: "C" }[process.platform as string] ?? "C.UTF-8";
  try {
    await runProgram(
      account,
      distribution.initdb,
      [
        "-D",
        data,
        "-U",
        "supabase_admin",
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "-E",
        "UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        `--locale=${locale}`,
        "--no-sync",
        "--wal-segsize=4",
      ],
      { paths: [data] },
    );
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/**
 * Makes the data folder of a stack from the template: a copy, with passwords and a Vault key of its own. The passwords are
 * set in single-user mode, before anything listens; the folder gets its name last, so a start that was cut off leaves none.
 */
export async function createCluster(
  distribution: Distribution,
  template: string,
  paths: ClusterPaths,
): Promise<void> {
  const account = serverAccount(paths.data);
  mkdirSync(paths.folder, { recursive: true, mode: account ? 0o711 : 0o700 });
  const building = `${paths.data}.tmp`;
  rmSync(building, { recursive: true, force: true });
  rmSync(paths.data, { recursive: true, force: true }); // empty, or inspectCluster() would have refused it
  mkdirSync(building, { mode: 0o700 });
  cpSync(template, building, { recursive: true, mode: 2 /* COPYFILE_FICLONE */ });
  chownTree(building, account);

  const passwords = newCredentials();
  await runProgram(
    account,
    distribution.postgres,
    ["--single", "-D", building, "-c", "exit_on_error=on", "-c", "log_checkpoints=off", "postgres"],
    {
      paths: [building],
      input: `${passwordStatements(passwords).join("\n")}\n`,
    },
  );
  writePrivate(paths.credentials, `${JSON.stringify(passwords, null, 2)}\n`);
  if (!existsSync(paths.vaultKey)) {
    writePrivate(paths.vaultKey, randomBytes(32));
    if (account) chownSync(paths.vaultKey, account.uid, account.gid);
  }
  renameSync(building, paths.data);
}
