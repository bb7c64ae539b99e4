/** `Deno.connect` for tests in Node: the same shape over node:net. */
import { once } from "node:events";
import { connect } from "node:net";
import type { Connection } from "../connections.ts";

export async function connectTo({ hostname, port }: { hostname: string; port: number }): Promise<Connection> {
  const socket = connect(port, hostname);
  socket.on("error", () => {});
  await once(socket, "connect");
  return {
    async read(into) {
      for (;;) {
        const chunk = socket.read(Math.min(into.length, socket.readableLength) || undefined) as Buffer | null;
        if (chunk !== null) {
          into.set(chunk);
          return chunk.length;
        }
        if (socket.errored) throw socket.errored;
        if (socket.readableEnded) return null;
        if (socket.destroyed) throw new Error("the connection was closed");
        await new Promise<void>((resolve) => {
          const events = ["readable", "end", "close"] as const;
          const wake = () => {
            for (const event of events) socket.off(event, wake);
            resolve();
          };
          for (const event of events) socket.on(event, wake);
        });
      }
    },
    async write(bytes) {
      await new Promise<void>((resolve, reject) =>
        socket.write(bytes.slice(), (error) => (error ? reject(error) : resolve())),
      );
      return bytes.length;
    },
    close: () => void socket.destroy(),
  };
}
