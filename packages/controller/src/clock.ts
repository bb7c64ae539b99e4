/** Time as a dependency: the loops take it as an argument, so that tests run them under a simulated one. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `callback` once after `milliseconds`; returns the function that cancels it. */
  after(milliseconds: number, callback: () => void): () => void;
}

/** The machine's clock. Its timers never keep the process alive: the servers do. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (milliseconds, callback) => {
    const timer = setTimeout(callback, milliseconds);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Exponential backoff: `base · 2^(attempt-1)`, at most `cap`. */
export function backoff(attempt: number, base: number, cap: number): number {
  return Math.min(cap, base * 2 ** Math.max(0, Math.min(attempt - 1, 30)));
}

/** `milliseconds` ± `share` of it, so that many controllers do not act in step. */
export function jittered(milliseconds: number, share: number, random: () => number): number {
  return milliseconds * (1 - share + 2 * share * random());
}
