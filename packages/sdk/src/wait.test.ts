import assert from "node:assert/strict";
import { test } from "vitest";
import type { Agents } from "./agents.ts";
import type { AgentEvent } from "./rows.ts";
import { waitUntil } from "./wait.ts";
import type { AgentUpdate, AgentWatchOptions, Watching } from "./watching.ts";

const timestamp = "2026-01-01T00:00:00Z";

/** Tells what was read, as one look does: the status first, then the history. */
async function progressOf(...updates: AgentUpdate[]): Promise<string[]> {
  const watching = {
    agent(_id: string, tell: (update: AgentUpdate) => void, options: AgentWatchOptions) {
      queueMicrotask(() => {
        for (const update of updates) tell(update);
        options.onCaughtUp?.();
      });
      return () => {};
    },
  } as unknown as Watching;
  const agents = { getStatus: async () => ({ status: "DEPLOYED" }) } as unknown as Agents;
  const seen: string[] = [];
  await waitUntil(agents, watching, "a", ["DEPLOYED", "DELETED"], {
    onProgress: (update) => {
      seen.push(update.type === "status" ? update.status : update.type);
      if (update.type === "status") assert.equal(update.timestamp, timestamp);
    },
  });
  return seen;
}

const status = (is: "DEPLOYING" | "DEPLOYED" | "DELETED"): AgentUpdate => ({
  type: "status",
  agentId: "a",
  status: is,
  timestamp,
});
const event = (to_phase: string): AgentUpdate => ({
  type: "event",
  agentId: "a",
  event: { to_phase, timestamp } as AgentEvent,
});

test("the status that was waited for is told, also where the history alone has it yet", async () => {
  assert.deepEqual(await progressOf(status("DEPLOYING"), event("DEPLOYED")), [
    "DEPLOYING",
    "event",
    "DEPLOYED",
  ]);
});

test("it is told once", async () => {
  assert.deepEqual(await progressOf(status("DEPLOYED"), event("DEPLOYED")), ["DEPLOYED", "event"]);
  assert.deepEqual(await progressOf(event("DELETED"), status("DELETED")), ["event", "DELETED"]);
});
