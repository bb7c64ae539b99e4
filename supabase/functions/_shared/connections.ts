/** Kept-alive connections to one HTTP server, for requests whose whole answer is wanted. Measured beside fetch in ADR 0238. */
import { type HttpAnswer, readAnswer } from "./http-answer.ts";

/** What `Deno.connect` gives. */
export interface Connection {
  /** Bytes that came, into `into`; null where the other end has closed. */
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

export interface ConnectionsOptions {
  readonly connect: () => Promise<Connection>;
  /** How long a request may take. */
  readonly timeoutMs: number;
  /** An idle connection is closed after this, before the server would close it: no request meets its end. */
  readonly idleMs?: number;
  readonly now?: () => number;
}

export interface Connections {
  /**
   * Sends one request.
   * @param request its bytes, head and body
   * @param alone whether the server may close the connection after it without saying so
   * @throws Error where no whole answer comes in time. It is not sent twice: the server may have carried it out.
   */
  send(request: Uint8Array, alone?: boolean): Promise<HttpAnswer>;
  close(): void;
}

/** One connection. Reading never pauses: on an idle one it shows that the server closed it. */
interface Line {
  readonly connection: Connection;
  buffer: Uint8Array;
  coming: Promise<number | null>;
  idle: boolean;
  /** When the request under way has taken too long; of an idle line, when it is closed. */
  until: number;
}

const MOST_IDLE = 32;
const BUFFER_BYTES = 32 * 1024;
const SWEEP_MS = 1000;

export function createConnections({
  connect,
  timeoutMs,
  idleMs = 4000,
  now = Date.now,
}: ConnectionsOptions): Connections {
  const lines = new Set<Line>();
  const free: Line[] = [];
  let timer: ReturnType<typeof setInterval> | undefined;

  function end(line: Line): void {
    if (!lines.delete(line)) return;
    if (line.idle) free.splice(free.indexOf(line), 1);
    line.connection.close();
    if (lines.size === 0) clearInterval(timer);
  }

  /** One timer for all: a timer per request would cost each of them, for what hardly ever happens. */
  function sweep(): void {
    const time = now();
    for (const line of lines) if (time > line.until) end(line);
  }

  async function open(): Promise<Line> {
    const connection = await inTime(connect(), timeoutMs);
    const buffer = new Uint8Array(BUFFER_BYTES);
    const line = { connection, buffer, coming: connection.read(buffer), idle: false, until: 0 };
    // Whoever waits for what comes sees the failure.
    line.coming.catch(() => undefined);
    if (lines.size === 0) timer = setInterval(sweep, Math.min(SWEEP_MS, timeoutMs / 4));
    lines.add(line);
    return line;
  }

  function rest(line: Line): void {
    if (free.length >= MOST_IDLE) {
      end(line);
      return;
    }
    if (line.buffer.length > 8 * BUFFER_BYTES) line.buffer = new Uint8Array(BUFFER_BYTES);
    line.coming = line.connection.read(line.buffer);
    line.idle = true;
    line.until = now() + idleMs;
    free.push(line);
    // Nothing is to come on an idle connection but its end.
    const drop = () => {
      if (line.idle) end(line);
    };
    line.coming.then(drop, drop);
  }

  return {
    async send(request, alone = false) {
      const line = free.pop() ?? (await open());
      line.idle = false;
      line.until = now() + timeoutMs;
      // An early answer counts though the rest of the request was not taken: it is reading that decides.
      const written = writeAll(line.connection, request).then(
        () => true,
        () => false,
      );
      try {
        for (let size = 0; ; ) {
          const count = await line.coming;
          size += count ?? 0;
          const answer = readAnswer(line.buffer.subarray(0, size), count === null);
          if (answer !== undefined) {
            if (answer.reusable && !alone && (await written)) rest(line);
            else end(line);
            return answer;
          }
          if (size === line.buffer.length) line.buffer = grown(line.buffer);
          line.coming = line.connection.read(line.buffer.subarray(size));
        }
      } catch (error) {
        end(line);
        throw error;
      }
    },

    close() {
      for (const line of lines) end(line);
    },
  };
}

async function writeAll(connection: Connection, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += await connection.write(at === 0 ? bytes : bytes.subarray(at));
}

function grown(buffer: Uint8Array): Uint8Array {
  const larger = new Uint8Array(buffer.length * 2);
  larger.set(buffer);
  return larger;
}

/** A connection that comes too late is closed. */
async function inTime(connecting: Promise<Connection>, timeoutMs: number): Promise<Connection> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new Error("no connection in time"));
    connecting.then(
      (connection) => connection.close(),
      () => undefined,
    );
  }, timeoutMs);
  try {
    return await Promise.race([connecting, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
