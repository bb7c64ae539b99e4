// Stores logins in the user's configuration folder.

import { chmod, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CliError, codeOf } from "../errors.ts";

/** A login: what Auth gave, or a token alone. */
export interface Session {
  access_token: string;
  /** Empty where only a token was given: such a login ends with its token. */
  refresh_token: string;
  /** Seconds since 1970. */
  expires_at: number;
  token_type: "bearer";
  user: { id: string; email?: string | undefined };
}

/** A project and the login there. */
export interface Profile {
  url: string;
  key: string;
  apiUrl?: string | undefined;
  session?: Session | undefined;
}

interface Credentials {
  version: 1;
  profiles: Record<string, Profile>;
}

const LOCK_PATIENCE_MS = 10_000;

/** The file of logins: mode 0600, in a folder of mode 0700, replaced as a whole. */
export class Store {
  readonly file: string;

  constructor(folder: string) {
    this.file = join(folder, "credentials.json");
  }

  /** A profile, or undefined. Throws CliError when the file is there but cannot be used. */
  async profile(name: string): Promise<Profile | undefined> {
    const { profiles } = await this.#read();
    return Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  }

  /** Names of all profiles. */
  async names(): Promise<string[]> {
    return Object.keys((await this.#read()).profiles);
  }

  /**
   * Changes one profile while no other process does.
   * @param name the profile
   * @param change what is there → what shall be there; undefined removes it
   */
  async update(name: string, change: (profile: Profile | undefined) => Profile | undefined): Promise<void> {
    await this.exclusively(async () => {
      const credentials = await this.#read();
      const changed = change(
        Object.hasOwn(credentials.profiles, name) ? credentials.profiles[name] : undefined,
      );
      if (changed === undefined) delete credentials.profiles[name];
      else credentials.profiles[name] = changed;
      await this.#write(credentials);
    });
  }

  /** Whether other accounts of this machine may read the file; false when absent. */
  async isExposed(): Promise<boolean> {
    if (process.platform === "win32") return false; // access there is by the folder's list
    return await stat(this.file).then(
      ({ mode }) => (mode & 0o077) !== 0,
      () => false,
    );
  }

  #held = false;

  /** Runs `action` while no other process changes the file. A lock that its process left behind is broken. */
  async exclusively<T>(action: () => Promise<T>): Promise<T> {
    if (this.#held) return await action();
    const lock = `${this.file}.lock`;
    await this.#makeFolder();
    const deadline = Date.now() + LOCK_PATIENCE_MS;
    for (;;) {
      try {
        await (await open(lock, "wx", 0o600)).close();
        break;
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw this.#unusable(error);
      }
      const age = await stat(lock).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => 0,
      );
      if (age > LOCK_PATIENCE_MS || Date.now() > deadline) await rm(lock, { force: true });
      else await sleep(20); // another process is about to finish; the system tells nobody when
    }
    this.#held = true;
    try {
      return await action();
    } finally {
      this.#held = false;
      await rm(lock, { force: true });
    }
  }

  async #read(): Promise<Credentials> {
    let text: string;
    try {
      text = await readFile(this.file, "utf8");
    } catch (error) {
      if (codeOf(error) === "ENOENT") return { version: 1, profiles: {} };
      throw this.#unusable(error);
    }
    try {
      const credentials: unknown = JSON.parse(text);
      if (isCredentials(credentials)) return credentials;
    } catch {
      // told below
    }
    throw new CliError("usage", `${this.file} is damaged; delete it and sign in again.`, {
      code: "BAD_CREDENTIALS_FILE",
    });
  }

  async #write(credentials: Credentials): Promise<void> {
    const fresh = `${this.file}.${process.pid}.new`;
    try {
      await writeFile(fresh, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600 });
      await chmod(fresh, 0o600); // one that a crash left may have another mode
      await rename(fresh, this.file);
    } catch (error) {
      await rm(fresh, { force: true });
      throw this.#unusable(error);
    }
  }

  async #makeFolder(): Promise<void> {
    await mkdir(dirname(this.file), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw this.#unusable(error);
    });
  }

  #unusable(error: unknown): CliError {
    return new CliError(
      "usage",
      `${this.file} cannot be used (${codeOf(error) ?? error}); set XDG_CONFIG_HOME to a folder of yours.`,
      {
        code: "BAD_CREDENTIALS_FILE",
        cause: error,
      },
    );
  }
}

function isCredentials(value: unknown): value is Credentials {
  if (typeof value !== "object" || value === null || !("profiles" in value)) return false;
  const { profiles } = value;
  if (typeof profiles !== "object" || profiles === null) return false;
  return Object.values(profiles).every(
    (profile: unknown) =>
      typeof profile === "object" &&
      profile !== null &&
      "url" in profile &&
      typeof profile.url === "string" &&
      "key" in profile &&
      typeof profile.key === "string",
  );
}
