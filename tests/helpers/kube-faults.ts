// A proxy before the API server of a test cluster that counts what passes and fails what a test tells it to fail.
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, Agent as HttpsAgent, request } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { TestCluster } from "./cluster.ts";
import { type KubeRequest, matches, parseRequest, type RequestMatch } from "./kube-requests.ts";

export type Effect =
  /** Answered here; the API server hears nothing of it. */
  | { kind: "status"; status: number; retryAfterSeconds?: number; reason?: string; message?: string }
  /** The connection breaks before the API server hears of it. */
  | { kind: "reset" }
  /** The API server does it, and the connection breaks in place of its answer. */
  | { kind: "answerLost" }
  /** Passed on after a pause. */
  | { kind: "delay"; ms: number };

export interface Fault {
  match: RequestMatch;
  effect: Effect;
  /** How many requests it hits; all when absent. */
  times?: number;
  /** Hits a request only when this says so (for storms by chance). */
  when?: () => boolean;
  /** Told of each request that is hit, before the effect. */
  onHit?: (request: KubeRequest) => void;
}

export interface KubeFaults {
  /** A kubeconfig that leads through the proxy. */
  kubeconfig: string;
  url: string;
  /** Adds a fault; the first that matches a request hits it. Returns its removal. */
  add(fault: Fault): () => void;
  /** Removes all faults and lets silent watches go on. */
  clear(): void;
  /** Breaks the open watches that match; returns how many there were. */
  cutWatches(match?: RequestMatch): number;
  /** Sends each open watch that matches an ERROR event 410 (its version is too old) and ends it. */
  expireWatches(match?: RequestMatch): number;
  /** Holds back everything on watches that match, the connection stays open; the function returned lets it go on. */
  silenceWatches(match?: RequestMatch): () => void;
  /** Requests since the start or the last reset(), in order. */
  readonly requests: readonly KubeRequest[];
  /** How many requests match. */
  count(match?: RequestMatch): number;
  /** `verb resource` → number of requests. */
  counts(): Record<string, number>;
  /** TCP connections opened since the start or the last reset(). */
  readonly connections: number;
  /** Open watches that match. */
  watches(match?: RequestMatch): number;
  reset(): void;
  close(): Promise<void>;
}

interface Watch {
  request: KubeRequest;
  response: ServerResponse;
  upstream: IncomingMessage;
}

