import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "vitest";
import { freePort, HOST } from "./ports.ts";

test("any port is one that no outgoing connection is given", async () => {
  for (let n = 0; n < 20; n++) {
    const port = await freePort(0);
    assert.ok(port >= 20_000 && port < 30_000, `${port}`);
  }
});

test("a port that is asked for is that one, or refused with the flag that changes it", async () => {
  const server = createServer();
  await once(server.listen(0, HOST), "listening");
  const { port } = server.address() as AddressInfo;
  await assert.rejects(freePort(port, "--port"), /already in use; choose another with --port/);
  server.close();
  await once(server, "close");
  assert.equal(await freePort(port), port);
});
