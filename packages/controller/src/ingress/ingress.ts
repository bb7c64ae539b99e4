// The HTTP server that passes requests on to agents' replicas.

import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import type { Log } from "../log.ts";
import type { Endpoint, Endpoints } from "./endpoints.ts";

export interface IngressOptions {
  endpoints: Endpoints;
  log: Log;
  /** Told of every request that ended: which agent, and the answer's status. */
  onRequest?(agentId: string, status: number): void;
}

/** Methods that may be sent twice (RFC 9110, 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
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
const HOST = /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)\.agents\./;

/** A running ingress. */
export interface Ingress {
  server: Server;
  close(): void;
}

/**
 * The HTTP server in front of the agents: `Host: <agentId>.agents.…` goes to the agent's ready replica with the fewest
 * open requests. A request that reached no replica is brought to another one.
 */
export function createIngress(options: IngressOptions): Ingress {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 16, timeout: 30_000 });
  // An offer of HTTP/2 is not taken: the request itself is answered (RFC 9110, 7.8).
  const shouldUpgradeCallback = ({ method, headers }: IncomingMessage) =>
    method === "GET" && !/\bh2c\b/i.test(headers.upgrade ?? "");
  const server = createServer({ shouldUpgradeCallback }, (incoming, response) =>
    new Exchange(options, agent, incoming, response).start(),
  );
  server.on("upgrade", (incoming, socket, head) => upgrade(options, incoming, socket, head));
  // Longer than the proxies in front keep theirs, so that they never meet a connection being closed.
  server.keepAliveTimeout = 75_000;
  server.requestTimeout = 0;
  return {
    server,
    close: () => {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
}

/** The agent a host name speaks of. */
export function agentOf(host: string | undefined): string | undefined {
  return HOST.exec((host ?? "").toLowerCase())?.[1];
}

/** One request and its answer, over as many replicas as it takes. */
class Exchange {
  readonly #options: IngressOptions;
  readonly #agent: Agent;
  readonly #incoming: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #agentId: string | undefined;
  readonly #tried = new Set<string>();
  /** Part of the body went out: it cannot be sent again. */
  #bodySent = false;

  constructor(options: IngressOptions, agent: Agent, incoming: IncomingMessage, response: ServerResponse) {
    this.#options = options;
    this.#agent = agent;
    this.#incoming = incoming;
    this.#response = response;
    this.#agentId = agentOf(incoming.headers.host);
    response.on("close", () => options.onRequest?.(this.#agentId ?? "", response.statusCode));
  }

  start(): void {
    const { endpoints } = this.#options;
    const agentId = this.#agentId;
    if (agentId === undefined || !endpoints.knows(agentId)) {
      this.#refuse(404, "AGENT_NOT_FOUND", "No agent runs at this address.");
      return;
    }
    const endpoint = endpoints.pick(agentId, this.#tried);
    if (endpoint !== undefined) this.#send(endpoint);
    else if (this.#tried.size > 0) this.#refuse(502, "AGENT_UNREACHABLE", "The agent could not be reached.");
    else {
      this.#response.setHeader("retry-after", "1");
      this.#refuse(503, "AGENT_NOT_READY", "The agent has no replica that is ready.");
    }
  }

  #send(endpoint: Endpoint): void {
    const incoming = this.#incoming;
    const response = this.#response;
    this.#tried.add(endpoint.replica);
    const release = this.#options.endpoints.hold(endpoint);
    const call = request({
      agent: this.#agent,
      host: "127.0.0.1",
      port: endpoint.port,
      method: incoming.method,
      path: incoming.url,
      headers: forwarded(incoming),
      setHost: false,
    });
    const onGone = () => call.destroy();
    response.on("close", onGone);
    call.on("close", () => {
      response.off("close", onGone);
      release();
    });
    call.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, kept(answer));
      answer.pipe(response);
      // An answer that breaks off must break off for the caller too, never look complete.
      answer.on("error", () => response.destroy());
    });
    call.on("error", (error) => {
      if (response.destroyed || response.headersSent) return;
      incoming.unpipe(call);
      endpoint.suspect();
      const unsent = (error as NodeJS.ErrnoException).syscall === "connect";
      const again = !this.#bodySent && (unsent || IDEMPOTENT.has(incoming.method ?? ""));
      if (again) {
        this.start();
        return;
      }
      this.#options.log.debug("a request broke off", { agentId: this.#agentId, error: error.message });
      this.#refuse(502, "AGENT_UNREACHABLE", "The agent broke the connection before it answered.");
    });
    if (!hasBody(incoming)) {
      call.end();
      return;
    }
    // The body leaves only over a connection that stands: until then the request can go elsewhere whole.
    const flow = () => {
      incoming.once("data", () => {
        this.#bodySent = true;
      });
      incoming.pipe(call);
    };
    call.on("socket", (socket) => {
      if (socket.connecting) socket.once("connect", flow);
      else flow();
    });
    // A body that came with its head leaves with it; the head of one that comes later does not wait for it.
    setImmediate(() => call.flushHeaders());
  }

  #refuse(status: number, code: string, message: string): void {
    const response = this.#response;
    if (response.headersSent || response.destroyed) return;
    const body = JSON.stringify({ error: { code, message } });
    response.writeHead(status, {
      "content-type": "application/json; charset=utf-8",
      "content-length": Buffer.byteLength(body),
    });
    response.end(body);
    // What was not read of the request is let go.
    this.#incoming.resume();
  }
}

