// What a controller at rest lists: nothing that grows with the fleet.
import assert from "node:assert/strict";
import { test } from "vitest";
import { LABELS } from "../cluster/kubernetes/names.ts";
import { KubernetesSimulation } from "./kubernetes-simulation.ts";
import { specOf } from "./memory-database.ts";

const RESYNC_MS = 60_000;

/** A controller with one agent for each of so many users, all deployed, and a count of its lists by kind. */
async function atRest(users: number) {
  const simulation = new KubernetesSimulation(1, 1);
  simulation.faults.on = false;
  const { clock, database, model } = simulation;
  for (let index = 0; index < users; index += 1)
    database.launch(`agent-${index}`, specOf({ model: "good" }), 1, `user-${index}`);
  await clock.advance(2 * RESYNC_MS);
  for (let index = 0; index < users; index += 1)
    assert.equal(database.row(`agent-${index}`).phase, "DEPLOYED");
  const lists = new Map<string, number>();
  const list = model.list.bind(model);
  model.list = (kind, query) => {
    lists.set(kind, (lists.get(kind) ?? 0) + 1);
    return list(kind, query);
  };
  return { simulation, lists };
}

test("a resync over 80 namespaces lists Secrets and ConfigMaps at most 75 times, and no other kind", async () => {
  const { simulation, lists } = await atRest(80);
  const { clock, model } = simulation;
  await clock.advance(RESYNC_MS);
  assert.deepEqual([...lists.keys()].sort(), ["ConfigMap", "Secret"]);
  // Sixty turns, of which the quickest take four fifths of the time.
  for (const [kind, count] of lists) assert.ok(count <= 75, `${count} lists of ${kind}`);

  // Each namespace gets its turn.
  const secrets = model.all("Secret").map(({ metadata: { name, namespace = "" } }) => ({ name, namespace }));
  for (const { name, namespace } of secrets) model.remove("Secret", namespace, name);
  await clock.advance(3 * RESYNC_MS);
  for (const { name, namespace } of secrets) assert.ok(model.get("Secret", namespace, name), namespace);
  await simulation.stop();
});

test("a Secret that comes late, after its agent is gone, is removed beside agents that stay", async () => {
  const { simulation } = await atRest(3);
  const { clock, database, model } = simulation;
  database.launch("agent-9", specOf({ model: "good" }), 1, "user-0");
  await clock.advance(2 * RESYNC_MS);
  const late = model.all("Secret").find(({ metadata }) => metadata.labels?.[LABELS.agent] === "agent-9");
  assert.ok(late);
  database.delete("agent-9");
  await clock.advance(15_000);
  const { name, namespace = "", labels = {} } = late.metadata;
  assert.equal(model.get("Secret", namespace, name), undefined);
  // A call that was given up takes effect.
  model.apply({ apiVersion: "v1", kind: "Secret", metadata: { name, namespace, labels } });
  await clock.advance(4 * RESYNC_MS);
  assert.equal(model.get("Secret", namespace, name), undefined);
  assert.equal(database.row("agent-0").phase, "DEPLOYED");
  await simulation.stop();
});

test("a Secret that a new pod misses is put back within ten seconds, whoever's turn it is", async () => {
  const { simulation } = await atRest(3);
  const { clock, model } = simulation;
  // The turn has just been.
  await clock.advance(2 * RESYNC_MS);
  const [secret] = model.all("Secret");
  const { name, namespace = "" } = secret?.metadata ?? assert.fail();
  model.remove("Secret", namespace, name);
  for (const pod of model.all("Pod"))
    if (pod.metadata.namespace === namespace) model.remove("Pod", namespace, pod.metadata.name);
  await clock.advance(10_000);
  assert.ok(model.get("Secret", namespace, name));
  await simulation.stop();
});
