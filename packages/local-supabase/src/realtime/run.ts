// The Realtime process: HTTP on a port of its own, WebSockets as sockets that the gateway hands over, an orderly end.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, Socket } from "node:net";
import { reasonOf } from "../errors.ts";
import { checkApiKey } from "../gateway/credentials.ts";
import { headerOf, refuseUnparsed, sendJson } from "../gateway/replies.ts";
import { isHandover, requestOf } from "./handover.ts";
import { type Realtime, startRealtime } from "./server.ts";
import { readSettings, type Settings } from "./settings.ts";

/** Runs until SIGTERM, or until the stack that started it is gone. Prints `{"event":"ready","port"}` when it serves. */
export async function run(): Promise<void> {
  const settings = readSettings(process.env);
  await begin();
  const onLog = (line: string) => void process.stderr.write(`${new Date().toISOString()} ${line}\n`);
  const realtime = await startRealtime({
    urls: settings.urls,
    jwtKeys: settings.keys.jwtKeys,
    limits: settings.limits,
    onLog,
  });
  const server = createServer({ keepAliveTimeout: 30_000, noDelay: true }, (request, response) => {
    answer(realtime, settings.keys, request, response).catch((error: unknown) => {
      onLog(`HTTP: ${error instanceof Error ? error.stack : reasonOf(error)}`);
      sendJson(response, 500, { message: "Internal Server Error" });
    });
  });
  server.on("clientError", refuseUnparsed);
  // Sockets come from the gateway alone, with the role that it has checked.
  server.on("upgrade", (_request, socket) => socket.destroy());
  process.on("message", (message, socket) => {
    if (!(socket instanceof Socket)) return; // the client was gone before its socket arrived
    if (!isHandover(message)) return void socket.destroy();
    socket.on("error", () => socket.destroy());
    const { role, address } = message;
    realtime.upgrade(requestOf(message, socket), socket, Buffer.from(message.head, "base64"), {
      role,
      address,
    });
  });

  let ending = false;
  const end = async (): Promise<void> => {
    if (ending) return;
    ending = true;
    server.close();
    server.closeAllConnections();
    await realtime.stop();
    process.exit(0);
  };
  process.once("SIGTERM", () => void end());
  process.once("disconnect", () => void end()); // the stack is gone

  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    process.stdout.write(`${JSON.stringify({ event: "ready", port })}\n`);
  });
}

/** The stack says when the database is ready; this process was loaded meanwhile. Ends it when the stack ends before. */
async function begin(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => process.exit(0);
  process.once("message", () => resolve());
  process.once("SIGTERM", end);
  process.once("disconnect", end);
  await promise;
  process.off("SIGTERM", end);
  process.off("disconnect", end);
}

/** The gateway has checked the key too; any program of this machine may find this port. */
async function answer(
  realtime: Realtime,
  keys: Settings["keys"],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url ?? "/";
  const key = checkApiKey(request.headers, path, keys, Date.now());
  if (key.status !== "known") return sendJson(response, 401, { message: "Invalid API key" });
  const host = headerOf(request, "x-forwarded-host") ?? request.headers.host ?? "localhost";
  const address = headerOf(request, "x-forwarded-for") ?? "";
  await realtime.handle(request, response, { path, role: key.role, origin: `http://${host}`, address });
}
