// Where the program listens: pods of IPv6-only, IPv4-only and dual-stack clusters all ask it.
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "vitest";
import { startAgent } from "../testing/agent.ts";

const families = Object.values(networkInterfaces()).flatMap((list) =>
  (list ?? []).filter(({ internal }) => internal).map(({ family }) => family),
);

test("HOST=:: is reached by both protocols", async () => {
  await using agent = await startAgent({ environment: { HOST: "::" } });
  const { port } = new URL(agent.url);
  for (const [family, host] of [
    ["IPv4", "127.0.0.1"],
    ["IPv6", "[::1]"],
  ] as const) {
    if (!families.includes(family)) continue;
    const answer = await fetch(`http://${host}:${port}/health`);
    assert.equal(answer.status, 200, host);
    await answer.body?.cancel();
  }
});

test("HOST=::1 is not reached by IPv4", { skip: !families.includes("IPv6") }, async () => {
  await using agent = await startAgent({ environment: { HOST: "::1" } });
  const { port } = new URL(agent.url);
  const answer = await fetch(`http://[::1]:${port}/health`);
  assert.equal(answer.status, 200);
  await answer.body?.cancel();
  await assert.rejects(fetch(`http://127.0.0.1:${port}/health`));
});
