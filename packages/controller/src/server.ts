// The controller's own HTTP server: webhook, health, readiness, metrics.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isGenuine } from "@agent-launchpad/agent-runtime";
import type { Log } from "./log.ts";
import { RELAYED, readHint, type WebhookHint } from "./webhook.ts";

export interface ServerOptions {
  secret: string;
  log: Log;
  /** @param relayed it comes from another controller, and must not be told on */
  onHint(hint: WebhookHint, relayed: boolean): void;
  /** Told of every webhook: whether it was taken. */
  onWebhook?(outcome: WebhookOutcome): void;
  /** What is not right, as sentences; empty when the controller can do its work. */
  problems(): Promise<string[]>;
  /** What people should know though all is right: a hold, a rollout that has stopped. */
  notes?(): string[];
  metrics(): string;
}

export type WebhookOutcome = "accepted" | "relayed" | "refused";

/** A hint has some hundred bytes. */
const MAX_BODY = 64 * 1024;

/** The controller's own HTTP server: webhook, health, readiness, metrics. */
export function createControllerServer(options: ServerOptions): Server {
  const server = createServer((request, response) => {
    route(options, request, response).catch((error: unknown) => {
      options.log.error("a request failed", { path: request.url, error });
      answer(response, 500, { error: { code: "INTERNAL_ERROR", message: "The request failed." } });
    });
  });
  server.requestTimeout = 10_000;
  server.headersTimeout = 5000;
  return server;
}

async function route(
  options: ServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? "/").split("?", 1)[0];
  switch (path) {
    case "/webhooks/deployments":
      if (request.method !== "POST") return refuseMethod(response, "POST");
      return await takeWebhook(options, request, response);
    case "/healthz":
      if (!isRead(request)) return refuseMethod(response, "GET, HEAD");
      return answer(response, 200, { status: "ok" });
    case "/readyz": {
      if (!isRead(request)) return refuseMethod(response, "GET, HEAD");
      const problems = await options.problems();
      const ready = problems.length === 0;
      return answer(response, ready ? 200 : 503, { ready, problems, notes: options.notes?.() ?? [] });
    }
    case "/metrics": {
      if (!isRead(request)) return refuseMethod(response, "GET, HEAD");
      // Before the head: what fails here can still be told.
      const text = options.metrics();
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
      response.end(text);
      return;
    }
    default:
      answer(response, 404, { error: { code: "NOT_FOUND", message: "There is nothing at this path." } });
  }
}

async function takeWebhook(
  options: ServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readBody(request);
  if (body === undefined) {
    options.onWebhook?.("refused");
    // The rest of the body is not read: the connection cannot be used again.
    response.setHeader("connection", "close");
    return answer(response, 413, {
      error: { code: "PAYLOAD_TOO_LARGE", message: `Request bodies are limited to ${MAX_BODY} bytes.` },
    });
  }
  const headers = { get: (name: string) => single(request.headers[name]) ?? null };
  if (!isGenuine(options.secret, headers, body, Date.now())) {
    options.onWebhook?.("refused");
    return answer(response, 401, {
      error: { code: "INVALID_SIGNATURE", message: "The signature is missing, wrong or too old." },
    });
  }
  const relayed = request.headers[RELAYED] !== undefined;
  options.onWebhook?.(relayed ? "relayed" : "accepted");
  answer(response, 202, { accepted: true });
  options.onHint(readHint(body), relayed);
}

/** The body's bytes; undefined when there are too many. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Not destroyed when left early: the refusal goes out over the same socket.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY) return undefined;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? undefined : header;
}

function isRead(request: IncomingMessage): boolean {
  return request.method === "GET" || request.method === "HEAD";
}

function refuseMethod(response: ServerResponse, allowed: string): void {
  response.setHeader("allow", allowed);
  answer(response, 405, { error: { code: "METHOD_NOT_ALLOWED", message: `Use ${allowed}.` } });
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
  });
  response.end(text);
}