/** Starts a proxy on a free port. It speaks TLS and asks for client certificates as the API server does. */
export async function startKubeFaults(cluster: Pick<TestCluster, "info">): Promise<KubeFaults> {
  const { pki, kubeconfig, url } = cluster.info;
  const file = (name: string) => readFileSync(join(pki, name));
  const ca = file("ca.crt");
  const identity = { ca, cert: file("admin.crt"), key: file("admin.key") };
  const asAdmin = new HttpsAgent({ keepAlive: true, ...identity });
  const asBearer = new HttpsAgent({ keepAlive: true, ca });
  const sockets = new Map<number, Socket>(); // by the port of the client's end
  const watches = new Set<Watch>();
  const silences = new Set<RequestMatch>();
  let faults: Fault[] = [];
  let requests: KubeRequest[] = [];
  let connections = 0;

  // Only the TCP connection below the TLS one can be reset.
  const reset = (socket: Socket | null) => sockets.get(socket?.remotePort ?? 0)?.resetAndDestroy();
  const silent = (watch: Watch) => [...silences].some((match) => matches(watch.request, match));
  const hush = () => {
    for (const watch of watches) {
      if (silent(watch)) watch.upstream.pause();
      else watch.upstream.resume();
    }
  };

  function hit(seen: KubeRequest): Effect | undefined {
    const fault = faults.find((f) => matches(seen, f.match) && (f.when?.() ?? true));
    if (fault === undefined) return undefined;
    if (fault.times !== undefined) {
      fault.times -= 1;
      if (fault.times <= 0) faults = faults.filter((other) => other !== fault);
    }
    fault.onHit?.(seen);
    return fault.effect;
  }

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const seen = parseRequest(incoming.method ?? "GET", incoming.url ?? "/", incoming.headers);
    requests.push(seen);
    const effect = hit(seen);
    if (effect?.kind === "reset") {
      reset(incoming.socket);
      return;
    }
    if (effect?.kind === "status") {
      incoming.resume();
      await once(incoming, "end");
      sendStatus(response, effect);
      return;
    }
    if (effect?.kind === "delay") await new Promise((resolve) => setTimeout(resolve, effect.ms));
    passOn(seen, incoming, response, effect?.kind === "answerLost");
  }

  function passOn(seen: KubeRequest, incoming: IncomingMessage, response: ServerResponse, lose: boolean) {
    const agent = incoming.headers.authorization === undefined ? asAdmin : asBearer;
    const headers = { ...incoming.headers, host: new URL(url).host };
    const { hostname, port } = new URL(url);
    const options = { hostname, port, path: seen.path, method: incoming.method, agent, headers };
    const sent = request(options, (upstream) => {
      if (lose) {
        upstream.resume();
        upstream.once("close", () => reset(incoming.socket));
        return;
      }
      response.writeHead(upstream.statusCode ?? 502, upstream.headers);
      response.flushHeaders();
      upstream.on("error", () => response.destroy());
      const watch: Watch = { request: seen, response, upstream };
      if (seen.verb === "watch" || seen.follow) {
        watches.add(watch);
        response.once("close", () => watches.delete(watch));
      }
      upstream.on("data", (part) => {
        if (!response.write(part)) {
          upstream.pause();
          response.once("drain", () => {
            if (!silent(watch)) upstream.resume();
          });
        }
      });
      upstream.on("end", () => response.end());
      if (silent(watch)) upstream.pause();
    });
    // An API server that is down looks to the client as it does without the proxy: the connection breaks.
    sent.on("error", () => reset(incoming.socket));
    response.once("close", () => sent.destroy());
    incoming.pipe(sent);
  }

  /** Port-forward, exec: a connection that becomes the protocol's own. */
  function switchOver(seen: KubeRequest, incoming: IncomingMessage, near: Duplex, head: Buffer): void {
    const { hostname, port, host } = new URL(url);
    const headers = { ...incoming.headers, host };
    const sent = request({ hostname, port, path: seen.path, method: incoming.method, headers, ...identity });
    const answer = (upstream: IncomingMessage) => {
      const lines = [`HTTP/1.1 ${upstream.statusCode} ${upstream.statusMessage}`];
      const { rawHeaders } = upstream;
      for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
      near.write(`${lines.join("\r\n")}\r\n\r\n`);
    };
    near.on("error", () => sent.destroy());
    sent.on("error", () => near.destroy());
    sent.on("response", (upstream) => {
      answer(upstream); // refused
      upstream.pipe(near);
    });
    sent.on("upgrade", (upstream, far, first) => {
      answer(upstream);
      far.on("error", () => near.destroy());
      near.on("error", () => far.destroy());
      near.on("close", () => far.destroy());
      near.write(first);
      far.write(head);
      far.pipe(near);
      near.pipe(far);
    });
    sent.end();
  }

  const server = createServer(
    { ca, cert: file("proxy.crt"), key: file("proxy.key"), requestCert: true, rejectUnauthorized: false },
    (incoming, response) => void handle(incoming, response).catch(() => response.destroy()),
  );
  server.on("upgrade", (incoming, socket, head) => {
    const seen = parseRequest(incoming.method ?? "GET", incoming.url ?? "/", incoming.headers);
    requests.push(seen);
    if (hit(seen) !== undefined) socket.destroy();
    else switchOver(seen, incoming, socket, head);
  });
  server.on("connection", (socket: Socket) => {
    const port = socket.remotePort ?? 0;
    connections += 1;
    sockets.set(port, socket);
    socket.once("close", () => sockets.delete(port));
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxyUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxyKubeconfig = join(
    cluster.info.dataDir,
    `proxy-${(server.address() as AddressInfo).port}.kubeconfig`,
  );
  writeFileSync(proxyKubeconfig, readFileSync(kubeconfig, "utf8").replaceAll(url, proxyUrl), { mode: 0o600 });

  const some = (match: RequestMatch = {}) => [...watches].filter((watch) => matches(watch.request, match));
  return {
    kubeconfig: proxyKubeconfig,
    url: proxyUrl,
    add: (fault) => {
      const own = { ...fault };
      faults.push(own);
      return () => {
        faults = faults.filter((other) => other !== own);
      };
    },
    clear: () => {
      faults = [];
      silences.clear();
      hush();
    },
    cutWatches: (match) => {
      const cut = some(match);
      for (const watch of cut) reset(watch.response.socket);
      return cut.length;
    },
    expireWatches: (match) => {
      const expired = some(match);
      for (const watch of expired) {
        watch.upstream.removeAllListeners("data");
        const object = statusObject(410, "Expired", "too old resource version");
        watch.response.end(`${JSON.stringify({ type: "ERROR", object })}\n`);
      }
      return expired.length;
    },
    silenceWatches: (match = {}) => {
      silences.add(match);
      hush();
      return () => {
        silences.delete(match);
        hush();
      };
    },
    get requests() {
      return requests;
    },
    count: (match = {}) => requests.filter((seen) => matches(seen, match)).length,
    counts: () => {
      const result: Record<string, number> = {};
      for (const { verb, resource } of requests) {
        const key = `${verb} ${resource}`;
        result[key] = (result[key] ?? 0) + 1;
      }
      return result;
    },
    get connections() {
      return connections;
    },
    watches: (match) => some(match).length,
    reset: () => {
      requests = [];
      connections = 0;
    },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets.values()) socket.destroy();
      asAdmin.destroy();
      asBearer.destroy();
      await closed;
    },
  };
}

function sendStatus(response: ServerResponse, effect: Extract<Effect, { kind: "status" }>): void {
  const reasons: Record<number, string> = {
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
  };
  const reason = effect.reason ?? reasons[effect.status] ?? "Unknown";
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (effect.retryAfterSeconds !== undefined) headers["retry-after"] = String(effect.retryAfterSeconds);
  response.writeHead(effect.status, headers);
  response.end(JSON.stringify(statusObject(effect.status, reason, effect.message ?? "injected by the test")));
}

function statusObject(code: number, reason: string, message: string) {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", code, reason, message };
}
