/** Some runtimes send a request again on their own, where a kept connection ends before its answer: here it is sent once. */

interface Runtime {
  Bun?: unknown;
  Deno?: { createHttpClient?(options: { poolMaxIdlePerHost: number }): { close(): void } } | undefined;
}

/**
 * A connection of its own for one request, so that nothing is left for the runtime to repeat. Bun repeats PUT and DELETE,
 * Deno whatever it is; Node nothing. Browsers may, and cannot be told otherwise.
 * @returns `init`, to be added to the options of `fetch`; `done`, to be called when the answer was read
 */
export function once(): { init: object; done(): void } {
  const { Bun, Deno } = globalThis as Runtime;
  if (Bun !== undefined) return { init: { keepalive: false }, done() {} };
  try {
    const client = Deno?.createHttpClient?.({ poolMaxIdlePerHost: 0 });
    if (client !== undefined) return { init: { client }, done: () => client.close() };
  } catch {
    // a Deno that does not allow it
  }
  return { init: {}, done() {} };
}