/** A WebSocket (or any other upgrade): after the replica's answer both sides are joined. */
function upgrade(options: IngressOptions, incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { endpoints, onRequest } = options;
  const agentId = agentOf(incoming.headers.host);
  const tried = new Set<string>();
  socket.on("error", () => socket.destroy());

  const attempt = () => {
    if (agentId === undefined || !endpoints.knows(agentId))
      return refuse(404, "Not Found", "AGENT_NOT_FOUND");
    const endpoint = endpoints.pick(agentId, tried);
    if (endpoint === undefined) return refuse(503, "Service Unavailable", "AGENT_NOT_READY");
    tried.add(endpoint.replica);
    const release = endpoints.hold(endpoint);
    const call = request({
      agent: false,
      host: "127.0.0.1",
      port: endpoint.port,
      method: incoming.method,
      path: incoming.url,
      headers: {
        ...forwarded(incoming),
        connection: "Upgrade",
        upgrade: incoming.headers.upgrade ?? "websocket",
      },
      setHost: false,
    });
    call.on("error", () => {
      release();
      endpoint.suspect();
      if (!socket.destroyed) attempt();
    });
    call.on("upgrade", (answer, upstream, rest) => {
      onRequest?.(agentId, 101);
      socket.write(rawHead(answer));
      if (rest.length > 0) socket.write(rest);
      if (head.length > 0) upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
      const end = () => {
        release();
        upstream.destroy();
        socket.destroy();
      };
      for (const side of [upstream, socket]) side.on("error", end).on("close", end);
    });
    call.on("response", (answer) => {
      // The replica does not want the upgrade: its answer is the caller's.
      onRequest?.(agentId, answer.statusCode ?? 0);
      socket.write(rawHead(answer));
      answer.pipe(socket);
      answer.on("close", release);
    });
    call.end();
  };
  const refuse = (status: number, text: string, code: string) => {
    onRequest?.(agentId ?? "", status);
    const body = JSON.stringify({ error: { code, message: text } });
    socket.end(
      `HTTP/1.1 ${status} ${text}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  };
  attempt();
}

function rawHead(answer: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let index = 0; index < answer.rawHeaders.length; index += 2) {
    lines.push(`${answer.rawHeaders[index]}: ${answer.rawHeaders[index + 1]}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** The caller's headers without those of its connection, and with who asked. */
function forwarded(incoming: IncomingMessage): Record<string, string | string[]> {
  const headers = kept(incoming);
  const from = incoming.socket.remoteAddress;
  const before = headers["x-forwarded-for"];
  if (from !== undefined) headers["x-forwarded-for"] = before === undefined ? from : `${before}, ${from}`;
  headers["x-forwarded-host"] ??= incoming.headers.host ?? "";
  headers["x-forwarded-proto"] ??= "http";
  // The body's length is not known here either.
  if (incoming.headers["transfer-encoding"] !== undefined) headers["transfer-encoding"] = "chunked";
  return headers;
}

function kept(message: IncomingMessage): Record<string, string | string[]> {
  const named = (message.headers.connection ?? "").toLowerCase().split(/\s*,\s*/);
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name) && !named.includes(name)) headers[name] = value;
  }
  return headers;
}

function hasBody(incoming: IncomingMessage): boolean {
  const length = incoming.headers["content-length"];
  return incoming.headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}
