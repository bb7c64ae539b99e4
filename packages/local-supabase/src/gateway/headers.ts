// Decides which headers the gateway passes on.

import type { IncomingMessage } from "node:http";
import { CORS_HEADERS } from "./cors.ts";

// RFC 9110 section 7.6.1: these speak of one connection, not of the message. `expect` is answered by this server.
const HOP_BY_HOP = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "proxy-authenticate",
  "proxy-authorization",
  "expect",
]);

// What a client says about its own address is replaced by what the gateway sees.
const CLIENT_CLAIMS = new Set([
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-forwarded-prefix",
  "x-real-ip",
]);

/** What an answer says for its whole origin, or of how a page of it is shown. */
const OF_THE_ORIGIN = new Set([
  "set-cookie",
  "clear-site-data",
  "service-worker-allowed",
  "content-security-policy",
  "content-security-policy-report-only",
  "x-content-type-options",
  "strict-transport-security",
  "alt-svc",
  "refresh",
]);

/** PostgREST repeats a read's address in its answer; clients take 16 KiB of headers in all, and need it for nothing. */
const MAX_LOCATION = 4096;

/** Flat name, value, name, value list, as `http.request` and `writeHead` take it (the fastest form in Node). */
export type HeaderList = string[];

/**
 * The headers for the upstream: the client's, without connection headers and claims of address,
 * with the true address and (where given) another Authorization or host.
 */
export function requestHeaders(request: IncomingMessage, authorization?: string, as?: string): HeaderList {
  const list: HeaderList = [];
  const dropped = connectionTokens(request.headers.connection);
  const { rawHeaders } = request;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    const key = name.toLowerCase();
    if (HOP_BY_HOP.has(key) || CLIENT_CLAIMS.has(key) || dropped?.has(key)) continue;
    if (key === "authorization" && authorization !== undefined) continue;
    if (key === "host" && as !== undefined) continue;
    list.push(name, rawHeaders[i + 1]!);
  }
  if (authorization !== undefined) list.push("authorization", authorization);
  if (as !== undefined) list.push("host", as);
  const host = request.headers.host ?? "localhost";
  list.push("x-forwarded-for", request.socket.remoteAddress ?? "127.0.0.1");
  list.push("x-forwarded-host", host, "x-forwarded-proto", "http");
  list.push("x-forwarded-port", /:(\d+)$/.exec(host)?.[1] ?? "80");
  // A body of unknown length stays one; Node frames it again.
  if (request.headers["transfer-encoding"] !== undefined) list.push("transfer-encoding", "chunked");
  return list;
}

/**
 * The headers for the client: the upstream's without connection headers. With `cors` the gateway's own CORS headers
 * replace the upstream's, or only fill what it left out.
 */
export function responseHeaders(
  upstream: IncomingMessage,
  cors: "replace" | "fill" | "leave",
  foreign = false,
): HeaderList {
  const list: HeaderList = [];
  const dropped = connectionTokens(upstream.headers.connection);
  const { rawHeaders } = upstream;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    const key = name.toLowerCase();
    if (HOP_BY_HOP.has(key) || dropped?.has(key)) continue;
    if (foreign && OF_THE_ORIGIN.has(key)) continue;
    if (key === "content-location" && rawHeaders[i + 1]!.length > MAX_LOCATION) continue;
    if (cors === "replace" && key.startsWith("access-control-")) continue;
    list.push(name, rawHeaders[i + 1]!);
  }
  if (foreign)
    list.push("content-security-policy", "sandbox; default-src 'none'", "x-content-type-options", "nosniff");
  if (cors === "leave") return list;
  for (const [name, value] of CORS_HEADERS) {
    if (cors === "replace" || upstream.headers[name] === undefined) list.push(name, value);
  }
  return list;
}

function connectionTokens(connection: string | undefined): Set<string> | undefined {
  if (!connection || /^(keep-alive|close)$/i.test(connection)) return undefined;
  return new Set(connection.split(",").map((token) => token.trim().toLowerCase()));
}
