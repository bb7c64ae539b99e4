// The folder that elizaOS works in: its database, its salt, its working directory. A replica may be killed at any moment, its
// first start included, and starts again from what is whole.
import { randomBytes } from "node:crypto";
import {
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../../config.ts";

export interface Workspace {
  /** The folder of the agent's database. */
  readonly databaseDir: string;
  /** The database has all that elizaOS needs: from now on it is kept. */
  databaseMade(): void;
  /**
   * The database cannot be opened: it is put aside, so that the next start makes a new one.
   * @returns where it is; undefined where it was new and nothing is kept
   */
  setDatabaseAside(): string | undefined;
  /** Removes the folder where it was only a temporary one. */
  dispose(): void;
}

/**
 * Makes the folder elizaOS works in, and moves the process there.
 * elizaOS looks for a `.env` from the working directory upwards and puts what it finds into the environment: an empty one
 * in the agent's own folder keeps the operator's out. SECRET_SALT, with which it encrypts, is made once per folder.
 */
export function openWorkspace(config: Config, env: NodeJS.ProcessEnv): Workspace {
  const temporary = config.stateDir === undefined;
  const folder = config.stateDir ?? mkdtempSync(join(tmpdir(), "agent-eliza-"));
  // elizaOS looks two folders up, too; there, as here, it must be allowed to (Node's permission model).
  const workingDirectory = join(folder, "elizaos", "work");
  mkdirSync(workingDirectory, { recursive: true, mode: 0o700 });
  writeFileSync(join(workingDirectory, ".env"), "");
  process.chdir(workingDirectory);
  answerPglite();
  env.SECRET_SALT = config.environment.SECRET_SALT ?? readSalt(folder);
  env.LOG_LEVEL = config.environment.LOG_LEVEL ?? (config.logLevel === "DEBUG" ? "debug" : "warn");
  env.LOG_JSON_FORMAT = "true";
  env.DOTENV_CONFIG_QUIET = "true";
  // elizaOS's Google plugin accepts no address, but Google's SDK under it does, without the version.
  const google = config.environment.GOOGLE_GENERATIVE_AI_BASE_URL;
  if (google !== undefined)
    env.GOOGLE_GEMINI_BASE_URL ??= google.replace(/\/+$/, "").replace(/\/v1(beta)?$/, "");
  const databaseDir = join(folder, "pglite");
  const mark = join(folder, "pglite.made");
  const aside = join(folder, "pglite.broken");
  // Without its mark it is half of a database, from a first start that was killed.
  const isNew = !existsSync(mark);
  if (isNew) rmSync(databaseDir, { recursive: true, force: true });
  return {
    databaseDir,
    databaseMade: () => writeWhole(mark, ""),
    setDatabaseAside: () => {
      if (isNew) return undefined;
      rmSync(mark, { force: true });
      rmSync(aside, { recursive: true, force: true });
      renameSync(databaseDir, aside);
      return aside;
    },
    dispose: () => {
      if (temporary) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * PGlite asks Node's internals for the flags of files, which Node's permission model refuses; they are public elsewhere.
 * Nothing else of the internals is given out.
 */
function answerPglite(): void {
  if (process.permission === undefined) return;
  const internals = process as unknown as { binding(name: string): unknown };
  const refuse = internals.binding;
  internals.binding = (name) =>
    name === "constants" ? { fs: { ...constants } } : refuse.call(process, name);
}

function readSalt(folder: string): string {
  const file = join(folder, "secret-salt");
  if (existsSync(file)) return readFileSync(file, "utf8");
  const salt = randomBytes(24).toString("base64url");
  writeWhole(file, salt);
  return salt;
}

/** Writes a file that is there whole or not at all. */
function writeWhole(file: string, text: string): void {
  const made = `${file}.new`;
  writeFileSync(made, text, { mode: 0o600 });
  renameSync(made, file);
}
