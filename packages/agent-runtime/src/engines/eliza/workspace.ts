import { randomBytes } from "node:crypto";
import { constants, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../../config.ts";

export interface Workspace {
  /** The folder of the agent's database. */
  readonly databaseDir: string;
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
  // elizaOS's Google plugin takes no address, but Google's SDK under it does, without the version.
  const google = config.environment.GOOGLE_GENERATIVE_AI_BASE_URL;
  if (google !== undefined)
    env.GOOGLE_GEMINI_BASE_URL ??= google.replace(/\/+$/, "").replace(/\/v1(beta)?$/, "");
  return {
    databaseDir: join(folder, "pglite"),
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
  writeFileSync(file, salt, { mode: 0o600 });
  return salt;
}
