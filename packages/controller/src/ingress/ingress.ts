// The HTTP server that passes requests on to agents' replicas.

import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Log } from "../log.ts";
import { callerOf } from "./caller.ts";
import { type Door, MOST_WAITS, NOT_READY, type Refusal, type Verdict } from "./door.ts";
import type { Endpoint, Endpoints } from "./endpoints.ts";
import { agentOf, forwarded, hasBody, kept } from "./headers.ts";
import { upgrade } from "./upgrade.ts";

export interface IngressOptions {
  endpoints: Endpoints;
  log: Log;
  /** Where requests wait for agents that sleep; left out: nothing sleeps. */
  door?: Pick<Door, "hold"> | undefined;
  /** Whether the agent sleeps, as far as it is known here: probes do not wake it. */
  isAsleep?(agentId: string): boolean;
  /** False: a proxy in front counts for this one too, and its `X-Forwarded-For` goes on as it is. */
  countsAsHop?: boolean;
  /** Told of every request that ended: which agent, and the answer's status. */
  onRequest?(agentId: string, status: number): void;
}

/** Methods that may be sent twice (RFC 9110, 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
/** What is asked to see how an agent is, and is no work for it. */
const PROBES = new Set(["/health", "/ready", "/metrics"]);

const NOT_FOUND: Refusal = {
  status: 404,
  code: "AGENT_NOT_FOUND",
  message: "No agent runs at this address.",
};
const UNREACHABLE: Refusal = {
  status: 502,
  code: "AGENT_UNREACHABLE",
  message: "The agent could not be reached.",
};

/** A running ingress. */
export interface Ingress {
  server: Server;
  close(): void;
}

/**
 * The HTTP server in front of the agents: `Host: <agentId>.agents.…` goes to the agent's ready replica with the fewest
 * open requests. A request that reached no replica is brought to another one; one for an agent that sleeps waits at the door.
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

/** One request and its answer, over as many replicas as it takes. */
class Exchange {
  readonly #options: IngressOptions;
  readonly #agent: Agent;
  readonly #incoming: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #agentId: string | undefined;
  readonly #tried = new Set<string>();
  /** When it began to wait at the door, where it did. */
  #heldSince: number | undefined;
  #waits = 0;
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
    const { door, endpoints } = this.#options;
    const agentId = this.#agentId;
    if (agentId === undefined || !endpoints.knows(agentId)) {
      this.#refuse(NOT_FOUND);
      return;
    }
    const endpoint = endpoints.pick(agentId, this.#tried);
    // What woke for this request and ended before it took it may be starting again.
    const maySleep = this.#tried.size === 0 || (this.#heldSince !== undefined && this.#waits < MOST_WAITS);
    if (endpoint !== undefined) this.#send(endpoint);
    else if (!maySleep) this.#refuse(UNREACHABLE);
    else if (this.#isProbe()) this.#answerProbe(agentId);
    else if (door === undefined) this.#refuse(NOT_READY);
    else this.#wait(agentId, door);
  }

  /** Its body stays where it is, in the connection: the client sends no more than fits the buffers. */
  #wait(agentId: string, door: Pick<Door, "hold">): void {
    const response = this.#response;
    this.#tried.clear();
    this.#waits += 1;
    const decide = (verdict: Verdict) => {
      response.off("close", wait.leave);
      if (verdict === undefined) this.start();
      else this.#refuse(verdict);
    };
    const wait = door.hold(agentId, callerOf(this.#incoming), decide, this.#heldSince);
    this.#heldSince = wait.since;
    response.on("close", wait.leave);
  }

  #isProbe(): boolean {
    const { method, url = "/" } = this.#incoming;
    return (method === "GET" || method === "HEAD") && PROBES.has(pathOf(url));
  }

  /** To ask how an agent is does not wake it. */
  #answerProbe(agentId: string): void {
    if (this.#options.isAsleep?.(agentId) !== true) this.#refuse(NOT_READY);
    else if (pathOf(this.#incoming.url ?? "/") === "/metrics") {
      this.#answer(200, "text/plain; version=0.0.4", "# The agent is asleep.\n");
    } else this.#answer(200, "application/json; charset=utf-8", JSON.stringify({ status: "asleep" }));
  }

  #send(endpoint: Endpoint): void {
    const incoming = this.#incoming;
    const response = this.#response;
    this.#tried.add(endpoint.replica);
    const release = this.#options.endpoints.hold(endpoint);
    const call = request({
      agent: this.#agent,
      host: endpoint.host,
      port: endpoint.port,
      method: incoming.method,
      path: incoming.url,
      headers: forwarded(incoming, this.#options.countsAsHop ?? true),
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
      this.#refuse({ ...UNREACHABLE, message: "The agent broke the connection before it answered." });
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

  #refuse({ code, message, retryAfterSeconds, status }: Refusal): void {
    if (retryAfterSeconds !== undefined && !this.#response.headersSent) {
      this.#response.setHeader("retry-after", String(retryAfterSeconds));
    }
    const body = JSON.stringify({ error: { code, message } });
    this.#answer(status, "application/json; charset=utf-8", body);
  }

  #answer(status: number, type: string, body: string): void {
    const response = this.#response;
    if (response.headersSent || response.destroyed) return;
    response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
    response.end(body);
    // What was not read of the request is let go.
    this.#incoming.resume();
  }
}

function pathOf(url: string): string {
  return url.split("?", 1)[0] ?? "";
}
