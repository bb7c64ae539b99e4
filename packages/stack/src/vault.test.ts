import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test, vi } from "vitest";
import { putRespondTarget, putWebhookTarget } from "./vault.ts";

/** As Postgres answers a start-up: authentication succeeded, ready for a query. */
const READY = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]);

test("a database that ends under the call is an error of the call, not the end of the process", async (t) => {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      socket.write(READY);
      socket.once("data", () => socket.resetAndDestroy());
    });
  });
  t.onTestFinished(async () => {
    await server.close();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `postgres://postgres@127.0.0.1:${(server.address() as AddressInfo).port}/postgres?sslmode=disable`;

  // Without a listener the connection's own event would be thrown at nobody, and fail this test from outside.
  await assert.rejects(putWebhookTarget(url, { controllerUrl: "http://c", webhookSecret: "s" }));
  await assert.rejects(putRespondTarget(url, { functionsUrl: "http://f", respondSecret: "s" }));
});

test("a database that is slow to welcome, as on a busy machine, is waited for", async (t) => {
  const asked = Promise.withResolvers<() => void>();
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      asked.resolve(() => socket.write(READY));
      socket.once("data", () => socket.resetAndDestroy());
    });
  });
  t.onTestFinished(() => {
    vi.useRealTimers();
    server.close();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `postgres://postgres@127.0.0.1:${(server.address() as AddressInfo).port}/postgres?sslmode=disable`;

  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const put = putWebhookTarget(url, { controllerUrl: "http://c", webhookSecret: "s" });
  const failed = put.catch((error: Error) => error.message);
  const welcome = await asked.promise;
  vi.advanceTimersByTime(30_000);
  welcome();
  // It came to the query, which this server does not answer.
  assert.doesNotMatch(String(await failed), /timeout/);
});
