// Where the database's files are.

import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the extensions' control and SQL files. */
export const EXTENSIONS_FOLDER = fileURLToPath(new URL("../extensions", import.meta.url));

/** The folder of the bootstrap's SQL files. */
export const BOOTSTRAP_FOLDER = fileURLToPath(new URL("./bootstrap", import.meta.url));

/** The folder that holds the packages. */
const HOME = fileURLToPath(new URL("../../../..", import.meta.url));

/** What can be made again at any time: the server's distribution and the template of a data folder. Git-ignored. */
export const CACHE_FOLDER = join(HOME, ".cache", "stack");

/** Where the files of one stack's database lie within its data folder. */
export interface ClusterPaths {
  /** Holds everything below. */
  folder: string;
  /** PGDATA. */
  data: string;
  /** Passwords of the login roles; readable by the stack's account alone. */
  credentials: string;
  /** The Vault's key; readable by the server's account alone. */
  vaultKey: string;
  /** Which stack process started the server last: tells an orphan from a server in use. */
  owner: string;
}

/** @returns the paths of the database within a stack's data folder. */
export function clusterPaths(dataDir: string): ClusterPaths {
  const folder = join(dataDir, "postgres");
  return {
    folder,
    data: join(folder, "data"),
    credentials: join(folder, "credentials.json"),
    vaultKey: join(folder, "vault.key"),
    owner: join(folder, "owner.json"),
  };
}
