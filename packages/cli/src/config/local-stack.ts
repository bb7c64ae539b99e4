// Finds the local stack whose data folder is at or above the working directory.

import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

/** The embedded stack whose data folder is above the working directory. */
export interface LocalStack {
  url: string;
  key: string;
  /** Only while it runs. */
  dbUrl?: string | undefined;
}

/** Where `npm start` listens unless told otherwise. */
export const LOCAL_URL = "http://127.0.0.1:54321";

/**
 * Finds `.launchpad`, the data folder of `npm start`, in `from` or above it, and reads the publishable key there; nothing
 * else of the keys is kept. A folder is used only when it is this user's own, and an address in it only when it is this
 * machine's: a cloned repository must not be able to name where a password goes.
 * @param from the working directory
 * @returns undefined when absent
 */
export async function findLocalStack(from: string): Promise<LocalStack | undefined> {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = await readStack(join(folder, ".launchpad"));
    if (found || dirname(folder) === folder) return found;
  }
}

async function readStack(folder: string): Promise<LocalStack | undefined> {
  const keys = await readOwn(join(folder, "keys.json"));
  const key = keys?.publishableKey;
  if (typeof key !== "string" || !key.startsWith("sb_publishable_")) return undefined;
  const running = await readOwn(join(folder, "stack.json"));
  const { apiUrl, dbUrl } = running ?? {};
  return {
    url: typeof apiUrl === "string" && isLoopback(apiUrl) ? apiUrl : LOCAL_URL,
    key,
    ...(typeof dbUrl === "string" && isOwnDatabase(dbUrl) ? { dbUrl } : {}),
  };
}

async function readOwn(file: string): Promise<Record<string, unknown> | undefined> {
  try {
    const { uid } = await stat(file);
    if (process.getuid && uid !== process.getuid()) return undefined;
    const value: unknown = JSON.parse(await readFile(file, "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // none, or not readable: then there is no local stack to find
  }
}

/** A query may name another host, which would get the password of the environment; `npm start` says sslmode alone there. */
function isOwnDatabase(address: string): boolean {
  return isLoopback(address) && [...new URL(address).searchParams.keys()].every((name) => name === "sslmode");
}

/** Whether an address is this machine's own. */
export function isLoopback(address: string): boolean {
  if (!URL.canParse(address)) return false;
  const { hostname } = new URL(address);
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
