// One request to Storage: who asks, what for, and how it is answered.

import type { IncomingMessage, ServerResponse } from "node:http";
import { CORS_HEADERS } from "../gateway/cors.ts";
import { lingerOver } from "../gateway/replies.ts";
import type { Scope } from "./database.ts";
import { asStorageError, failures, type StorageError } from "./errors.ts";

export interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  method: string;
  /** Below `/storage/v1`, decoded, without empty parts. */
  parts: string[];
  query: URLSearchParams;
  /** Path and query below `/storage/v1` as they came. */
  rawPath: string;
  /** `http://host:port` as the client wrote it. */
  origin: string;
  /** The caller's token; empty without one. */
  jwt: string;
  claims: Record<string, unknown>;
  role: string;
  /** The user, or whoever the token is for. */
  owner?: string;
  isAuthenticated: boolean;
  /** A user's token as it is verified here. */
  plain: (token: string) => string;
  /** Told of what the database refuses. */
  onRefusal?: (refusal: { status: number; code: string; message: string }) => void;
}

/** What policies see of a call. */
export function scopeOf(call: Call, operation: string): Scope {
  return {
    role: call.role,
    claims: call.claims,
    jwt: call.jwt,
    method: call.method,
    path: call.rawPath.split("?", 1)[0] ?? "",
    headers: call.request.headers,
    operation,
  };
}

/** A header that comes once. */
export function headerOf({ request }: Pick<Call, "request">, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

export type Headers = Record<string, string | number | undefined>;

/** Begins an answer; headers without a value are left out. Throws where one cannot stand in a header. */
export function beginAnswer({ response }: Pick<Call, "response">, status: number, headers: Headers): void {
  for (const [name, value] of CORS_HEADERS) response.setHeader(name, value);
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    try {
      response.setHeader(name, value);
    } catch {
      throw failures.invalidRequest(`Invalid character in response header "${name}"`);
    }
  }
  response.statusCode = status;
}

/** Answers with JSON. */
export function answerJson(call: Call, status: number, body: unknown, headers: Headers = {}): void {
  const text = JSON.stringify(body);
  beginAnswer(call, status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(text),
    ...headers,
  });
  call.response.end(call.method === "HEAD" ? undefined : text);
}

/** Answers with an error in hosted's form; an answer that has begun is cut off, so that it is not taken for whole. */
export function answerError(call: Call, error: unknown): void {
  const meant = asStorageError(error);
  noteRefusal(call, meant);
  if (!call.request.complete) lingerOver(call.request);
  if (call.response.headersSent) {
    call.response.destroy();
    return;
  }
  for (const name of call.response.getHeaderNames()) call.response.removeHeader(name);
  const { status, code, message } = meant;
  answerJson(call, meant.httpStatus, { statusCode: String(status), error: meant.error, message, code });
}

/** Tells the watch of what the database refused. */
export function noteRefusal(call: Call, { refusal }: StorageError): void {
  if (refusal) call.onRefusal?.({ status: 403, ...refusal });
}
