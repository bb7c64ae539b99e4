// Sign-ins where the project has no lockout, and where the database does not answer.
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

test("a project without a lockout refuses no sign-in", async () => {
  assert.deepEqual(await beginWith(404, { code: "PGRST202" }), { locked: false, retry_after: 0 });
});

test("a lockout that does not answer refuses the sign-in", async () => {
  await assert.rejects(beginWith(503, { code: "PGRST002" }), /answered 503/);
  await assert.rejects(beginWith(404, { code: "42883" }), /answered 404/);
});
