import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { CORS_HEADERS } from "./cors.ts";
import type { Route } from "./routes.ts";

/** What the function says of row-level security where no statement ran. */
const UNTOUCHED = { rls_applied: false, user_isolation: "unknown" };

/** Sends JSON with the CORS headers, unless an answer has already begun. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  send(response, status, "application/json; charset=utf-8", JSON.stringify(body), headers);
}

const LINGER_MS = 2000;

/** Sends JSON that no other site may read: without the headers that would let it. */
export function sendOwnJson(response: ServerResponse, body: unknown): void {
  send(response, 200, "application/json; charset=utf-8", JSON.stringify(body), {}, false);
}

/** Sends a page; no other site may read it. */
export function sendHtml(response: ServerResponse, html: string): void {
  send(response, 200, "text/html; charset=utf-8", html, {}, false);
}

/** Sends a file of one of our pages. */
export function sendAsset(response: ServerResponse, type: string, content: Buffer): void {
  send(response, 200, type, content, { "cache-control": "max-age=3600" }, false);
}

/** Answers what Node's parser refuses (an unknown method, a broken request line) in JSON like everything else. */
export function refuseUnparsed(error: Error & { code?: string }, socket: Socket): void {
  // An answer that is under way must not get another one behind it.
  if (!socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const status =
    error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
  const body = JSON.stringify({
    code: "VALIDATION_ERROR",
    message: "This is not an HTTP request that can be read",
  });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  content: string | Buffer,
  headers: Record<string, string>,
  readableByOtherSites = true,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const cors = readableByOtherSites ? CORS_HEADERS : [];
  for (const [name, value] of [...cors, ...Object.entries(headers)]) response.setHeader(name, value);
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(content) });
  response.end(response.req.method === "HEAD" ? undefined : content);
}

export type Refusal =
  | "missing_key"
  | "unknown_key"
  | "unavailable"
  | "too_large"
  | "no_function"
  | "internal";

interface RefusalFacts {
  status: number;
  /** The code in the error envelope of `/api`. */
  apiCode: string;
  message: string;
}

const REFUSALS: Record<Refusal, RefusalFacts> = {
  missing_key: { status: 401, apiCode: "INVALID_JWT_TOKEN", message: "No API key found in request" },
  unknown_key: { status: 401, apiCode: "INVALID_JWT_TOKEN", message: "Invalid API key" },
  unavailable: {
    status: 503,
    apiCode: "SUPABASE_CONNECTION_ERROR",
    message: "The service is not reachable at the moment; try again shortly",
  },
  too_large: { status: 413, apiCode: "PAYLOAD_TOO_LARGE", message: "The request body is too large" },
  no_function: { status: 404, apiCode: "NOT_FOUND", message: "Requested function was not found" },
  internal: { status: 500, apiCode: "INTERNAL_ERROR", message: "The gateway could not handle the request" },
};

/**
 * Answers a request that no upstream answers. The shape follows the path: the error envelope (with the rate-limit
 * headers of a caller without identity) for the function `api`, `{code, message}` or `{message, hint}` elsewhere.
 */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  route: Route,
  refusal: Refusal,
  extra: Record<string, string> = {},
): void {
  const { status, apiCode, message } = REFUSALS[refusal];
  const requestId = headerOf(request, "x-request-id") ?? `req-${randomBytes(6).toString("hex")}`;
  const headers: Record<string, string> = { "x-request-id": requestId };
  if (status === 503) headers["retry-after"] = "1";
  if (status === 413) lingerOver(request);
  if (route.kind === "function" && route.name === "api") {
    const now = Date.now();
    headers["x-ratelimit-limit"] = "0";
    headers["x-ratelimit-remaining"] = "0";
    headers["x-ratelimit-reset"] = String(Math.floor(now / 1000));
    headers["supabase-ratelimit-remaining"] = "0";
    headers["supabase-auth-rate-limit"] = "0";
    const timestamp = new Date(now).toISOString();
    sendJson(
      response,
      status,
      { error: { code: apiCode, message, timestamp, requestId, user_id: null, supabase_details: UNTOUCHED } },
      headers,
    );
    return;
  }
  sendJson(
    response,
    status,
    { ...(status === 401 ? {} : { code: codeOf(refusal) }), message, ...extra },
    headers,
  );
}

/**
 * Reads on for a moment what the client still sends of a refused body: a connection closed over unread bytes is reset, and
 * the client would lose the answer with it. What takes longer is cut off.
 */
export function lingerOver(request: IncomingMessage): void {
  const timer = setTimeout(() => request.destroy(), LINGER_MS);
  timer.unref();
  request.once("close", () => clearTimeout(timer));
  request.resume();
}

function codeOf(refusal: Refusal): string {
  if (refusal === "no_function") return "NOT_FOUND";
  return refusal === "unavailable" ? "SERVICE_UNAVAILABLE" : REFUSALS[refusal].apiCode;
}

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
