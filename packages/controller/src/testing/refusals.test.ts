// Refusals of the API server on the model of Kubernetes: a bad minute fails nobody, a verdict is tried again.
import assert from "node:assert/strict";
import { test } from "vitest";
import { KubeError, type KubeObject } from "../cluster/kubernetes/api.ts";
import { KubernetesSimulation } from "./kubernetes-simulation.ts";
import { specOf } from "./memory-database.ts";

const AGENTS = 10;

async function fleet(): Promise<KubernetesSimulation> {
  const simulation = new KubernetesSimulation(1, 1);
  simulation.faults.on = false;
  for (let index = 0; index < AGENTS; index += 1) simulation.database.launch(`agent-${index}`, specOf());
  await simulation.clock.advance(60_000);
  return simulation;
}

const phases = ({ database }: KubernetesSimulation) => [...database.rows.values()].map(({ phase }) => phase);
const ofDeployments = (error: KubeError) => (wanted: KubeObject) =>
  wanted.kind === "Deployment" ? error : undefined;

test("an update of all agents while a policy engine errs for a minute: none FAILED, all DEPLOYED", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  const { clock, database, model } = simulation;
  model.judge = ofDeployments(new KubeError("BUSY", "not yet ready to handle request", { status: 403 }));
  for (const agentId of database.rows.keys()) database.update(agentId, { model: "better" });
  simulation.hint();
  await clock.advance(60_000);
  for (const { reason, message } of database.rows.values()) {
    assert.equal(reason, "RETRYING");
    assert.match(message ?? "", /not yet ready to handle request/);
  }
  model.judge = () => undefined;
  await clock.advance(120_000);
  assert.deepEqual(phases(simulation), Array(AGENTS).fill("DEPLOYED"));
  assert.ok([...database.rows.values()].every(({ reason }) => reason === undefined));
  assert.ok(!database.transitions.some((one) => one.endsWith("FAILED")), database.transitions.join());
});

for (const [code, reason] of [
  ["FORBIDDEN", "FORBIDDEN_BY_POLICY"],
  ["INVALID", "INVALID_OBJECT"],
  ["QUOTA", "QUOTA_EXCEEDED"],
] as const) {
  test(`${code} for half an hour: FAILED once with ${reason}, tried every few minutes, then DEPLOYED`, async (context) => {
    const simulation = await fleet();
    context.onTestFinished(() => simulation.stop());
    const { clock, database, model } = simulation;
    let asked = 0;
    model.judge = (wanted) => {
      if (wanted.kind !== "Deployment") return undefined;
      asked += 1;
      return new KubeError(code, "no agents on Fridays");
    };
    for (const agentId of database.rows.keys()) database.update(agentId, { model: "better" });
    simulation.hint();
    await clock.advance(1_800_000);
    assert.deepEqual(phases(simulation), Array(AGENTS).fill("FAILED"));
    assert.ok([...database.rows.values()].every((row) => row.reason === reason));
    assert.ok(
      [...database.rows.values()].every(({ readyReplicas }) => readyReplicas === 1),
      "what served serves on",
    );
    assert.ok(asked / AGENTS >= 4 && asked / AGENTS <= 12, `${asked / AGENTS} attempts each`);
    assert.equal(database.transitions.filter((one) => one.endsWith("FAILED")).length, AGENTS, "told once");

    // The controller that remembers the refusal may be gone by then.
    if (code === "QUOTA") simulation.restart();
    model.judge = () => undefined;
    await clock.advance(400_000);
    assert.deepEqual(phases(simulation), Array(AGENTS).fill("DEPLOYED"));
  });
}

