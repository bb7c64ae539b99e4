// Passes HTTP requests through to a service.

import {
  Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { hasBody, lengthOf } from "./bodies/arrival.ts";
import { type HeaderList, requestHeaders, responseHeaders } from "./headers.ts";
import { OnceAgent } from "./once-agent.ts";
import { lingerOver } from "./replies.ts";

/** Where a service listens on this machine. */
export type Address = { host: string; port: number } | { socketPath: string };

/** A service behind the gateway: its address now (undefined while it is down) and its connections. */
export interface Upstream {
  address: () => Address | undefined;
  agent: Agent;
}

/**
 * An upstream with its own pool of kept-alive connections. Idle ones are closed after 4 s, before any of the upstreams
 * closes them (5 s and more): a request never meets a connection that its server is just closing.
 */
export function createUpstream(address: () => Address | undefined): Upstream {
  return {
    address,
    agent: new Agent({ keepAlive: true, maxFreeSockets: 64, timeout: 4000, scheduling: "lifo" }),
  };
}

/** Bytes that an HTTP server reads on after an early answer, to keep the connection (Warp's default). */
const MOST_LEFT_UNREAD = 8192;

const once = new OnceAgent({ keepAlive: true });

/** PostgREST repeats a read's address in the header Content-Location: as long as what Node takes of a request, and more. */
const MAX_ANSWER_HEADERS = 64 * 1024;

/** Methods that may be carried out twice. `POST …/restart` has no body and may not. */
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "DELETE"]);

export interface ProxyOptions {
  upstream: Upstream;
  path: string;
  authorization?: string;
  /** What the upstream is to take for the host it was asked at. */
  host?: string;
  cors: "replace" | "fill" | "leave";
  /** The answer is of somebody whom this origin does not trust: it can be no page of it, and leaves nothing in the browser. */
  foreign?: boolean;
  maxBodyBytes: number;
  /** Answers the client when the upstream cannot be reached. */
  onDown: () => void;
  /** Answers the client when its body is longer than allowed. */
  onTooLarge: () => void;
  /** Sees the upstream's answer as it passes; may listen to its data, must not hold it. */
  onAnswer?: (answer: IncomingMessage) => void;
  /**
   * Called once, when the upstream is done with the request. Where it is given, a request whose client left is not broken off:
   * PostgREST would go on with the query, uncounted.
   */
  onDone?: () => void;
}

/**
 * Streams one request to the upstream and its answer back, over kept-alive connections and with raw header lists
 * (no header objects are built): every request of `/api` passes here twice.
 */
export function proxy(request: IncomingMessage, response: ServerResponse, options: ProxyOptions): void {
  if (!options.upstream.address()) {
    options.onDown();
    options.onDone?.();
    return;
  }
  if (lengthOf(request.headers) > options.maxBodyBytes) {
    options.onTooLarge();
    options.onDone?.();
    return;
  }
  const withBody = hasBody(request);
  // PostgREST closes a connection on which it left more unread than this, as it does with a forged token: the next request
  // on it, somebody else's, would be lost. Larger bodies have a connection of their own.
  const alone =
    withBody &&
    !(lengthOf(request.headers) <= MOST_LEFT_UNREAD && request.headers["transfer-encoding"] === undefined);
  const repeatable = !withBody && REPEATABLE.has(request.method ?? "");
  const headers = requestHeaders(request, options.authorization, options.host);
  let answered: IncomingMessage | undefined;
  let current = attempt(true);
  response.once("close", () => {
    if (response.writableFinished) return;
    if (options.onDone && request.complete) answered?.destroy();
    else current.destroy();
  });
  // Its body stalled or broke off: the upstream must not wait for the rest of it.
  request.once("close", () => {
    if (!request.complete) current.destroy();
  });
  // An upstream may answer before the body's end (a function that finds it too long). The rest must still be taken off the
  // connection, or the client's next request on it would wait behind it for ever.
  response.once("finish", () => {
    if (request.complete) return;
    request.unpipe();
    lingerOver(request);
  });

  function attempt(mayRetry: boolean): ClientRequest {
    const address = options.upstream.address();
    const outgoing = httpRequest({
      ...(address ?? { host: "127.0.0.1", port: 0 }),
      method: request.method,
      path: options.path,
      maxHeaderSize: MAX_ANSWER_HEADERS,
      headers: headers as unknown as readonly string[],
      agent: alone ? once : options.upstream.agent,
    });
    outgoing.once("response", (incoming) => {
      answered = incoming;
      forward(incoming, response, options);
    });
    outgoing.once("close", () => {
      if (outgoing === current) options.onDone?.();
    });
    outgoing.on("error", () => {
      // The answer has begun: whether it is whole is seen by what comes of it, not by a body that nobody wants any more.
      if (response.headersSent || response.destroyed) return;
      // A kept-alive connection that died, perhaps unseen: what does the same when it is done twice is sent once more.
      if (mayRetry && outgoing.reusedSocket && repeatable) current = attempt(false);
      else options.onDown();
    });
    if (withBody) sendBody(request, outgoing, options);
    else outgoing.end();
    return outgoing;
  }
}

function forward(incoming: IncomingMessage, response: ServerResponse, options: ProxyOptions): void {
  if (response.headersSent || response.destroyed) {
    incoming.resume();
    return;
  }
  options.onAnswer?.(incoming);
  const headers: HeaderList = responseHeaders(incoming, options.cors, options.foreign);
  response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, headers);
  incoming.pipe(response);
  // The upstream broke off in the middle: the client must see that too.
  incoming.once("close", () => {
    if (!incoming.complete) response.destroy();
  });
}

function sendBody(request: IncomingMessage, outgoing: ClientRequest, options: ProxyOptions): void {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= options.maxBodyBytes || outgoing.destroyed) return;
    request.unpipe(outgoing);
    options.onTooLarge();
    outgoing.destroy();
  });
  request.pipe(outgoing);
}
