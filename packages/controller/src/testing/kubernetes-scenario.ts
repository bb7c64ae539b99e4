// One seeded run of controllers over the model of Kubernetes.

import assert from "node:assert/strict";
import type { Kind, KubeObject } from "../cluster/kubernetes/api.ts";
import { LABELS } from "../cluster/kubernetes/names.ts";
import { templateOf } from "../reconcile/template.ts";
import { isReady } from "./kubernetes-controllers.ts";
import { KubernetesSimulation } from "./kubernetes-simulation.ts";
import { specOf } from "./memory-database.ts";

const MODELS = ["good", "better", "crash", "fatal"];
const CLASSES = [
  { runtimeClassName: "gvisor" },
  { runtimeClassName: "kata", hostUsers: false },
  { labels: { a: "b" } },
];
const POLICIES = [null, null, { min_replicas: 2, max_replicas: 4 }];

const KINDS = [
  "Deployment",
  "ReplicaSet",
  "Pod",
  "Service",
  "Secret",
  "ConfigMap",
  "ServiceAccount",
  "HorizontalPodAutoscaler",
  "PodDisruptionBudget",
  "Ingress",
] as const satisfies Kind[];

function ofAgent(simulation: KubernetesSimulation, kind: Kind, agentId: string): KubeObject[] {
  return simulation.model.all(kind).filter(({ metadata }) => metadata.labels?.[LABELS.agent] === agentId);
}

/** A person at work in the cluster: changes or removes something of ours. */
function meddle(simulation: KubernetesSimulation, agentId: string): void {
  const { model, random } = simulation;
  const kind = KINDS[Math.floor(random() * KINDS.length)] ?? "Deployment";
  const [object] = ofAgent(simulation, kind, agentId);
  if (object === undefined) return;
  const { namespace = "", name } = object.metadata;
  const fate = random();
  if (fate < 0.4 && kind !== "ReplicaSet") model.remove(kind, namespace, name);
  else if (kind === "Deployment") {
    model.edit(kind, namespace, name, "kubectl-edit", (edited) => {
      const spec = edited.spec as {
        replicas: number;
        paused?: boolean;
        template: { spec: { containers: { image: string; env: { name: string; value?: string }[] }[] } };
      };
      const [container] = spec.template.spec.containers;
      if (fate < 0.55) spec.replicas = 7;
      else if (fate < 0.7 && container !== undefined) container.image = "somebody/else";
      else if (fate < 0.85) container?.env.push({ name: "EXTRA", value: "1" });
      else spec.paused = true;
    });
  } else if (kind === "Service" || kind === "PodDisruptionBudget") {
    model.edit(kind, namespace, name, "kubectl-edit", (edited) => {
      if (fate < 0.7) edited.metadata.labels = {};
      else (edited.spec as { selector: unknown }).selector = { app: "other" };
    });
  }
}

/**
 * Thirty steps of people, faults and time, then calm; then everything is as the last wish says, and nothing is written any more.
 * @throws {AssertionError} what is not
 */
