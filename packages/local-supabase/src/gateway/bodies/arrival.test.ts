import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { type TestContext, test } from "vitest";
import { createArrivals } from "./arrival.ts";

async function rig(t: TestContext, bounds: Partial<Parameters<typeof createArrivals>[0]> = {}) {
  const arrivals = createArrivals({
    perAddress: 2,
    heldBytes: 300_000,
    restBytes: 1,
    stallMs: 100,
    ...bounds,
  });
  const server = createServer((request, response) => {
    const stalled = () => response.writeHead(408, { connection: "close" }).end();
    if (!arrivals.watch(request, stalled)) response.writeHead(503, { connection: "close" }).end();
    else request.resume().once("end", () => response.writeHead(200, { connection: "close" }).end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.onTestFinished(() => {
    arrivals.close();
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const begin = (length: number) => {
    const socket = connect(port, "127.0.0.1");
    socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n`);
    const status = once(socket, "data").then(([data]) => String(data).slice(9, 12));
    return { socket, status };
  };
  return { arrivals, begin };
}

test("a body of which nothing more comes has stalled; one that comes slowly has not", async (t) => {
  // Longer in all than what counts as a stall; between two bytes there is room for a busy machine.
  const { begin } = await rig(t, { stallMs: 1000 });
  const silent = begin(6);
  const slow = begin(6);
  const drip = setInterval(() => slow.socket.write("x"), 200);
  t.onTestFinished(() => clearInterval(drip));
  assert.equal(await silent.status, "408");
  assert.equal(await slow.status, "200");
});

test("an address has so many places, and gets them back", async (t) => {
  const { begin } = await rig(t, { stallMs: 60_000 });
  const [first, second] = [begin(1), begin(1)];
  await once(first.socket, "connect");
  first.socket.write("");
  assert.equal(await begin(1).status, "503");
  first.socket.write("x");
  assert.equal(await first.status, "200");
  const third = begin(1);
  third.socket.write("x");
  assert.equal(await third.status, "200");
  second.socket.destroy();
});

test("room is for so many bytes, small bodies aside, and comes back once", async (t) => {
  const { arrivals } = await rig(t);
  const one = arrivals.here(200_000);
  assert.ok(one);
  assert.equal(arrivals.here(200_000), undefined);
  assert.ok(arrivals.here(1000));
  one();
  one();
  assert.ok(arrivals.here(300_000));
  assert.equal(arrivals.here(70_000), undefined);
});
