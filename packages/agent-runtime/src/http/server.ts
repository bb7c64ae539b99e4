import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Agent } from "../agent.ts";
import { AgentError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { readMessage } from "./body.ts";

/** The paths, and the methods each takes. Those without `message` are probes: not counted, never refused. */
const ROUTES: Record<string, readonly string[]> = {
  "/": ["GET", "HEAD"],
  "/health": ["GET", "HEAD"],
  "/ready": ["GET", "HEAD"],
  "/metrics": ["GET", "HEAD"],
  "/message": ["POST"],
};
const PROBES = new Set(["/health", "/ready", "/metrics"]);

/** Makes the agent's HTTP server; the caller makes it listen. Messages signed with `messageKey` may carry a history. */
export function createAgentServer(
  agent: Agent,
  metrics: Metrics,
  log: Log,
  messageKey: string | undefined,
): Server {
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 15_000 }, (request, response) => {
    const started = performance.now();
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    response.on("close", () => {
      if (!PROBES.has(path)) metrics.request(response.statusCode, (performance.now() - started) / 1000);
    });
    handle(path, request, response, agent, metrics, messageKey).catch((error: unknown) =>
      sendError(response, error, log),
    );
  });
  // Longer than any proxy keeps an idle connection, so that the proxy closes it first and never meets a reset.
  server.keepAliveTimeout = 75_000;
  server.maxConnections = 1_000;
  return server;
}

async function handle(
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
  agent: Agent,
  metrics: Metrics,
  messageKey: string | undefined,
): Promise<void> {
  const methods = ROUTES[path];
  if (!methods) throw new AgentError("NOT_FOUND", `There is nothing at ${path.slice(0, 200)}.`);
  if (!methods.includes(request.method ?? "")) {
    response.setHeader("allow", methods.join(", "));
    throw new AgentError("METHOD_NOT_ALLOWED", `${path} takes ${methods.join(", ")}.`);
  }
  switch (path) {
    case "/":
      return send(response, 200, { ...agent.health(), endpoints: Object.keys(ROUTES) });
    case "/health":
      return send(response, 200, agent.health());
    case "/ready": {
      const reason = agent.unready();
      return reason === undefined
        ? send(response, 200, { ready: true })
        : send(response, 503, { ready: false, reason });
    }
    case "/metrics": {
      // Before the head: what fails here can still be told.
      const text = metrics.render();
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
      response.end(text);
      return;
    }
    default: {
      const gone = new AbortController();
      response.on("close", () => {
        if (!response.writableEnded) gone.abort();
      });
      const message = await readMessage(request, randomUUID, messageKey);
      const reply = await agent.answer(message, gone.signal);
      send(response, 200, {
        reply: reply.text,
        conversationId: message.conversationId,
        model: reply.model,
        ...(reply.usage && { usage: reply.usage }),
      });
    }
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(text);
}

function sendError(response: ServerResponse, thrown: unknown, log: Log): void {
  if (response.headersSent || response.destroyed) return;
  const error =
    thrown instanceof AgentError ? thrown : new AgentError("INTERNAL_ERROR", "The agent failed to answer.");
  if (error !== thrown) log.error("A request failed", { cause: String(thrown) });
  if (error.retryAfterSeconds !== undefined)
    response.setHeader("retry-after", String(error.retryAfterSeconds));
  // What was not read of the request would be taken for the next one; and a stopping replica wants its callers elsewhere.
  if (error.status === 413 || error.code === "AGENT_STOPPING") {
    response.setHeader("connection", "close");
  }
  const { code, message, details } = error;
  send(response, error.status, { error: { code, message, ...(details && { details }) } });
}
