// Injects delays, failures and crashes into simulated calls.

import type { Clock } from "../clock.ts";
import type { SimulatedClock } from "./simulated-clock.ts";

/** One life of a simulated controller. */
export interface Life {
  dead: boolean;
  pausedUntil: number;
  /** What became due while it was paused. */
  held: (() => void)[];
}

export interface CallOptions {
  /** The call may take effect long after its caller has given up. */
  late: boolean;
  /** What the caller gets when there is no answer. */
  failure(why: string): Error;
  /** The life ends here. */
  crash(): void;
}

/** Makes calls slow, lets them fail before or after they took effect, and ends whoever makes them, as the seed says. */
export class Faults {
  on = true;
  readonly #clock: SimulatedClock;
  readonly #random: () => number;

  constructor(clock: SimulatedClock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** A clock whose timers end with the life and wait while it is paused. */
  clockOf(life: Life): Clock {
    return {
      now: () => this.#clock.now(),
      after: (milliseconds, callback) =>
        this.#clock.after(milliseconds, () => {
          if (life.dead) return;
          if (this.#clock.now() < life.pausedUntil) life.held.push(callback);
          else callback();
        }),
    };
  }

  /** Stops a life's clock and calls for a while, as a swapped-out or suspended process. */
  pause(life: Life, milliseconds: number): void {
    life.pausedUntil = this.#clock.now() + milliseconds;
    this.#clock.after(milliseconds, () => {
      for (const resume of life.held.splice(0)) resume();
    });
  }

  async call<T>(method: () => T | Promise<T>, life: Life, options: CallOptions): Promise<T> {
    const never = new Promise<never>(() => {});
    const turn = () => new Promise<void>((resolve) => this.clockOf(life).after(this.#delay(), resolve));
    await turn();
    const fate = this.on ? this.#random() : 1;
    if (fate < 0.02) {
      options.crash();
      return await never;
    }
    if (fate < 0.05) throw options.failure("no answer");
    if (fate < 0.06 && options.late) {
      this.#clock.after(this.#random() * 10_000, () => void Promise.try(method).catch(() => {}));
      throw options.failure("no answer in time");
    }
    const result = await method();
    if (fate < 0.08) {
      options.crash();
      return await never;
    }
    await turn();
    if (life.dead) return await never;
    if (fate < 0.11) throw options.failure("the answer was lost");
    return result;
  }

  #delay(): number {
    if (this.on && this.#random() < 0.02) return this.#random() * 20_000;
    return 1 + this.#random() * 5;
  }
}
