import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { readEnvironment } from "./environment.ts";
import { ROOT, startStack } from "./stack.ts";

test("a taken port is said before anything starts", async () => {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const folder = mkdtempSync(join(tmpdir(), "launchpad-port-"));
  const states: string[] = [];
  try {
    const starting = startStack({
      port: (server.address() as AddressInfo).port,
      dbPort: 0,
      dataDir: folder,
      cluster: "processes",
      environment: readEnvironment({}, join(ROOT, "supabase/functions/.env")),
      log: () => {},
      onState: (service) => states.push(service),
    });
    await assert.rejects(starting, /already in use; choose another with --port/);
    assert.deepEqual(states, []);
    assert.equal(existsSync(join(folder, "postgres")), false);
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
