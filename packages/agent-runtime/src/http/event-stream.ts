// An answer as server-sent events: `delta` {text}, `tool` {name, status, milliseconds}, then `done` or `error`.
import type { ServerResponse } from "node:http";

/** A comment that keeps proxies from closing a connection on which nothing is said. */
const KEEP_ALIVE_MS = 15_000;
/** An answer that has not begun by then is begun, so that the caller sees that it is under way. */
const BEGIN_MS = 1_000;

export interface EventStream {
  /** Whether the status has gone out: what fails from then on is an event. */
  readonly begun: boolean;
  send(event: string, data: unknown): void;
  /** Sends the last event. */
  end(event: string, data: unknown): void;
  /** Gives up without an event: nothing has gone out. */
  abandon(): void;
}

/** Whether the caller asked for events. */
export const wantsEvents = (accept: string | undefined): boolean =>
  /\btext\/event-stream\b/i.test(accept ?? "");

/** Makes the stream; nothing goes out before the first event or a second has passed. */
export function openEventStream(response: ServerResponse): EventStream {
  let begun = false;
  let corked = false;
  const begin = () => {
    if (begun || response.destroyed) return;
    begun = true;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
      "x-content-type-options": "nosniff",
    });
  };
  const late = setTimeout(() => {
    if (begun || response.destroyed) return;
    begin();
    response.flushHeaders();
  }, BEGIN_MS);
  const alive = setInterval(() => {
    if (begun && !response.destroyed) response.write(":\n\n");
  }, KEEP_ALIVE_MS);
  const stop = () => {
    clearTimeout(late);
    clearInterval(alive);
  };
  response.on("close", stop);
  const send = (event: string, data: unknown) => {
    begin();
    if (response.destroyed) return;
    response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    if (corked) return;
    // The first goes out at once, with the head; what follows in the same turn goes together: each packet wakes all on its way.
    corked = true;
    response.cork();
    setImmediate(uncork);
  };
  const uncork = () => {
    if (corked) response.uncork();
    corked = false;
  };
  return {
    get begun() {
      return begun;
    },
    send,
    end(event, data) {
      stop();
      send(event, data);
      uncork(); // Node ends a corked answer before what it holds back (findings/node-cork-before-end.sh)
      response.end();
    },
    abandon: stop,
  };
}
