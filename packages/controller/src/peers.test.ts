import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "vitest";
import { silentLog } from "./log.ts";
import { Peers, type PeersOptions } from "./peers.ts";
import { createControllerServer } from "./server.ts";

const SECRET = "the-secret-of-the-webhook";
const options: PeersOptions = {
  address: "controllers.test:8080",
  secret: SECRET,
  log: silentLog,
  own: new Set(["10.0.0.1"]),
  resolve: async () => ["10.0.0.1", "10.0.0.2", "fd00::3"],
};

test("the others are told, not this controller itself", async () => {
  const urls: string[] = [];
  const post = async (url: string) => {
    urls.push(url);
    return { status: 202, text: "" };
  };
  await new Peers({ ...options, post }).hint();
  assert.deepEqual(urls, [
    "http://10.0.0.2:8080/webhooks/deployments",
    "http://[fd00::3]:8080/webhooks/deployments",
  ]);
});

test("hints that come while one is under way become one more", async () => {
  let calls = 0;
  const answer = Promise.withResolvers<void>();
  const post = async () => {
    calls += 1;
    if (calls === 1) await answer.promise;
    return { status: 202, text: "" };
  };
  const peers = new Peers({ ...options, post, resolve: async () => ["10.0.0.2"] });
  const first = peers.hint();
  await Promise.all(Array.from({ length: 50 }, () => peers.hint()));
  assert.equal(calls, 1);
  answer.resolve();
  await first;
  assert.equal(calls, 2);
});

test("a name that is not known, and a peer that is gone, are no error", async () => {
  await new Peers({ ...options, resolve: () => Promise.reject(new Error("ENOTFOUND")) }).hint();
  await new Peers({ ...options, post: () => Promise.reject(new Error("ECONNREFUSED")) }).hint();
});

test("a real server takes the hint for genuine, and as one that is not told on", async (context) => {
  const hints: boolean[] = [];
  const server = createControllerServer({
    secret: SECRET,
    log: silentLog,
    onHint: (_hint, relayed) => hints.push(relayed),
    problems: async () => [],
    metrics: () => "",
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  await new Peers({ ...options, address: `x:${port}`, resolve: async () => ["127.0.0.1"] }).hint();
  assert.deepEqual(hints, [true]);
});
