// Removes the stored files of deleted agents, on a timer.

import { type Clock, jittered } from "../clock.ts";
import { errorMessage, type Log } from "../log.ts";
import type { FileStore, Removal } from "./store.ts";

export interface FileRemovalOptions {
  store: FileStore;
  clock: Clock;
  random: () => number;
  log: Log;
  /** Whether the database is the installation's, and operators let removals go on. */
  mayRemove(): boolean;
  /** How often is looked for deleted agents. */
  periodSeconds: number;
}

const PER_CLAIM = 20;
/** Claims in one run: what is beyond waits for the next. */
const CLAIMS = 50;

/**
 * Removes the files of deleted agents. The database says which remain, each time anew: a run that is lost, or two controllers
 * at once, cost a call and no file. Its errors are logged and told to the database, which spaces the next attempts.
 */
export class FileRemoval {
  readonly #options: FileRemovalOptions;
  #cancel: () => void = () => {};
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  #said: string | undefined;

  constructor(options: FileRemovalOptions) {
    this.#options = options;
  }

  start(): void {
    this.#plan();
  }

  /** Waits for a run under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#running;
  }

  /** One run: removes what is due. Never throws. */
  async run(): Promise<void> {
    const { store, log, mayRemove } = this.#options;
    try {
      for (let claims = 0; claims < CLAIMS && !this.#stopped && mayRemove(); claims++) {
        const due = await store.claim(PER_CLAIM);
        for (const removal of due) await this.#remove(removal);
        if (due.length === 0) break;
      }
      this.#said = undefined;
    } catch (error) {
      const message = errorMessage(error);
      // The same trouble each time is said once.
      if (message !== this.#said) log.warn("files of deleted agents were not removed", { error: message });
      this.#said = message;
    }
  }

  async #remove({ agentId, files }: Removal): Promise<void> {
    const { store, log } = this.#options;
    try {
      for (const { bucket, names } of files) await store.remove(bucket, names);
    } catch (error) {
      const message = errorMessage(error);
      log.warn("the files of a deleted agent were not removed", { agentId, error: message });
      await store.report(agentId, message);
      return;
    }
    await store.report(agentId);
    const removed = files.reduce((sum, { names }) => sum + names.length, 0);
    if (removed > 0) log.info("removed the files of a deleted agent", { agentId, removed });
  }

  #plan(): void {
    if (this.#stopped) return;
    const { clock, random, periodSeconds } = this.#options;
    this.#cancel = clock.after(jittered(periodSeconds * 1000, 0.1, random), () => {
      this.#running = this.run();
      void this.#running.then(() => this.#plan());
    });
  }
}
