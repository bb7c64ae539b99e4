/** Connections over a real socket: kept, given up, never asked twice. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, it, onTestFinished } from "vitest";
import { createConnections } from "./connections.ts";
import { requestBytes } from "./postgrest.ts";
import { connectTo } from "./testing/connection.ts";

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]";
const REQUEST = requestBytes("/rpc/x", { host: "h" }, new TextEncoder().encode("{}"));

/** A server whose `onRequest` is given each whole request of {@link REQUEST}'s size. */
async function rig(
  onRequest: (socket: Socket, count: number) => void,
  options: { timeoutMs?: number; idleMs?: number } = {},
) {
  const sockets: Socket[] = [];
  let requests = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    let waiting = 0;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      for (waiting += data.length; waiting >= REQUEST.length; waiting -= REQUEST.length)
        onRequest(socket, ++requests);
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const connections = createConnections({
    connect: () => connectTo({ hostname: "127.0.0.1", port }),
    timeoutMs: options.timeoutMs ?? 10_000,
    ...(options.idleMs === undefined ? {} : { idleMs: options.idleMs }),
  });
  onTestFinished(() => {
    connections.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { connections, sockets, requests: () => requests };
}

describe("connections", () => {
  it("are kept: requests one after the other have one, those at once have their own", async () => {
    const { connections, sockets } = await rig((socket) => socket.write(OK));
    for (let count = 0; count < 5; count++) await connections.send(REQUEST);
    assert.equal(sockets.length, 1);
    const answers = await Promise.all(Array.from({ length: 4 }, () => connections.send(REQUEST)));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal(sockets.length, 4);
  });

  it("give an answer of several megabytes that comes in pieces", async () => {
    const body = Buffer.alloc(3_000_000, "é");
    const { connections } = await rig((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
      socket.write(body);
    });
    for (let count = 0; count < 2; count++) {
      const { body: read } = await connections.send(REQUEST);
      assert.ok(body.equals(read));
    }
  });

  it("that the server closed while they were idle are not used again", async () => {
    const { connections, sockets } = await rig((socket) => socket.write(OK));
    await connections.send(REQUEST);
    const closed = once(sockets[0]!, "close");
    sockets[0]!.end();
    await closed; // our end has closed in turn
    assert.equal((await connections.send(REQUEST)).status, 200);
    assert.equal(sockets.length, 2);
  });

  it("are closed when they were idle for their time", async () => {
    const { connections, sockets } = await rig((socket) => socket.write(OK), { idleMs: 10 });
    await connections.send(REQUEST);
    await once(sockets[0]!, "close");
  });

  it("that break off before the answer's end are an error; nothing is sent twice", async () => {
    const { connections, requests } = await rig((socket, count) => {
      if (count === 1) socket.write(OK);
      else socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[");
    });
    await connections.send(REQUEST);
    await assert.rejects(connections.send(REQUEST), /broke off/);
    assert.equal(requests(), 2);
  });

  it("on which nothing comes in time are an error", async () => {
    const { connections, sockets } = await rig(() => {}, { timeoutMs: 100 });
    await assert.rejects(connections.send(REQUEST));
    if (!sockets[0]!.closed) await once(sockets[0]!, "close");
  });

  it("give an early answer to a request that the server reads no further", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.pause();
        socket.write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}");
      });
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const connections = createConnections({
      connect: () => connectTo({ hostname: "127.0.0.1", port }),
      timeoutMs: 10_000,
    });
    onTestFinished(() => {
      connections.close();
      server.close();
    });
    const large = requestBytes("/rpc/x", { host: "h" }, new Uint8Array(8_000_000));
    assert.equal((await connections.send(large, true)).status, 401);
  });
});

describe("a request's bytes", () => {
  it("hold a value's characters as one byte each, and a body of any text", () => {
    const body = new TextEncoder().encode('{"a":"ü€"}');
    const sent = Buffer.from(requestBytes("/rpc/x", { "user-agent": "caf\xe9" }, body));
    const [head, rest] = sent.toString("latin1").split("\r\n\r\n");
    assert.equal(head, `POST /rpc/x HTTP/1.1\r\ncontent-length: ${body.length}\r\nuser-agent: caf\xe9`);
    assert.deepEqual(Buffer.from(rest!, "latin1"), Buffer.from(body));
  });

  it("cannot be given a second header by a value", () => {
    for (const value of ["a\r\nx: y", "a\nb", "a\0b", "€"])
      assert.throws(() => requestBytes("/", { apikey: value }, new Uint8Array()), TypeError);
  });
});
