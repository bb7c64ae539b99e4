// Starts services in order and restarts those that die.

import { setTimeout as sleepFor } from "node:timers/promises";
import { reasonOf } from "../errors.ts";
import { nextRestart } from "./backoff.ts";
import { describeExit, type Exit } from "./child.ts";

export type ServiceState = "waiting" | "starting" | "running" | "restarting" | "stopped";

/** A service that has become ready. */
export interface Running {
  /** Settles when it ends on its own; absent for what runs inside this process. */
  exited?: Promise<Exit>;
  stop(): Promise<void>;
}

export interface ServiceSpec {
  name: string;
  /** Names of services that must be ready before this one starts, and that stop after it. */
  needs: readonly string[];
  /**
   * Starts it once and returns when it is ready; called again after it has died.
   * On the signal it ends what it has begun and throws: the stack is stopping.
   */
  start(signal: AbortSignal): Promise<Running>;
}

export interface SupervisorOptions {
  log: (message: string) => void;
  onState?: (name: string, state: ServiceState) => void;
  now?: () => number;
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

interface Entry {
  spec: ServiceSpec;
  state: ServiceState;
  running: Running | undefined;
  /** The current start or restart: a stop waits for it, so that nothing starts behind its back. */
  work: Promise<void>;
  /** Failures in a row. */
  failures: number;
}

/** Starts services in the order of their needs, restarts what dies, and stops everything in the opposite order. */
export class Supervisor {
  readonly #entries = new Map<string, Entry>();
  readonly #options: Required<SupervisorOptions>;
  readonly #stopping = new AbortController();
  #stopped: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = {
      now: () => performance.now(),
      sleep: async (ms, signal) => await sleepFor(ms, undefined, { signal }),
      onState: () => {},
      ...options,
    };
  }

  /**
   * Starts all services, each as soon as what it needs is ready. Throws the first failure of a first start
   * (the caller then stops the rest): a stack that never worked is not retried.
   */
  async start(specs: readonly ServiceSpec[]): Promise<void> {
    for (const spec of specs) {
      const work = Promise.resolve();
      this.#entries.set(spec.name, { spec, state: "waiting", running: undefined, work, failures: 0 });
    }
    const starting = new Map<string, Promise<void>>();
    const startOf = (name: string): Promise<void> => {
      const known = starting.get(name);
      if (known) return known;
      const entry = this.#entries.get(name);
      if (!entry) throw new Error(`no service is called ${name}`);
      const work = Promise.all(entry.spec.needs.map(startOf)).then(async () => {
        if (!this.#stopping.signal.aborted) await this.#startOnce(entry);
      });
      entry.work = work.catch(() => {});
      starting.set(name, work);
      return work;
    };
    await Promise.all(specs.map(({ name }) => startOf(name)));
  }

  /** The state of every service by name. */
  states(): Record<string, ServiceState> {
    return Object.fromEntries([...this.#entries].map(([name, { state }]) => [name, state]));
  }

  /** Stops everything: a service before those it needs. Safe to call again; the second call waits for the first. */
  stop(): Promise<void> {
    this.#stopping.abort();
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  async #stopAll(): Promise<void> {
    const stops = new Map<string, Promise<void>>();
    const stopOf = (name: string): Promise<void> => {
      const known = stops.get(name);
      if (known) return known;
      const dependents = [...this.#entries.values()].filter(({ spec }) => spec.needs.includes(name));
      const work = Promise.all(dependents.map(({ spec }) => stopOf(spec.name))).then(() =>
        this.#stopOne(name),
      );
      stops.set(name, work);
      return work;
    };
    await Promise.all([...this.#entries.keys()].map(stopOf));
  }

  async #stopOne(name: string): Promise<void> {
    const entry = this.#entries.get(name)!;
    await entry.work;
    try {
      await entry.running?.stop();
    } catch (error) {
      this.#options.log(`${name} did not stop cleanly: ${reasonOf(error)}`);
    }
    this.#enter(entry, "stopped");
  }

  async #startOnce(entry: Entry): Promise<void> {
    this.#enter(entry, entry.state === "waiting" ? "starting" : "restarting");
    const running = await entry.spec.start(this.#stopping.signal);
    entry.running = running;
    this.#enter(entry, "running");
    const since = this.#options.now();
    void running.exited?.then((exit) => this.#onExit(entry, running, exit, this.#options.now() - since));
  }

  #onExit(entry: Entry, running: Running, exit: Exit, livedMs: number): void {
    if (this.#stopping.signal.aborted || entry.running !== running) return;
    entry.running = undefined;
    entry.work = this.#restart(entry, describeExit(exit), livedMs);
  }

  async #restart(entry: Entry, reason: string, livedMs: number): Promise<void> {
    const { name } = entry.spec;
    this.#enter(entry, "restarting");
    for (let why = reason, lived = livedMs; ; lived = 0) {
      const next = nextRestart(entry.failures, lived);
      entry.failures = next.failures;
      this.#options.log(`${name} ended (${why}); starting it again in ${next.delayMs / 1000} s`);
      try {
        await this.#options.sleep(next.delayMs, this.#stopping.signal);
      } catch {
        return; // the stack is stopping
      }
      try {
        await this.#startOnce(entry);
        this.#options.log(`${name} runs again`);
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        why = reasonOf(error);
      }
    }
  }

  #enter(entry: Entry, state: ServiceState): void {
    entry.state = state;
    this.#options.onState(entry.spec.name, state);
  }
}
