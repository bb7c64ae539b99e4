// Which class the user of a held agent has: told with each claim, and read again whenever operators change something.
import type { AgentClass, Claim, Classes } from "../contract.ts";
import { errorMessage, type Log } from "../log.ts";

export interface UserClassesOptions {
  /** Reads all classes, and who has which. */
  load(): Promise<Classes>;
  /** They may be others than before. */
  changed(): void;
  log: Log;
}

/** Knows who has which class as of a version, and reads them again when the database tells of another one. */
export class UserClasses {
  readonly #options: UserClassesOptions;
  #known: Classes | undefined;
  #told: number | undefined;
  #loading = false;

  constructor(options: UserClassesOptions) {
    this.#options = options;
  }

  /** A claim or a heartbeat tells the version. A read that fails is repeated with the next one. */
  learn(version: number | null | undefined): void {
    if (version === null || version === undefined) return;
    this.#told = version;
    if (!this.#loading && version !== this.#known?.version) void this.#load();
  }

  /** The class of the claim's user: what the claim says, unless something newer was read. */
  of({ class: claimed, classesVersion, userId }: Claim): AgentClass | null {
    const known = this.#known;
    if (known === undefined || classesVersion == null || classesVersion >= known.version || userId == null)
      return claimed ?? null;
    return known.classes[known.users[userId] ?? "default"] ?? null;
  }

  async #load(): Promise<void> {
    this.#loading = true;
    try {
      // Told of another one meanwhile: then what was read is old already.
      for (let asked: number | undefined; asked !== this.#told; ) {
        asked = this.#told;
        this.#known = await this.#options.load();
        this.#options.changed();
      }
    } catch (error) {
      this.#options.log.warn("the classes of users could not be read", { error: errorMessage(error) });
    } finally {
      this.#loading = false;
    }
  }
}
