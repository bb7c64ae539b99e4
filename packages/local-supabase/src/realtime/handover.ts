// How the gateway hands a WebSocket handshake to the Realtime process: the request as a message, the socket with it.
import type { ChildProcess } from "node:child_process";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** A handshake as it travels between the two processes. */
export interface Handover {
  kind: "upgrade";
  url: string;
  headers: IncomingMessage["headers"];
  /** What the client sent behind its handshake, in base64. */
  head: string;
  /** The role of the API key, which the gateway has checked. */
  role: string;
  /** The client's address. */
  address: string;
}

/** Node's own handle of a socket; its types do not show it. */
interface WithHandle {
  _handle?: { readStop(): number } | null;
}

/**
 * Gives a socket whose handshake has been read to another process; it is no longer this one's. Returns false, and leaves
 * the socket as it is, when the process cannot take it.
 */
export function handOver(
  child: ChildProcess,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  role: string,
): boolean {
  if (!child.connected || !(socket instanceof Socket) || socket.destroyed) return false;
  const handover: Handover = {
    kind: "upgrade",
    url: request.url ?? "/",
    headers: request.headers,
    head: head.toString("base64"),
    role,
    address: socket.remoteAddress ?? "",
  };
  // Until the other process has confirmed it, the socket is open in both: bytes read here would be lost.
  (socket as WithHandle)._handle?.readStop();
  child.send(handover, socket, {}, (error) => {
    if (error) socket.destroy();
  });
  return true;
}

export function isHandover(message: unknown): message is Handover {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "upgrade";
}

/** The request again, as far as a handshake needs it. */
export function requestOf(handover: Handover, socket: Socket): IncomingMessage {
  const request = new IncomingMessage(socket);
  return Object.assign(request, { method: "GET", url: handover.url, headers: handover.headers });
}
