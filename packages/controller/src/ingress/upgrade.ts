// Joins WebSockets, and any other upgrade, with a replica.

import { type IncomingMessage, request, STATUS_CODES } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { callerOf } from "./caller.ts";
import { MOST_WAITS, NOT_READY, type Refusal, type Verdict } from "./door.ts";
import type { Endpoint } from "./endpoints.ts";
import { agentOf, forwarded, rawHead } from "./headers.ts";
import type { IngressOptions } from "./ingress.ts";

/** A WebSocket (or any other upgrade): after the replica's answer both sides are joined. */
export function upgrade(
  options: IngressOptions,
  incoming: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const { door, endpoints, onRequest } = options;
  const agentId = agentOf(incoming.headers.host);
  const tried = new Set<string>();
  let heldSince: number | undefined;
  let waits = 0;
  socket.on("error", () => socket.destroy());

  const attempt = () => {
    if (agentId === undefined || !endpoints.knows(agentId)) {
      return refuse({ status: 404, code: "AGENT_NOT_FOUND", message: "No agent runs at this address." });
    }
    const endpoint = endpoints.pick(agentId, tried);
    if (endpoint !== undefined) return join(agentId, endpoint);
    const maySleep = tried.size === 0 || (heldSince !== undefined && waits < MOST_WAITS);
    if (door === undefined || !maySleep) return refuse(NOT_READY);
    tried.clear();
    waits += 1;
    const decide = (verdict: Verdict) => {
      unwatch();
      if (verdict === undefined) attempt();
      else refuse(verdict);
    };
    const wait = door.hold(agentId, callerOf(incoming), decide, heldSince);
    heldSince = wait.since;
    const unwatch = onEnd(socket, wait.leave);
  };
  const join = (of: string, endpoint: Endpoint) => {
    tried.add(endpoint.replica);
    const release = endpoints.hold(endpoint);
    const call = request({
      agent: false,
      host: endpoint.host,
      port: endpoint.port,
      method: incoming.method,
      path: incoming.url,
      headers: {
        ...forwarded(incoming, options.countsAsHop ?? true),
        connection: "Upgrade",
        upgrade: incoming.headers.upgrade ?? "websocket",
      },
      setHost: false,
    });
    const unwatch = onEnd(socket, () => call.destroy());
    call.on("error", () => {
      unwatch();
      release();
      // The client has left: that the call ended is no fault of the replica's.
      if (socket.destroyed) return;
      endpoint.suspect();
      attempt();
    });
    call.on("upgrade", (answer, upstream, rest) => {
      unwatch();
      onRequest?.(of, 101);
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
      onRequest?.(of, answer.statusCode ?? 0);
      socket.write(rawHead(answer, true));
      answer.pipe(socket);
      answer.on("close", () => {
        unwatch();
        release();
        // What breaks off must not look complete: a mere end would be the body's.
        if (!answer.complete && socket instanceof Socket) socket.resetAndDestroy();
      });
    });
    call.end();
  };
  const refuse = ({ code, message, retryAfterSeconds, status }: Refusal) => {
    onRequest?.(agentId ?? "", status);
    const body = JSON.stringify({ error: { code, message } });
    const lines = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
      "content-type: application/json",
      `content-length: ${Buffer.byteLength(body)}`,
      ...(retryAfterSeconds === undefined ? [] : [`retry-after: ${retryAfterSeconds}`]),
      "connection: close",
    ];
    socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
  };
  attempt();
}

/**
 * Tells that the client has left, without taking anything off the connection that it has sent ahead.
 * @returns stops looking
 */
function onEnd(socket: Duplex, ended: () => void): () => void {
  // The end is only seen by who reads; with nothing to read, reading takes nothing.
  const look = () => {
    if (socket.readableLength === 0) socket.read();
  };
  const end = () => {
    stop();
    socket.destroy();
    ended();
  };
  const stop = () => socket.off("readable", look).off("end", end).off("close", end);
  socket.on("readable", look).on("end", end).on("close", end);
  return stop;
}
