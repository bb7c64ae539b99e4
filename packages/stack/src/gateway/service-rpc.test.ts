// Sign-ins where the lockout answers, and where it does not.
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "vitest";
import { createSecurityWatch } from "./security.ts";
import { createServiceRpc } from "./service-rpc.ts";

/** What a sign-in begins with where PostgREST answers so. */
async function beginWith(status: number, body: object) {
  const server = createServer((_request, response) => response.writeHead(status).end(JSON.stringify(body)));
  const { promise: listening, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await listening;
  const { port } = server.address() as AddressInfo;
  const service = createServiceRpc(
    () => ({ host: "127.0.0.1", port }),
    () => "token",
  );
  const watch = createSecurityWatch({ jwtKeys: "x".repeat(40), service });
  const request = { headers: {}, socket: {} } as IncomingMessage;
  try {
    return await watch.beginSignIn(request, "ada@example.com");
  } finally {
    watch.close();
    service.close();
    server.close();
  }
}

test("a lockout that does not answer, or is not there, refuses the sign-in", async () => {
  await assert.rejects(beginWith(503, { code: "PGRST002" }), /answered 503/);
  await assert.rejects(beginWith(404, { code: "PGRST202" }), /answered 404/);
});

test("a lockout's answer is what the sign-in begins with", async () => {
  const lock = { locked: true, retry_after: 61 };
  assert.deepEqual(await beginWith(200, lock), lock);
});