export async function run(seed: number, { controllers }: { controllers: number }): Promise<void> {
  const simulation = new KubernetesSimulation(seed, controllers);
  const { clock, database, random } = simulation;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const agents: string[] = [];
  database.setClass("sandboxed", pick(CLASSES));
  for (let step = 0; step < 30; step += 1) {
    const verb = random();
    if (agents.length < 3 && (verb < 0.3 || agents.length === 0)) {
      const agentId = `agent-${agents.length}`;
      agents.push(agentId);
      database.launch(
        agentId,
        specOf({ model: pick(MODELS), scalingPolicy: pick(POLICIES) }),
        1 + Math.floor(random() * 3),
      );
    } else {
      const agentId = pick(agents);
      if (verb < 0.45) database.scale(agentId, 1 + Math.floor(random() * 4));
      else if (verb < 0.6) database.update(agentId, { model: pick(MODELS), scalingPolicy: pick(POLICIES) });
      else if (verb < 0.67) database.restart(agentId);
      else if (verb < 0.73) database.stop(agentId);
      else if (verb < 0.81) database.startAgain(agentId);
      else if (verb < 0.83) database.delete(agentId);
      else if (verb < 0.85) database.setClass("sandboxed", pick(CLASSES));
      else if (verb < 0.86) database.assign("user", pick(["sandboxed", "default"]));
      else if (verb < 0.87) simulation.pause(Math.floor(random() * controllers), random() * 40_000);
      else if (verb < 0.89) {
        const [pod] = ofAgent(simulation, "Pod", agentId);
        if (pod !== undefined) simulation.nodes.kill(pod.metadata.namespace ?? "", pod.metadata.name);
      } else meddle(simulation, agentId);
    }
    simulation.hint();
    await clock.advance(random() * 6000);
    for (const row of database.rows.values()) assert.ok(row.observedGeneration <= row.generation);
  }
  await simulation.calm(700_000);
  const written = simulation.model.writes.length;
  await clock.advance(200_000);
  assert.deepEqual(simulation.model.writes.slice(written), [], "all is as it should be: nothing is written");

  for (const agentId of agents) check(simulation, agentId);
  await simulation.stop();
}

function check(simulation: KubernetesSimulation, agentId: string): void {
  const row = simulation.database.row(agentId);
  const pods = ofAgent(simulation, "Pod", agentId);
  const template = templateOf(row.spec, row.restarts);
  assert.equal(row.observedGeneration, row.generation, `${agentId}: the last wish was seen`);
  if (row.desired !== "running") {
    assert.equal(row.phase, row.desired === "stopped" ? "STOPPED" : "DELETED", `${agentId}: phase`);
    for (const kind of KINDS) assert.deepEqual(ofAgent(simulation, kind, agentId), [], `${agentId}: ${kind}`);
    return;
  }
  const labels = pods.map(({ metadata }) => metadata.labels?.[LABELS.template]);
  if (row.spec.model === "crash" || row.spec.model === "fatal") {
    assert.equal(row.phase, "FAILED", `${agentId}: phase`);
    assert.ok(!labels.includes(template), `${agentId}: a failed one rests`);
    assert.ok(row.reason === "CRASH_LOOP" || row.reason === "PLUGIN_NOT_FOUND", `${agentId}: ${row.reason}`);
    return;
  }
  assert.equal(row.phase, "DEPLOYED", `${agentId}: phase (${row.reason})`);
  const policy = row.spec.scalingPolicy as { min_replicas: number; max_replicas: number } | null;
  const [least, most] =
    policy === null ? [row.targetReplicas, row.targetReplicas] : [policy.min_replicas, policy.max_replicas];
  assert.ok(
    pods.length >= least && pods.length <= most,
    `${agentId}: ${pods.length} of ${least}–${most} pods`,
  );
  assert.ok(pods.every(isReady) && labels.every((label) => label === template), `${agentId}: all ready`);
  const { database } = simulation;
  const { runtimeClassName } =
    database.agentClasses.get(database.userClasses.get(row.userId) ?? "default") ?? {};
  for (const { spec } of pods)
    assert.equal(
      (spec as { runtimeClassName?: string }).runtimeClassName,
      runtimeClassName,
      `${agentId}: class`,
    );
  assert.equal(row.readyReplicas, pods.length, `${agentId}: reported`);
  for (const kind of ["Secret", "ConfigMap", "Deployment", "Service", "ServiceAccount", "Ingress"] as const) {
    assert.equal(ofAgent(simulation, kind, agentId).length, 1, `${agentId}: one ${kind}`);
  }
  assert.equal(ofAgent(simulation, "HorizontalPodAutoscaler", agentId).length, policy === null ? 0 : 1);
  const [deployment] = ofAgent(simulation, "Deployment", agentId);
  const text = JSON.stringify(deployment);
  for (const edit of ["somebody/else", "EXTRA", "paused"])
    assert.ok(!text.includes(edit), `${agentId}: ${edit}`);
}
