// What the head of a request says: for which agent it is, and what of it goes on.

import type { IncomingMessage } from "node:http";

const HOST = /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)\.agents\./;
/** Headers that speak of one connection only (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  "connection",
  // Answered by this server already.
  "expect",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The agent a host name speaks of. */
export function agentOf(host: string | undefined): string | undefined {
  return HOST.exec((host ?? "").toLowerCase())?.[1];
}

/**
 * The head of an answer as bytes, for a connection that is no HTTP server's any more.
 * @param ends whether the connection ends with the answer: then nothing of the replica's connection goes on
 */
export function rawHead(answer: IncomingMessage, ends = false): string {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let index = 0; index < answer.rawHeaders.length; index += 2) {
    const name = answer.rawHeaders[index] ?? "";
    if (!ends || !HOP_BY_HOP.has(name.toLowerCase())) lines.push(`${name}: ${answer.rawHeaders[index + 1]}`);
  }
  if (ends) lines.push("connection: close");
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/**
 * The caller's headers without those of its connection, and with who asked.
 * @param counts whether this server is one of the proxies whose entry in `X-Forwarded-For` agents count on
 */
export function forwarded(incoming: IncomingMessage, counts: boolean): Record<string, string | string[]> {
  const headers = kept(incoming);
  const from = counts || headers["x-forwarded-for"] === undefined ? incoming.socket.remoteAddress : undefined;
  const before = headers["x-forwarded-for"];
  if (from !== undefined) headers["x-forwarded-for"] = before === undefined ? from : `${before}, ${from}`;
  headers["x-forwarded-host"] ??= incoming.headers.host ?? "";
  headers["x-forwarded-proto"] ??= "http";
  // The body's length is not known here either.
  if (incoming.headers["transfer-encoding"] !== undefined) headers["transfer-encoding"] = "chunked";
  return headers;
}

/** The headers without those of one connection. */
export function kept(message: IncomingMessage): Record<string, string | string[]> {
  const named = (message.headers.connection ?? "").toLowerCase().split(/\s*,\s*/);
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name) && !named.includes(name)) headers[name] = value;
  }
  return headers;
}

/** Whether a body follows the head. */
export function hasBody(incoming: IncomingMessage): boolean {
  const length = incoming.headers["content-length"];
  return incoming.headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}
