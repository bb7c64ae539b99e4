// Sends the gateway's own responses and errors.

import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { CORS_HEADERS } from "./cors.ts";
import type { ErrorForm } from "./extension.ts";
import type { Route } from "./routes.ts";
import type { Fault } from "./target.ts";
import { METHODS } from "./well-formed.ts";

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

/**
 * Sends a page; no other site may read or frame it, and where its links lead learns no address of it.
 * @param policy what the page may load: a Content-Security-Policy
 */
export function sendHtml(
  response: ServerResponse,
  html: string,
  policy: string,
  headers: Record<string, string> = {},
): void {
  const guards = {
    "content-security-policy": policy,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
  };
  send(response, 200, "text/html; charset=utf-8", html, { ...guards, ...headers }, false);
}

/** Sends a file of one of our pages. */
export function sendAsset(response: ServerResponse, type: string, content: Buffer): void {
  const guards = { "x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin" };
  send(response, 200, type, content, { "cache-control": "max-age=3600", ...guards }, false);
}

const UNPARSED: Record<string, [status: string, message: string]> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "The request's headers are too large"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "The request did not arrive in time; send it again"],
};

const TOO_LONG: [status: string, message: string] = [
  "414 URI Too Long",
  "The URL is too long: with the headers at most 16 KB. Ask for fewer values at once, or send them by POST to a function of the database",
];

/** Whether it is the request line that fills the headers. */
function isLongLine(packet: Buffer | undefined): boolean {
  if (!packet) return false;
  const end = packet.indexOf("\r\n");
  return end < 0 || end > 8192;
}

/** Answers what Node's parser refuses (an unknown method, a broken request line) in JSON like everything else. */
export function refuseUnparsed(error: Error & { code?: string; rawPacket?: Buffer }, socket: Socket): void {
  // An answer that is under way must not get another one behind it.
  if (!socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const long = error.code === "HPE_HEADER_OVERFLOW" && isLongLine(error.rawPacket);
  const [status, message] = (long ? TOO_LONG : UNPARSED[error.code ?? ""]) ?? [
    "400 Bad Request",
    "This is not an HTTP request that can be read",
  ];
  const body = JSON.stringify({ code: "VALIDATION_ERROR", message });
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
  | "busy"
  | "too_large"
  | "stalled"
  | "no_function"
  | "boot_error"
  | "no_token"
  | "bad_token"
  | "crowded"
  | "internal";

/** What a refusal says, whatever its form. */
export interface RefusalFacts {
  status: number;
  code: string;
  message: string;
  /** What to change, where the message does not say it. */
  field?: string;
  cure?: string;
}

const REFUSALS: Record<Refusal, RefusalFacts> = {
  missing_key: { status: 401, code: "INVALID_JWT_TOKEN", message: "No API key found in request" },
  unknown_key: { status: 401, code: "INVALID_JWT_TOKEN", message: "Invalid API key" },
  unavailable: {
    status: 503,
    code: "SUPABASE_CONNECTION_ERROR",
    message: "The service is not reachable at the moment; try again shortly",
  },
  busy: {
    status: 503,
    code: "SUPABASE_CONNECTION_ERROR",
    message: "Too many request bodies are under way; try again shortly",
  },
  stalled: {
    status: 408,
    code: "VALIDATION_ERROR",
    message: "The request body stopped arriving; send it again",
  },
  too_large: {
    status: 413,
    code: "PAYLOAD_TOO_LARGE",
    message: "The request body is too large",
    field: "body",
    cure: "Send less at once: docs/limits.md says how much each path takes.",
  },
  no_function: { status: 404, code: "NOT_FOUND", message: "Requested function was not found" },
  boot_error: {
    status: 503,
    code: "SUPABASE_CONNECTION_ERROR",
    message: "Function failed to start (please check logs)",
  },
  no_token: { status: 401, code: "INVALID_JWT_TOKEN", message: "Missing authorization header" },
  bad_token: { status: 401, code: "INVALID_JWT_TOKEN", message: "Invalid JWT" },
  crowded: {
    status: 429,
    code: "RATE_LIMIT_EXCEEDED",
    message: "Too many of your requests are under way; wait for their answers",
  },
  internal: { status: 500, code: "INTERNAL_ERROR", message: "The gateway could not handle the request" },
};

/** The codes of faults by status; the others are mistakes in the request. */
const FAULT_CODES: Record<number, string> = { 401: "INVALID_JWT_TOKEN", 405: "METHOD_NOT_ALLOWED" };

/**
 * Answers a request that no upstream answers. The shape follows the path: that of the platform's functions for them,
 * Auth's form below /auth/v1, `{code, message}` or `{message, hint}` elsewhere. A fault also names its field and its cure.
 */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  route: Route,
  refusal: Refusal | Fault,
  extra: Record<string, string> = {},
): void {
  const facts = typeof refusal === "string" ? REFUSALS[refusal] : factsOf(refusal);
  const { status, code, message, field, cure } = facts;
  const fault = field !== undefined && cure !== undefined ? { field, cure } : undefined;
  const requestId = requestIdOf(request);
  const headers: Record<string, string> = { "x-request-id": requestId };
  if (status === 503 || status === 429) headers["retry-after"] = "1";
  if (status === 405) headers.allow = METHODS.join(", ");
  if (!request.complete) lingerOver(request);
  const form = formOf(route)?.(facts, requestId);
  if (form) {
    sendJson(response, status, form.body, { ...headers, ...form.headers });
    return;
  }
  if (fault && route.kind === "auth") {
    const error_code =
      typeof refusal === "string" ? "request_too_large" : (refusal.code ?? "validation_failed");
    headers["x-sb-error-code"] = error_code;
    const { field, cure } = fault;
    sendJson(response, status, { code: status, error_code, msg: message, field, hint: cure }, headers);
    return;
  }
  if (fault && route.kind === "graphql") {
    const error = { message: `${message}. ${fault.cure}`, extensions: { code, field: fault.field } };
    sendJson(response, status, { errors: [error] }, headers);
    return;
  }
  const shown = typeof refusal === "string" ? codeOf(refusal) : code;
  const told = fault ? { details: JSON.stringify({ [fault.field]: message }), hint: fault.cure } : {};
  const hasCode = fault !== undefined || status !== 401 || typeof shown === "number";
  sendJson(response, status, { ...(hasCode ? { code: shown } : {}), message, ...told, ...extra }, headers);
}

function factsOf({ status = 400, message, field, cure }: Fault): RefusalFacts {
  return { status, code: FAULT_CODES[status] ?? "VALIDATION_ERROR", message, field, cure };
}

function formOf(route: Route): ErrorForm | undefined {
  if (route.kind === "unreadable") return route.errors;
  return route.kind === "function" ? route.platform?.errors : undefined;
}

/** The caller's request id where it may stand in a header, else a new one. */
function requestIdOf(request: IncomingMessage): string {
  const given = headerOf(request, "x-request-id");
  return given !== undefined && /^[\x21-\x7e]{1,200}$/.test(given)
    ? given
    : `req-${randomBytes(6).toString("hex")}`;
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

function codeOf(refusal: Refusal): string | number {
  if (refusal === "boot_error") return "BOOT_ERROR";
  // As hosted's functions answer.
  if (refusal === "no_token" || refusal === "bad_token") return 401;
  if (refusal === "no_function") return "NOT_FOUND";
  return REFUSALS[refusal].status === 503 ? "SERVICE_UNAVAILABLE" : REFUSALS[refusal].code;
}

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
