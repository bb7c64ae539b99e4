// A wire between a client and the stack that a test can cut.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface TcpProxy extends AsyncDisposable {
  /** The stack's address through the wire. */
  url: string;
  /** Ends every connection, and refuses new ones until `mend`. */
  cut(): void;
  mend(): void;
  /** From now on nothing passes on the connections that are open, and neither side is told; new ones work. */
  strand(): void;
  /** Passes the next request on, and ends the connection in place of its answer. */
  loseNextAnswer(): void;
  /** How many answers were lost so far. */
  readonly lost: number;
}

/** Starts a proxy on a free port of loopback. */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  const stranded = new WeakSet<Socket>();
  let isCut = false;
  let losing = false;
  let lost = 0;
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(Number(port), hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        open.delete(socket);
        other.destroy();
      });
    }
    near.on("data", (chunk) => {
      if (!stranded.has(near)) far.write(chunk);
    });
    far.on("data", (chunk) => {
      if (stranded.has(far)) return;
      if (losing) {
        losing = false;
        lost += 1;
        near.destroy();
      } else near.write(chunk);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    cut() {
      isCut = true;
      for (const socket of open) socket.destroy();
    },
    mend() {
      isCut = false;
    },
    strand() {
      for (const socket of open) stranded.add(socket);
    },
    loseNextAnswer() {
      losing = true;
    },
    get lost() {
      return lost;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
