// The agent's HTTP server: the probes for everybody, everything else for who the door lets in.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Agent } from "../agent.ts";
import { now } from "../clock.ts";
import { AgentError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { isSigned, readBody, requireJson } from "./body.ts";
import type { ConversationIds } from "./conversation-ids.ts";
import { allowOrigin, answerPreflight, isPreflight } from "./cors.ts";
import { type Door, PLATFORM, type Visitor } from "./door.ts";
import { openEventStream, wantsEvents } from "./event-stream.ts";

/** The paths and their methods. */
export const ROUTES: Readonly<Record<string, readonly string[]>> = {
  "/": ["GET", "HEAD"],
  "/health": ["GET", "HEAD"],
  "/ready": ["GET", "HEAD"],
  "/metrics": ["GET", "HEAD"],
  "/message": ["POST"],
};
/** Not counted as requests, and never refused for load. */
const PROBES = new Set(["/health", "/ready", "/metrics"]);
/** Answered to everybody, with the status alone: the cluster's probes carry nothing. */
const OPEN = new Set(["/health", "/ready"]);

export interface ServerOptions {
  readonly agent: Agent;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly door: Door;
  readonly ids: ConversationIds;
  /** What the platform signs its messages with. */
  readonly messageKey: string | undefined;
  /** What the controller reads the figures with. */
  readonly probeKey: string | undefined;
}

/** Makes the agent's HTTP server; the caller makes it listen. */
export function createAgentServer(options: ServerOptions): Server {
  const { metrics, log, door } = options;
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 15_000 }, (request, response) => {
    const started = now();
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    response.on("close", () => {
      if (!PROBES.has(path)) metrics.request(response.statusCode, (now() - started) / 1000);
    });
    handle(path, request, response, options).catch(async (error: unknown) => {
      await allowOrigin(request, response, door);
      sendError(response, error, log);
    });
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
  options: ServerOptions,
): Promise<void> {
  const { agent, door, metrics, probeKey } = options;
  const methods = ROUTES[path];
  const method = request.method ?? "";
  if (isPreflight(request)) return await answerPreflight(request, response, door, methods ?? []);
  const reads = method === "GET" || method === "HEAD";
  if (OPEN.has(path) && reads && request.headers.authorization === undefined)
    return sendStatus(path, response, agent);
  if (path === "/metrics" && reads && isProbe(request, probeKey)) return sendMetrics(response, metrics);
  if (path === "/message" && method === "POST") return await answer(request, response, options);

  await door.admit(request, reads ? "read" : "invoke");
  if (!PROBES.has(path)) response.on("close", metrics.work());
  await allowOrigin(request, response, door);
  if (!methods) throw new AgentError("NOT_FOUND", `There is nothing at ${path.slice(0, 200)}.`);
  if (!methods.includes(method)) {
    response.setHeader("allow", methods.join(", "));
    throw new AgentError("METHOD_NOT_ALLOWED", `${path} takes ${methods.join(", ")}.`);
  }
  switch (path) {
    case "/health":
      return send(response, 200, agent.health());
    case "/ready": {
      const reason = agent.unready();
      return reason === undefined
        ? send(response, 200, { status: "ready", ready: true })
        : send(response, 503, { status: reason, ready: false, reason });
    }
    case "/metrics":
      return sendMetrics(response, metrics);
    default:
      return send(response, 200, { ...agent.health(), endpoints: Object.keys(ROUTES) });
  }
}

/** `POST /message`: one JSON answer, or events as it is made. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: ServerOptions,
): Promise<void> {
  const { agent, door, ids } = options;
  // Of the platform's messages it is known which tools they want; of others the list is read while their caller is judged.
  if (request.headers["x-launchpad-signature"] === undefined) agent.prepare();
  const { visitor, body } = await enter(request, options);
  response.on("close", options.metrics.work());
  await allowOrigin(request, response, door);
  const { parseMessage } = await import("./message.ts");
  const { conversationId: given, ...said } = parseMessage(body, visitor === PLATFORM);
  const conversationId = ids.settle(visitor.caller, given);
  const message = { ...said, conversationId, caller: visitor.caller };

  const over = new AbortController();
  const unwatch = visitor.watch((refusal) => over.abort(refusal));
  response.on("close", () => {
    unwatch();
    if (!response.writableEnded) over.abort();
  });
  const told = (reply: Awaited<ReturnType<Agent["answer"]>>) => ({
    reply: reply.text,
    conversationId,
    messageId: said.answer.id,
    model: reply.model,
    ...(reply.silence !== undefined && { silence: reply.silence }),
    ...(reply.usage && { usage: reply.usage }),
    // The owner's settings are no matter of callers.
    ...(message.caller === "platform" && reply.warnings && { warnings: reply.warnings }),
  });
  if (!wantsEvents(request.headers.accept)) {
    try {
      return send(response, 200, told(await agent.answer(message, over.signal)));
    } catch (thrown) {
      throw asFailedAnswer(thrown, said.answer.id, options.log);
    }
  }
  const stream = openEventStream(response);
  try {
    const reply = await agent.answer(message, over.signal, {
      delta: (text) => stream.send("delta", { text }),
      tool: (call) => stream.send("tool", call),
    });
    stream.end("done", told(reply));
  } catch (thrown) {
    if (!stream.begun) {
      stream.abandon();
      throw asFailedAnswer(thrown, said.answer.id, options.log);
    }
    const { code, message: text, details, messageId } = asFailedAnswer(thrown, said.answer.id, options.log);
    stream.end("error", { code, message: text, messageId, ...(details && { details }) });
  } finally {
    unwatch();
  }
}

/** The platform by its signature over the very bytes; everybody else before their body is read. */
async function enter(
  request: IncomingMessage,
  { door, messageKey }: ServerOptions,
): Promise<{ visitor: Visitor; body: Buffer }> {
  if (request.headers["x-launchpad-signature"] === undefined) {
    const visitor = await door.admit(request, "invoke");
    requireJson(request);
    return { visitor, body: await readBody(request) };
  }
  requireJson(request);
  const body = await readBody(request);
  if (isSigned(request, body, messageKey)) return { visitor: PLATFORM, body };
  throw new AgentError(
    "INVALID_API_KEY",
    "The signature is not the platform's: restart the agent if its key changed.",
  );
}

function sendStatus(path: string, response: ServerResponse, agent: Agent): void {
  if (path === "/health") {
    send(response, 200, { status: agent.health().status });
  } else {
    const reason = agent.unready();
    send(response, reason === undefined ? 200 : 503, { status: reason ?? "ready" });
  }
}

function sendMetrics(response: ServerResponse, metrics: Metrics): void {
  // Before the head: an error can still be answered.
  const text = metrics.render();
  response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  response.end(text);
}

function isProbe(request: IncomingMessage, probeKey: string | undefined): boolean {
  if (probeKey === undefined) return false;
  return sameText(String(request.headers["x-launchpad-probe"] ?? ""), probeKey);
}

/**
 * Whether both are the same; it needs the same time wherever they differ. `timingSafeEqual` would load Node's crypto, which is 1.4 MB of
 * a replica that only answers probes.
 */
function sameText(given: string, expected: string): boolean {
  let difference = given.length ^ expected.length;
  for (let at = 0; at < given.length; at++) {
    difference |= given.charCodeAt(at) ^ expected.charCodeAt(at % expected.length);
  }
  return difference === 0;
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

function asAgentError(thrown: unknown, log: Log): AgentError {
  if (thrown instanceof AgentError) return thrown;
  log.error("A request failed", { cause: String(thrown) });
  return new AgentError("INTERNAL_ERROR", "The agent failed to answer.");
}

/** The failure of an answer, with the id that its steps are kept by. */
function asFailedAnswer(thrown: unknown, messageId: string, log: Log): AgentError {
  return Object.assign(asAgentError(thrown, log), { messageId });
}

function sendError(response: ServerResponse, thrown: unknown, log: Log): void {
  if (response.headersSent || response.destroyed) return;
  const error = asAgentError(thrown, log);
  if (error.retryAfterSeconds !== undefined)
    response.setHeader("retry-after", String(error.retryAfterSeconds));
  if (error.status === 401) response.setHeader("www-authenticate", "Bearer");
  // What was not read of the request would be taken for the next one; and a stopping replica wants its callers elsewhere.
  if (error.status === 413 || error.code === "AGENT_STOPPING") {
    response.setHeader("connection", "close");
  }
  const { code, message, details, messageId } = error;
  const more = { ...(messageId !== undefined && { messageId }), ...(details && { details }) };
  send(response, error.status, { error: { code, message, ...more } });
}
