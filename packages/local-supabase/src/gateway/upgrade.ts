// Passes WebSocket connections through to a service.

import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { requestHeaders } from "./headers.ts";
import type { Address } from "./proxy.ts";

/**
 * Passes a WebSocket handshake and then the connection through to an upstream. An upstream that is down or that
 * does not upgrade is answered as plain HTTP. Never throws; what breaks later closes both ends.
 */
export function passUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  target: { address: Address | undefined; path: string; host?: string },
): void {
  socket.on("error", () => socket.destroy());
  if (!target.address) {
    refuseUpgrade(
      socket,
      503,
      "SERVICE_UNAVAILABLE",
      "The service is not reachable at the moment; try again shortly",
    );
    return;
  }
  let answered = false;
  const headers = [
    ...requestHeaders(request, undefined, target.host),
    "connection",
    "Upgrade",
    "upgrade",
    "websocket",
  ];
  const outgoing = httpRequest({
    ...target.address,
    method: "GET",
    path: target.path,
    headers: headers as unknown as readonly string[],
    agent: false,
  });
  outgoing.on("upgrade", (answer, upstream, upstreamHead) => {
    answered = true;
    upstream.on("error", () => socket.destroy());
    socket.on("close", () => upstream.destroy());
    upstream.on("close", () => socket.destroy());
    socket.write(headOf(101, "Switching Protocols", answer.rawHeaders));
    if (upstreamHead.length > 0) socket.write(upstreamHead);
    if (head.length > 0) upstream.write(head);
    upstream.pipe(socket).pipe(upstream);
  });
  outgoing.on("response", (answer) => {
    answered = true;
    // The length is unknown here or framed by the upstream's connection: this end closes after the body.
    const kept = answer.rawHeaders.filter(
      (_, i, all) => !/^(connection|transfer-encoding|keep-alive)$/i.test(all[i - (i % 2)]!),
    );
    socket.write(
      headOf(answer.statusCode ?? 502, answer.statusMessage ?? "", [...kept, "connection", "close"]),
    );
    answer.pipe(socket);
  });
  outgoing.on("error", () => {
    if (socket.writable && !answered && !socket.destroyed) {
      refuseUpgrade(
        socket,
        503,
        "SERVICE_UNAVAILABLE",
        "The service is not reachable at the moment; try again shortly",
      );
    } else socket.destroy();
  });
  socket.once("close", () => outgoing.destroy());
  outgoing.end();
}

/** Answers a WebSocket handshake with a JSON error and closes. */
export function refuseUpgrade(socket: Duplex, status: number, code: string, message: string): void {
  const body = JSON.stringify({ code, message });
  const length = String(Buffer.byteLength(body));
  socket.end(
    headOf(status, code, [
      "content-type",
      "application/json; charset=utf-8",
      "content-length",
      length,
      "connection",
      "close",
    ]) + body,
  );
}

function headOf(status: number, text: string, headers: readonly string[]): string {
  let lines = `HTTP/1.1 ${status} ${text}\r\n`;
  for (let i = 0; i < headers.length; i += 2) lines += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${lines}\r\n`;
}
