/** Tells the database of an answer's progress: text and steps as they come, at most one report at a time, and heartbeats between. */
import type { Step } from "../../../packages/agent-runtime/src/abilities/steps.ts";
import { type Database, LEASE_SECONDS } from "./database.ts";
import type { Task } from "./task.ts";

const THROTTLE_MS = 100;

export class Progress {
  readonly #database: Database;
  readonly #task: Task;
  readonly #lost = new AbortController();
  readonly #heartbeat: ReturnType<typeof setInterval>;
  #waiting = "";
  #steps: Step[] = [];
  #sequence = 0;
  #sending: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Begins the heartbeats; close() ends them. */
  constructor(database: Database, task: Task) {
    this.#database = database;
    this.#task = task;
    this.#heartbeat = setInterval(() => this.#flush(), (LEASE_SECONDS * 1000) / 3);
  }

  /** Aborted when the lease is lost: somebody else answers now. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Takes new text. The first goes at once, later ones together. */
  say(text: string): void {
    this.#waiting += text;
    if (this.#sending === undefined && this.#timer === undefined) this.#flush();
  }

  /** Takes a step: that of a tool goes at once, a model's with the text or step that follows, or with the answer. */
  note(step: Step): void {
    this.#steps.push(step);
    if (step.kind !== "model") this.#flush();
  }

  /** The steps that no report took, for the last one. */
  takeSteps(): Step[] {
    return this.#steps.splice(0);
  }

  /** Sends what is left and ends the heartbeats. Reports that fail are let go: the stored answer is what counts. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    while (this.#sending !== undefined) await this.#sending;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting !== "" && !this.lost.aborted) {
      this.#flush();
      await this.#sending;
    }
    clearTimeout(this.#timer);
  }

  #flush(): void {
    if (this.#sending !== undefined || this.lost.aborted) return;
    const text = this.#waiting;
    const steps = this.takeSteps();
    this.#waiting = "";
    this.#sending = this.#database
      .report(this.#task, text, text === "" ? this.#sequence : this.#sequence++, steps)
      .then(
        (held) => {
          if (!held) this.#lost.abort(new Error("the lease is lost"));
        },
        // The answer itself takes them along.
        () => void this.#steps.unshift(...steps),
      )
      .finally(() => {
        this.#sending = undefined;
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          if (this.#waiting !== "") this.#flush();
        }, THROTTLE_MS);
      });
  }
}
