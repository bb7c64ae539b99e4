import assert from "node:assert/strict";
import { test } from "vitest";
import type { WakeResult } from "../contract.ts";
import { waker } from "./wake.ts";

function rig(result: WakeResult) {
  let claims = 0;
  const asked: string[] = [];
  const wake = waker({
    database: {
      wakeDeployment: async (agentId, cause) => {
        asked.push(`${agentId} ${cause}`);
        return result;
      },
    },
    claim: () => {
      claims += 1;
    },
  });
  return { asked, claims: () => claims, wake };
}

const refused = (part: object) =>
  ({
    state: "refused",
    phase: "ASLEEP",
    generation: 3,
    status: 402,
    code: "BUDGET_EXHAUSTED",
    message: "The budget is used up.",
    details: null,
    ...part,
  }) as WakeResult;

test("an agent that wakes is claimed at once, one that is awake is not", async () => {
  const waking = rig({ state: "waking", phase: "WAKING", generation: 2 });
  assert.deepEqual(await waking.wake("a", "anonymous"), { state: "waking" });
  assert.deepEqual([waking.asked, waking.claims()], [["a anonymous"], 1]);
  const awake = rig({ state: "awake", phase: "DEPLOYED", generation: 2 });
  assert.deepEqual(await awake.wake("a", "request"), { state: "awake" });
  assert.equal(awake.claims(), 0);
});

test("a refusal is the caller's answer as the database says it", async () => {
  const { claims, wake } = rig(refused({ details: { retryAfterSeconds: 12.2, resumesAt: "…" } }));
  assert.deepEqual(await wake("a", "request"), {
    state: "refused",
    status: 402,
    code: "BUDGET_EXHAUSTED",
    message: "The budget is used up.",
    retryAfterSeconds: 13,
  });
  assert.equal(claims(), 0);
  const conflict = await rig(refused({ status: 409, code: "CONFLICT", message: "Stopped." })).wake(
    "a",
    "request",
  );
  assert.deepEqual(conflict, { state: "refused", status: 409, code: "CONFLICT", message: "Stopped." });
});

test("an agent that does not start is unavailable, not a fault of the server", async () => {
  const failed = rig(refused({ status: 500, code: "DEPLOYMENT_FAILED", message: "OOMKilled" }));
  assert.deepEqual(await failed.wake("a", "request"), {
    state: "refused",
    status: 503,
    code: "DEPLOYMENT_FAILED",
    message: "OOMKilled",
    retryAfterSeconds: 60,
  });
});
