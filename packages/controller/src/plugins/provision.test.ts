// Plugins whose packages' vulnerabilities have to be known first: the database has them looked up, the controller waits.
import assert from "node:assert/strict";
import { test } from "vitest";
import { createLog } from "../log.ts";
import { specOf } from "../testing/memory-database.ts";
import { SimulatedClock } from "../testing/simulated-clock.ts";
import type { PluginDatabase } from "./database.ts";
import { Provisioner } from "./provision.ts";
import type { Resolution } from "./resolve.ts";

type Answer = Awaited<ReturnType<PluginDatabase["record"]>>;
const due: Answer = { accepted: false, reason: "ADVISORIES_DUE", message: "not known" };
const accepted: Answer = {
  accepted: true,
  resolved: { tree: "a".repeat(64), engine: "2.0.0", plugins: [] },
};

/** Begins to provide plugins; the database answers in this order, the last one for good. */
async function begin(answers: Answer[]) {
  const clock = new SimulatedClock();
  let asked = 0;
  const provisioner = new Provisioner({
    database: {
      record: async () => answers[Math.min(asked++, answers.length - 1)] as Answer,
    } as Partial<PluginDatabase> as PluginDatabase,
    store: { provide: async () => "/store", progress: () => undefined },
    clock,
    log: createLog(() => {}, "error"),
    resolve: async () => ({ id: "a".repeat(64), tree: {} }) as Resolution,
  });
  const claim = { agentId: "agent-a", spec: { ...specOf(), plugins: ["x@1.0.0"] } };
  const provisioning = provisioner.begin(claim as Parameters<Provisioner["begin"]>[0], () => {});
  assert.ok(provisioning);
  await clock.advance(0);
  return { clock, provisioning, asked: () => asked };
}

test("an installation waits for the look-up that the database asked for, and says so", async () => {
  const { clock, provisioning, asked } = await begin([due, due, accepted]);
  assert.deepEqual(provisioning.current, {
    state: "pending",
    message: "Installing plugins: looking up known vulnerabilities of their packages",
  });
  await clock.advance(1000);
  assert.equal(provisioning.current.state, "ready");
  assert.equal(asked(), 3);
});

test("a look-up that failed refuses the plugins with its reason", async () => {
  const error = "The advisory source answered 405";
  const { clock, provisioning } = await begin([due, { ...due, error }]);
  await clock.advance(1000);
  assert.ok(provisioning.current.state === "failed");
  assert.equal(provisioning.current.failure.reason, "PLUGIN_NOT_ALLOWED");
  assert.match(
    provisioning.current.failure.message,
    /this failed: The advisory source answered 405\. Restart/,
  );
});

test("a function that does not answer refuses the plugins after a minute and a half", async () => {
  const { clock, provisioning } = await begin([due]);
  const state = () => provisioning.current.state;
  await clock.advance(80_000);
  assert.equal(state(), "pending");
  await clock.advance(20_000);
  assert.ok(provisioning.current.state === "failed");
  assert.match(provisioning.current.failure.message, /`upkeep` has not answered/);
});
