/**
 * Watches bodies arrive: those that stall are cut off, one address may not keep many connections waiting for a body, and
 * what waits in memory is bounded.
 */
import type { IncomingMessage } from "node:http";

export const ARRIVAL = {
  /** A body of which nothing came for so long has stalled. */
  stallMs: 10_000,
  /** The whole of a request, headers and body. A file of 512 MiB takes seconds on loopback. */
  requestMs: 300_000,
  headersMs: 15_000,
  /** Requests of one address whose bodies have not arrived. */
  perAddress: 256,
  /** Bytes of bodies that wait in this process. Each costs some four times its size on its way through. */
  heldBytes: 64 * 1024 * 1024,
  /** Bytes of bodies in PostgREST and Postgres, where each costs some twenty times its size (measured: 9 of 7 MiB, 1.2 GB). */
  restBytes: 16 * 1024 * 1024,
} as const;

/** Smaller bodies are not counted: they come with their headers, and 256 of them are nothing. */
const SMALL = 64 * 1024;

export interface Arrivals {
  /**
   * Watches one request's body until its end.
   * @param onStall called once when it has stalled
   * @returns false where its address has too many under way
   */
  watch(request: IncomingMessage, onStall: () => void): boolean;
  /** Room for what is read in this process. */
  here: Room;
  /** Room for what PostgREST reads. */
  rest: Room;
  close(): void;
}

/**
 * Takes the bytes of a body from what memory may hold.
 * @returns how to give them back, or undefined where there is no room now
 */
export type Room = (bytes: number) => (() => void) | undefined;

interface Waiting {
  onStall: () => void;
  bytesRead: number;
  since: number;
}

type Bounds = Record<"perAddress" | "heldBytes" | "restBytes" | "stallMs", number>;

export function createArrivals({ perAddress, heldBytes, restBytes, stallMs }: Bounds = ARRIVAL): Arrivals {
  const waiting = new Map<IncomingMessage, Waiting>();
  const byAddress = new Map<string, number>();

  // One timer for all: a timer per request would cost each of them, for what hardly ever happens.
  const timer = setInterval(sweep, Math.min(1000, stallMs / 4));
  timer.unref();

  function sweep(): void {
    const now = Date.now();
    for (const [request, state] of waiting) {
      const { bytesRead } = request.socket;
      // What has arrived but waits for its reader is not the client's delay.
      if (bytesRead !== state.bytesRead || request.readableLength > 0 || request.complete) {
        state.bytesRead = bytesRead;
        state.since = now;
      } else if (now - state.since >= stallMs) {
        waiting.delete(request);
        state.onStall();
      }
    }
  }

  return {
    watch(request, onStall) {
      if (request.complete || !hasBody(request)) return true;
      const address = request.socket.remoteAddress ?? "";
      const already = byAddress.get(address) ?? 0;
      if (already >= perAddress) return false;
      byAddress.set(address, already + 1);
      waiting.set(request, { onStall, bytesRead: request.socket.bytesRead, since: Date.now() });
      let counted = true;
      const done = () => {
        if (!counted) return;
        counted = false;
        waiting.delete(request);
        const left = (byAddress.get(address) ?? 1) - 1;
        if (left > 0) byAddress.set(address, left);
        else byAddress.delete(address);
      };
      request.once("end", done);
      request.once("close", done);
      return true;
    },

    here: createRoom(heldBytes),
    rest: createRoom(restBytes),
    close: () => clearInterval(timer),
  };
}

function createRoom(most: number): Room {
  let held = 0;
  return (bytes) => {
    if (bytes <= SMALL) return () => {};
    if (held + bytes > most) return undefined;
    held += bytes;
    let given = false;
    return () => {
      if (!given) held -= bytes;
      given = true;
    };
  };
}

/** Whether a request says that it has a body. */
export function hasBody({ headers }: Pick<IncomingMessage, "headers">): boolean {
  return headers["transfer-encoding"] !== undefined || lengthOf(headers) > 0;
}

/** The length that a request names; 0 without one. */
export function lengthOf(headers: IncomingMessage["headers"]): number {
  return Number(headers["content-length"] ?? 0);
}
