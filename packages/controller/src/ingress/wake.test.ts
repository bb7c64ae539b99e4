import assert from "node:assert/strict";
import { test } from "vitest";
import type { CallerRefusal, WakeResult } from "../contract.ts";
import { caller, STRANGER } from "./caller.ts";
import { waker } from "./wake.ts";

const KEY = caller("key", "lp_secret");

function rig(result: WakeResult, refusal?: CallerRefusal) {
  let claims = 0;
  const asked: string[] = [];
  const wake = waker({
    database: {
      wakeDeployment: async (agentId, cause, credential) => {
        asked.push([agentId, cause, credential].join(" "));
        return result;
      },
      judgeToken: async (agentId, token) => {
        asked.push(`${agentId} judged ${token}`);
        return refusal;
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
  assert.deepEqual(await waking.wake("a", STRANGER), { state: "waking" });
  assert.deepEqual([waking.asked, waking.claims()], [["a anonymous "], 1]);
  const awake = rig({ state: "awake", phase: "DEPLOYED", generation: 2 });
  assert.deepEqual(await awake.wake("a", KEY), { state: "awake" });
  assert.equal(awake.claims(), 0);
});

test("a refusal is the caller's answer as the database says it", async () => {
  const { claims, wake } = rig(refused({ details: { retryAfterSeconds: 12.2, resumesAt: "…" } }));
  assert.deepEqual(await wake("a", KEY), {
    state: "refused",
    status: 402,
    code: "BUDGET_EXHAUSTED",
    message: "The budget is used up.",
    retryAfterSeconds: 13,
  });
  assert.equal(claims(), 0);
  const conflict = await rig(refused({ status: 409, code: "CONFLICT", message: "Stopped." })).wake("a", KEY);
  assert.deepEqual(conflict, { state: "refused", status: 409, code: "CONFLICT", message: "Stopped." });
});

test("an agent that does not start is unavailable, not a fault of the server", async () => {
  const failed = rig(refused({ status: 500, code: "DEPLOYMENT_FAILED", message: "OOMKilled" }));
  assert.deepEqual(await failed.wake("a", KEY), {
    state: "refused",
    status: 503,
    code: "DEPLOYMENT_FAILED",
    message: "OOMKilled",
    retryAfterSeconds: 60,
  });
});

test("keys and origins are judged by the database as it wakes, a token before it", async () => {
  const { asked, wake } = rig({ state: "waking", phase: "WAKING", generation: 2 });
  await wake("a", KEY);
  await wake("a", caller("origin", "https://app.example.com"));
  await wake("a", caller("token", "t"));
  assert.deepEqual(asked, [
    "a key lp_secret",
    "a preflight https://app.example.com",
    "a judged t",
    "a request ",
  ]);
});

test("a token that lets nobody in wakes nothing, and is refused to its bearer alone", async () => {
  const refusal = { status: 401, code: "INVALID_API_KEY", message: "The token is invalid." };
  const { asked, claims, wake } = rig({ state: "waking", phase: "WAKING", generation: 2 }, refusal);
  assert.deepEqual(await wake("a", caller("token", "forged")), {
    state: "refused",
    ofCaller: true,
    ...refusal,
  });
  assert.deepEqual([asked, claims()], [["a judged forged"], 0]);
});

test("a wrong key is refused to whoever shows it, a used-up budget to everybody", async () => {
  const wrong = await rig(refused({ status: 401, code: "INVALID_API_KEY" })).wake("a", KEY);
  const spent = await rig(refused({})).wake("a", KEY);
  assert.deepEqual(
    [wrong, spent].map((answer) => "ofCaller" in answer && answer.ofCaller),
    [true, false],
  );
});
