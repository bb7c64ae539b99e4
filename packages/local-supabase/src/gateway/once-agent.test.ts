import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { Worker } from "node:worker_threads";
import { test } from "vitest";
import { OnceAgent } from "./once-agent.ts";

/** A server in a thread of its own: it answers the first bytes of a request and resets the connection, then says so. */
const RESETS = `
  const { createServer } = require("node:net");
  const { parentPort, workerData } = require("node:worker_threads");
  const { done, answer } = workerData;
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () =>
      socket.write(answer, () => {
        socket.resetAndDestroy();
        Atomics.store(done, 0, 1);
        Atomics.notify(done, 0);
      }),
    );
  });
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
`;

/** Sends a body whose second half is written when the server has answered, if it does, and closed. */
async function ask(answer: string): Promise<IncomingMessage> {
  const done = new Int32Array(new SharedArrayBuffer(4));
  const server = new Worker(RESETS, { eval: true, workerData: { done, answer } });
  try {
    const [port] = await once(server, "message");
    const agent = new OnceAgent({ keepAlive: true });
    const outgoing = request({ port, host: "127.0.0.1", method: "POST", agent });
    outgoing.write("x".repeat(1000), () => {
      // This thread stands still meanwhile, so nothing is read before the write that fails.
      assert.equal(Atomics.wait(done, 0, 0, 30_000) === "timed-out", false);
      outgoing.write("y".repeat(1000));
      outgoing.end("z");
    });
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    return incoming;
  } finally {
    await server.terminate();
  }
}

test("an answer before the body's end is read though the rest of the body cannot be written", async () => {
  const incoming = await ask("HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nwrong");
  assert.equal(incoming.statusCode, 401);
  assert.equal(await text(incoming), "wrong");
});

test("a connection that ends without an answer is an error", async () => {
  await assert.rejects(ask(""), { code: "ECONNRESET" });
});