test("a namespace that is deleted and stays: its agents are FAILED with the reason, and DEPLOYED once it is gone", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  const { clock, database, model } = simulation;
  const rows = () => [...database.rows.values()];
  model.stuck.add("agents-user");
  model.remove("Namespace", "", "agents-user");
  await clock.advance(30_000);
  assert.deepEqual(phases(simulation), Array(AGENTS).fill("DEPLOYED"), "it may go any moment");
  for (const { conditions, readyReplicas } of rows()) {
    assert.equal(readyReplicas, 0);
    assert.equal(conditions.find(({ type }) => type === "Available")?.status, "False");
    assert.equal(conditions.find(({ type }) => type === "ReplicaFailure")?.reason, "NamespaceTerminating");
  }
  // One of them is deleted, one stopped meanwhile; the controller that saw all this may be gone.
  database.delete("agent-0");
  database.stop("agent-1");
  simulation.restart();
  const from = model.writes.length;
  await clock.advance(900_000);
  assert.deepEqual(phases(simulation), ["DELETED", "STOPPED", ...Array(AGENTS - 2).fill("FAILED")]);
  assert.ok(
    rows()
      .slice(2)
      .every(({ reason }) => reason === "NamespaceTerminating"),
  );
  assert.ok(model.writes.length - from <= 2 * AGENTS, `${model.writes.length - from} writes in vain`);
  assert.equal(database.transitions.filter((one) => one.endsWith("FAILED")).length, AGENTS - 2, "told once");

  model.stuck.clear();
  model.changed();
  await clock.advance(120_000);
  assert.deepEqual(phases(simulation).slice(2), Array(AGENTS - 2).fill("DEPLOYED"));
  assert.ok(
    rows()
      .slice(2)
      .every(({ readyReplicas }) => readyReplicas === 1),
  );
});

test("a paused agent, or all of a paused namespace: nothing is written until a person resumes it", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  const { clock, database, model } = simulation;
  const pause =
    (value: string | undefined) =>
    ({ metadata }: KubeObject) => {
      const { "agent-launchpad.dev/paused": _, ...others } = metadata.annotations ?? {};
      metadata.annotations =
        value === undefined ? others : { ...others, "agent-launchpad.dev/paused": value };
    };
  model.edit("Deployment", "agents-user", "agent-0", "kubectl-edit", pause("true"));
  await clock.advance(1000);
  database.update("agent-0", { model: "better" });
  database.update("agent-1", { model: "better" });
  model.remove("Service", "agents-user", "agent-0");
  simulation.hint();
  const from = model.writes.length;
  await clock.advance(600_000);
  assert.ok(!model.writes.slice(from).some((write) => write.includes("/agent-0")), "hands off");
  assert.equal(database.row("agent-0").phase, "UPDATING");
  assert.equal(database.row("agent-1").phase, "DEPLOYED");
  assert.ok(database.row("agent-0").conditions.some(({ type }) => type === "Paused"));
  model.edit("Deployment", "agents-user", "agent-0", "kubectl-edit", pause(undefined));
  await clock.advance(120_000);
  assert.equal(database.row("agent-0").phase, "DEPLOYED");
  assert.ok(model.get("Service", "agents-user", "agent-0"));

  model.edit("Namespace", "", "agents-user", "kubectl-edit", pause("true"));
  await clock.advance(1000);
  for (const agentId of database.rows.keys()) database.delete(agentId);
  simulation.hint();
  await clock.advance(600_000);
  assert.equal(model.all("Deployment").length, AGENTS);
  model.edit("Namespace", "", "agents-user", "kubectl-edit", pause(undefined));
  await clock.advance(600_000);
  assert.equal(model.all("Deployment").length, 0);
});

test("what was missing while its agent rested is put back, and the rollout's time runs from then", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  const { clock, database, model } = simulation;
  database.update("agent-0", { model: "better" });
  simulation.hint();
  await clock.advance(40);
  assert.equal(database.row("agent-0").phase, "UPDATING");
  // Somebody removes the configuration, and a policy engine errs when it is made again.
  const wanted = model.get("Deployment", "agents-user", "agent-0")?.spec as {
    template: { spec: { volumes: { configMap?: { name: string } }[] } };
  };
  const name = wanted.template.spec.volumes.flatMap(({ configMap }) => configMap?.name ?? [])[0] ?? "";
  model.remove("ConfigMap", "agents-user", name);
  for (const { metadata } of model.all("Pod")) {
    if (metadata.labels?.["agent-launchpad.dev/agent"] === "agent-0")
      model.remove("Pod", "agents-user", metadata.name);
  }
  model.judge = (object) =>
    object.kind === "ConfigMap" ? new KubeError("BUSY", "not yet ready to handle request") : undefined;
  await clock.advance(120_000);
  assert.equal(model.get("ConfigMap", "agents-user", name), undefined);
  model.judge = () => undefined;
  await clock.advance(300_000);
  assert.equal(database.row("agent-0").phase, "DEPLOYED");
  assert.ok(!database.transitions.some((one) => one.endsWith("FAILED")), database.transitions.join());
});
