/** Waiting with an end: for a moment, or for work that must be done in time. */

/** Work was not done in time. */
export class Late extends Error {}

/** The longest delay that timers know. */
const LONGEST = 2 ** 31 - 1;

/**
 * Waits, unless the signal ends it.
 * @param milliseconds how long
 * @param signal ends the wait: the promise rejects with its reason
 */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * Does work that must be done in time. The limit holds even for work that ignores its signal.
 * @param milliseconds the limit; Infinity: none
 * @param outer ends the work early: the promise rejects with its reason
 * @param work gets a signal that aborts at either
 * @throws Late
 */
export async function within<T>(
  milliseconds: number,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let abort = () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ended = new Promise<never>((_, reject) => {
    const end = (reason: unknown) => {
      reject(reason);
      controller.abort(reason);
    };
    abort = () => end(outer?.reason);
    if (milliseconds <= 0) end(new Late());
    else if (milliseconds <= LONGEST) timer = setTimeout(() => end(new Late()), milliseconds);
    outer?.addEventListener("abort", abort, { once: true });
    if (outer?.aborted) abort();
  });
  ended.catch(() => {});
  try {
    controller.signal.throwIfAborted();
    const working = work(controller.signal);
    working.catch(() => {});
    return await Promise.race([working, ended]);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", abort);
  }
}
