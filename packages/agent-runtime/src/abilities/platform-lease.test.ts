import assert from "node:assert/strict";
import { test } from "vitest";
import type { Project } from "../project.ts";
import { createPlatformLease } from "./platform-lease.ts";

/** A lease that is asked for every 20 ms and lasts 200, and what its listener hears. */
function leaseOf(answer: () => Promise<{ held: boolean }>) {
  const changes: { held: boolean; at: number }[] = [];
  const heard = Promise.withResolvers<void>();
  const lease = createPlatformLease({
    agentId: "agent-1",
    replica: "a",
    project: { call: answer } as unknown as Project,
    credential: () => "c",
    everyMs: 20,
    leaseMs: 200,
    warn: () => undefined,
  });
  const start = () =>
    lease.start((held) => {
      changes.push({ held, at: performance.now() });
      heard.resolve();
    });
  return { lease, start, changes, heard: heard.promise };
}

test("a replica that cannot ask keeps its platforms for a while, and gives them up before the lease is over", async () => {
  let last = 0;
  let isCut = false;
  const { lease, start, changes, heard } = leaseOf(async () => {
    if (isCut) throw new Error("cut off");
    last = performance.now();
    return { held: true };
  });
  assert.equal(await start(), true);
  isCut = true;
  await heard;
  assert.equal(changes[0]?.held, false);
  assert.ok((changes[0]?.at ?? 0) - last > 100, "a short disturbance costs nothing");
  isCut = false;
  while (changes.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(changes[1]?.held, true, "and gets them back");
  await lease.stop();
});
