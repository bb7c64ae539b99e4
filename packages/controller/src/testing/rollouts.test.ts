// A new image over a fleet, under a clock: in waves, stopped by failures, through crashes and with two controllers.
import assert from "node:assert/strict";
import { test } from "vitest";
import { KubeError } from "../cluster/kubernetes/api.ts";
import { FORM } from "../cluster/kubernetes/manifests/form.ts";
import { ANNOTATIONS, LABELS } from "../cluster/kubernetes/names.ts";
import type { KubernetesSimulation } from "./kubernetes-simulation.ts";
import { specOf } from "./memory-database.ts";
import { AGENTS, agentsOn, BAD, BETTER, fleet, GOOD, serving } from "./rollout-fleet.ts";

/** Advances a second at a time, and calls `see` after each. */
async function watch(simulation: KubernetesSimulation, seconds: number, see: () => void): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await simulation.clock.advance(1000);
    see();
  }
}

const phases = ({ database }: KubernetesSimulation) =>
  new Set([...database.rows.values()].map(({ phase }) => phase));

test("a new image comes a tenth at a time, each wave after the last is ready, and nobody stops serving", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  const seen: number[] = [];
  simulation.image = BETTER;
  await watch(simulation, 600, () => {
    assert.equal(serving(simulation), AGENTS);
    const on = agentsOn(simulation, BETTER);
    assert.ok(on.size - agentsOn(simulation, BETTER, true).size <= 2, "one wave at most is under way");
    if (on.size !== seen.at(-1)) seen.push(on.size);
  });
  assert.equal(agentsOn(simulation, BETTER, true).size, AGENTS);
  assert.equal(agentsOn(simulation, GOOD).size, 0);
  assert.ok(seen.length >= 10, `in waves: ${seen.join(" ")}`);
  assert.equal(simulation.database.rollouts.state, null);
  assert.deepEqual(phases(simulation), new Set(["DEPLOYED"]));
  const written = simulation.model.writes.length;
  await simulation.clock.advance(200_000);
  assert.equal(simulation.model.writes.length, written, "nothing more is written");
});

test("pods that a new version of the controllers makes otherwise come in waves too, and new keys at once", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  const { clock, database, model } = simulation;
  const legacy = () =>
    new Set(
      model
        .all("Pod")
        .filter(({ spec }) => JSON.stringify(spec).includes("LEGACY"))
        .map(({ metadata }) => metadata.labels?.[LABELS.agent]),
    ).size;
  const remake = (name: string, change: (annotations: Record<string, string>) => void) => {
    const [home] = model.all("Deployment").filter(({ metadata }) => metadata.name === name);
    model.edit(
      "Deployment",
      home?.metadata.namespace ?? "",
      name,
      "agent-launchpad",
      ({ metadata, spec }) => {
        change(metadata.annotations ?? assert.fail());
        const { template } = spec as { template: { spec: { containers: { env: object[] }[] } } };
        template.spec.containers[0]?.env.push({ name: "LEGACY", value: "1" });
      },
    );
  };
  // The version before this one made them so.
  simulation.restart();
  const names = Array.from({ length: AGENTS }, (_, index) => `agent-${index}`);
  for (const name of names)
    remake(name, (annotations) => {
      annotations[ANNOTATIONS.form] = "0000000000000000";
      if (name === "agent-19") annotations[ANNOTATIONS.setup] = "with a key that is dead";
    });
  await clock.advance(120_000);
  assert.equal(legacy(), AGENTS - 1, "only the one whose keys are others");
  assert.deepEqual(phases(simulation), new Set(["DEPLOYED"]));
  database.update("agent-0", { model: "better" });
  simulation.hint();
  await clock.advance(60_000);
  assert.equal(legacy(), AGENTS - 2, "what its owner changes is made by the new version");

  simulation.form = FORM;
  const seen: number[] = [];
  await watch(simulation, 600, () => {
    assert.equal(serving(simulation), AGENTS);
    if (legacy() !== seen.at(-1)) seen.push(legacy());
  });
  assert.equal(legacy(), 0);
  assert.ok(seen.length >= 9, `in waves: ${seen.join(" ")}`);
  const written = model.writes.length;
  await clock.advance(200_000);
  assert.equal(model.writes.length, written, "nothing more is written");
});

