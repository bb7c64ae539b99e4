// Secrets that an earlier life of a controller left, of an agent of which nothing is seen any more.
import assert from "node:assert/strict";
import { test } from "vitest";
import { LABELS } from "../cluster/kubernetes/names.ts";
import { KubernetesSimulation } from "./kubernetes-simulation.ts";
import { specOf } from "./memory-database.ts";

for (const model of ["fatal", undefined]) {
  const beside = model === undefined ? "no agent" : "an agent that needs nothing done";
  test(`a Secret that is left in a namespace with ${beside} goes, and is looked for once`, async (context) => {
    const simulation = new KubernetesSimulation(1, 1);
    context.onTestFinished(() => simulation.stop());
    simulation.faults.on = false;
    const { clock, database, model: cluster } = simulation;
    database.launch("agent-0", specOf({ model: model ?? "good" }));
    await clock.advance(60_000);
    if (model === undefined) database.stop("agent-0");
    await clock.advance(60_000);
    assert.equal(database.row("agent-0").phase, model === undefined ? "STOPPED" : "FAILED");

    const { metadata } = cluster.all("Namespace")[0] ?? assert.fail();
    const {
      [LABELS.user]: user = "",
      [LABELS.installation]: installation = "",
      ...rest
    } = metadata.labels ?? {};
    const labels = {
      ...rest,
      [LABELS.user]: user,
      [LABELS.installation]: installation,
      [LABELS.agent]: "agent-9",
    };
    const left = { name: "agent-9-0123456789abcdef", namespace: metadata.name, labels };
    cluster.apply({ apiVersion: "v1", kind: "Secret", metadata: left });
    simulation.restart();
    await clock.advance(300_000);
    assert.equal(cluster.get("Secret", left.namespace, left.name), undefined);
    assert.equal(database.row("agent-0").phase, model === undefined ? "STOPPED" : "FAILED");

    let lists = 0;
    const list = cluster.list.bind(cluster);
    cluster.list = (kind, query) => {
      if (kind === "Secret") lists += 1;
      return list(kind, query);
    };
    await clock.advance(300_000);
    assert.equal(lists, 0, "what is clean is not read again");
  });
}
