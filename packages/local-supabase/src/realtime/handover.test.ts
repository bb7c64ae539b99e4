import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { handOver } from "./handover.ts";

const ECHO = `
  import { WebSocketServer } from ${JSON.stringify(import.meta.resolve("ws"))};
  import { requestOf } from ${JSON.stringify(import.meta.resolve("./handover.ts"))};
  const server = new WebSocketServer({ noServer: true });
  process.on("message", (message, socket) => server.handleUpgrade(requestOf(message, socket), socket,
    Buffer.from(message.head, "base64"), (ws) => ws.on("message", (data) => ws.send(message.role + " " + data))));
  process.send("ready");
`;

test("500 clients that speak at once are all heard by the process that took their sockets", async () => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-handover-"));
  await writeFile(join(folder, "echo.mjs"), ECHO);
  const child = fork(join(folder, "echo.mjs"));
  const gateway = createServer();
  try {
    await once(child, "message");
    gateway.on("upgrade", (request, socket, head) =>
      assert.ok(handOver(child, request, socket, head, "anon")),
    );
    gateway.listen(0, "127.0.0.1");
    await once(gateway, "listening");
    const { port } = gateway.address() as AddressInfo;
    for (let round = 0; round < 10; round++) {
      const answers = Array.from({ length: 50 }, async (_, n) => {
        const ws = new WebSocket(`ws://127.0.0.1:${port}/`);
        ws.addEventListener("open", () => ws.send(String(n)));
        const [{ data }] = (await once(ws, "message")) as [{ data: string }];
        ws.close();
        return data;
      });
      assert.deepEqual(
        await Promise.all(answers),
        answers.map((_, n) => `anon ${n}`),
      );
    }
  } finally {
    const gone = once(child, "exit");
    child.kill();
    await gone;
    gateway.close();
    gateway.closeAllConnections();
    await rm(folder, { recursive: true });
  }
});

test("a process that has ended takes no socket", async () => {
  const child = fork("/dev/null");
  await once(child, "exit");
  const request = { url: "/", headers: {} } as never;
  assert.equal(
    handOver(child, request, new (await import("node:net")).Socket(), Buffer.alloc(0), "anon"),
    false,
  );
});
