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
  /** Events of this turn behind the one that went out; undefined: none has gone out. */
  let held: string[] | undefined;
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
  /** Events of one turn: the first goes out at once, what follows goes together, since each packet wakes all on its way. */
  const send = (event: string, data: unknown) => {
    begin();
    if (response.destroyed) return;
    const text = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    if (held !== undefined) {
      held.push(text);
      return;
    }
    response.write(text);
    // Node would keep it until all is done that follows from the model's packet: the other words of it, the trace, the log.
    response.socket?.uncork();
    held = [];
    setImmediate(release);
  };
  // Not by cork(): Node ends a corked answer before what it holds back (findings/node-cork-before-end.sh).
  const release = () => {
    if (held !== undefined && held.length > 0 && !response.destroyed) response.write(held.join(""));
    held = undefined;
  };
  return {
    get begun() {
      return begun;
    },
    send,
    end(event, data) {
      stop();
      send(event, data);
      release();
      response.end();
    },
    abandon: stop,
  };
}
