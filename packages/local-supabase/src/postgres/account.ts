// Chooses the operating-system account that PostgreSQL runs under.

import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { StackError } from "../errors.ts";

/** The account that PostgreSQL runs under, where it must differ from ours. */
export interface Account {
  uid: number;
  gid: number;
}

/** How to start a program: what to give to `spawn`. */
export interface Launch {
  command: string;
  args: string[];
  uid?: number;
  gid?: number;
}

const SETPRIV = ["/usr/bin/setpriv", "/bin/setpriv"].find(existsSync);

/**
 * PostgreSQL refuses to run as root. When the stack is root (a container, mostly) the server runs as the owner of its
 * data folder, else as `postgres` or `nobody`, whichever the machine has; no account is created.
 *
 * @returns undefined when our own account will do.
 */
export function serverAccount(dataFolder: string): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const owner = existsSync(dataFolder) ? statSync(dataFolder) : undefined;
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const fields = lines.find((line) => line.startsWith(`${name}:`))?.split(":");
    if (fields && Number(fields[2]) > 0) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new StackError(
    "PostgreSQL cannot run as root and this machine has no `postgres` or `nobody` account; start as another user.",
  );
}

/** Whether every folder above a path lets anybody through. */
function reachable(path: string): boolean {
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    if (existsSync(folder) && (statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/**
 * @returns how to run a PostgreSQL program under an account. On Linux the program also gets SIGINT (for a postmaster: a
 * fast shutdown) when we die, even by SIGKILL. A server whose folder lies in the private home of root keeps the one
 * capability that lets it through closed folders. Throws a StackError where that would be needed and cannot be had.
 */
export function launchAs(
  account: Account | undefined,
  command: string,
  args: string[],
  opts: { paths: string[]; dieWithUs: boolean },
): Launch {
  const needsPassage = account !== undefined && ![command, ...opts.paths].every(reachable);
  if (!SETPRIV || process.platform !== "linux") {
    if (needsPassage)
      throw new StackError(
        `The account of PostgreSQL cannot reach ${opts.paths[0]}; choose a --data-dir outside root's home.`,
      );
    return { command, args, ...account };
  }
  const options: string[] = [];
  if (opts.dieWithUs) options.push("--pdeathsig", "INT");
  if (account) {
    if (needsPassage) {
      options.push(
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--bounding-set=-all,+dac_override",
      );
    }
    options.push("--reuid", String(account.uid), "--regid", String(account.gid), "--clear-groups");
  }
  if (options.length === 0) return { command, args };
  accessSync(command, constants.X_OK);
  return { command: SETPRIV, args: [...options, command, ...args] };
}