test("a bad image reaches the first wave alone, all agents serve on, and a good one then reaches all", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  simulation.image = BAD;
  await watch(simulation, 900, () => {
    assert.ok(agentsOn(simulation, BAD).size <= 2);
    assert.equal(serving(simulation), AGENTS);
  });
  const halted = simulation.database.rollouts.state;
  assert.equal(halted?.state, "halted");
  assert.match(halted?.reason ?? "", /did not become ready; their old replicas serve on/);
  assert.deepEqual(phases(simulation), new Set(["DEPLOYED"]), "no agent is FAILED for it");
  for (const { life } of simulation.sites) {
    assert.match(life?.controller.guard.notes.join() ?? "", /rollout of runtime:bad is halted in wave 1/);
  }

  simulation.image = BETTER;
  await watch(simulation, 600, () => assert.equal(serving(simulation), AGENTS));
  assert.equal(agentsOn(simulation, BETTER, true).size, AGENTS);
  assert.deepEqual([agentsOn(simulation, BAD).size, agentsOn(simulation, GOOD).size], [0, 0]);
});

for (const code of ["INVALID", "FORBIDDEN"] as const) {
  test(`pods that the API server refuses (${code}) stop in the first wave, no agent is FAILED; undo brings all back`, async (context) => {
    const simulation = await fleet(1, 1);
    context.onTestFinished(() => simulation.stop());
    simulation.model.judge = (wanted) =>
      wanted.kind === "Deployment" && JSON.stringify(wanted).includes(BAD)
        ? new KubeError(code, "images of this registry are not allowed")
        : undefined;
    simulation.image = BAD;
    await watch(simulation, 300, () => {
      assert.deepEqual(phases(simulation), new Set(["DEPLOYED"]));
      assert.equal(serving(simulation), AGENTS);
    });
    const { rollouts } = simulation.database;
    assert.deepEqual([rollouts.state?.state, rollouts.state?.wave, rollouts.state?.failed], ["halted", 1, 2]);
    assert.match(rollouts.state?.problem ?? "", /images of this registry are not allowed/);
    simulation.restart();
    await simulation.clock.advance(400_000);
    assert.deepEqual(phases(simulation), new Set(["DEPLOYED"]), "another controller fails none either");

    rollouts.operate("undo");
    await simulation.clock.advance(400_000);
    assert.deepEqual(
      [...simulation.database.rows.values()].map(({ platformSeen }) => platformSeen?.state),
      Array(AGENTS).fill("ready"),
    );
    simulation.model.judge = () => undefined;
    simulation.image = BETTER;
    await simulation.clock.advance(600_000);
    assert.equal(agentsOn(simulation, BETTER, true).size, AGENTS);
  });
}

test("owners' changes and launches go on during a halted rollout, with the proven image", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  const { clock, database } = simulation;
  simulation.image = BAD;
  await clock.advance(600_000);
  const untouched =
    [...database.rows.keys()].find((agentId) => !agentsOn(simulation, BAD).has(agentId)) ?? "";
  const from = clock.now();
  database.update(untouched, { model: "better" });
  database.launch("agent-new", specOf(), 1, "user-0");
  simulation.hint();
  while (database.row(untouched).phase !== "DEPLOYED" || database.row("agent-new").phase !== "DEPLOYED") {
    await clock.advance(100);
    assert.ok(clock.now() - from < 5000, "a change of one agent waits for no wave");
  }
  assert.ok(agentsOn(simulation, GOOD, true).has("agent-new"));
  assert.equal(agentsOn(simulation, BAD).size, 2);
});

test("undone: those of the wave go back, and nothing begins again until another image is set", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  simulation.image = BAD;
  await simulation.clock.advance(600_000);
  simulation.database.rollouts.operate("undo");
  await watch(simulation, 600, () => assert.equal(serving(simulation), AGENTS));
  assert.equal(agentsOn(simulation, BAD).size, 0);
  assert.equal(agentsOn(simulation, GOOD, true).size, AGENTS);
});

test("while the controllers disagree about the image nothing is rolled out", async (context) => {
  const simulation = await fleet();
  context.onTestFinished(() => simulation.stop());
  const [first, second] = simulation.sites;
  assert.ok(first && second);
  first.image = BETTER;
  await simulation.clock.advance(120_000);
  assert.equal(agentsOn(simulation, BETTER).size, 0);
  second.image = BETTER;
  await simulation.clock.advance(600_000);
  assert.equal(agentsOn(simulation, BETTER, true).size, AGENTS);
});
