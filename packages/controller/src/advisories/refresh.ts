// Keeps the stored advisories of packages in use fresh, on a timer.

import { type Clock, jittered } from "../clock.ts";
import { errorMessage, type Log } from "../log.ts";
import type { AdvisoryDatabase } from "./database.ts";
import { type LookedUp, lookUp, type Target } from "./npm.ts";
import type { RuntimePackage } from "./packages.ts";

export interface RefreshOptions {
  database: AdvisoryDatabase;
  clock: Clock;
  random: () => number;
  log: Log;
  /** How often is looked for packages that are due; the database says which are (once a day each). */
  periodSeconds: number;
  packages: () => RuntimePackage[];
  /** The advisory endpoint, or undefined where there is none. */
  source: () => Promise<string | undefined>;
  send?: typeof fetch;
}

const PER_CALL = 1000;
/** The first look waits until the controller has started its agents. */
const FIRST_SECONDS = 60;
const NO_SOURCE = "No advisory source is configured";

/** Keeps the advisories of packages in use fresh. Losing a run costs freshness, never work: its errors are logged alone. */
export class AdvisoryRefresh {
  readonly #options: RefreshOptions;
  #cancel: () => void = () => {};
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  #said: string | undefined;

  constructor(options: RefreshOptions) {
    this.#options = options;
  }

  start(): void {
    this.#plan(Math.min(FIRST_SECONDS, this.#options.periodSeconds));
  }

  /** Waits for a run under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#running;
  }

  /** One run: looks up everything that is due. Never throws. */
  async run(): Promise<void> {
    const { database, log, packages, source, send } = this.#options;
    try {
      const url = await source();
      let runtime: RuntimePackage[] | null = packages();
      if (runtime.length === 0) runtime = null;
      // Each call returns what is still due; what was asked a moment ago is not due again.
      for (let calls = 0; calls < 10 && !this.#stopped; calls++) {
        const due = await database.targets(runtime, PER_CALL);
        if (due.length === 0) return;
        runtime = null;
        const results = url === undefined ? unavailable(due) : await lookUp(url, due, send);
        await database.record(results);
        const failed = results.find((result) => "error" in result);
        this.#say(failed?.error, { looked_up: due.length });
        if (failed !== undefined) return;
      }
    } catch (error) {
      log.warn("advisories were not refreshed", { error: errorMessage(error) });
    }
  }

  #plan(seconds: number): void {
    if (this.#stopped) return;
    const { clock, random, periodSeconds } = this.#options;
    this.#cancel = clock.after(jittered(seconds * 1000, 0.1, random), () => {
      this.#running = this.run();
      void this.#running.then(() => this.#plan(periodSeconds));
    });
  }

  /** The same trouble each hour is said once. */
  #say(error: string | undefined, facts: Record<string, unknown>): void {
    const { log } = this.#options;
    if (error === undefined) log.info("advisories were refreshed", facts);
    else if (error !== this.#said) log.warn("advisories are unavailable", { error });
    this.#said = error;
  }
}

const unavailable = (due: readonly Target[]): LookedUp[] =>
  due.map((target) => ({ ...target, error: NO_SOURCE }));
