// What faulty agents and fleets at rest cost a real API server, counted by a proxy before it, under a clock that is faster than ours.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { Clock } from "../../packages/controller/src/clock.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { KubernetesCluster } from "../../packages/controller/src/cluster/kubernetes/kubernetes.ts";
import { manifestOptionsOf } from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { FleetGuard } from "../../packages/controller/src/fleet/guard.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { Controller } from "../../packages/controller/src/loop/controller.ts";
import { MemoryDatabase, specOf } from "../../packages/controller/src/testing/memory-database.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeFaults, startKubeFaults } from "../helpers/kube-faults.ts";
import { eventually } from "../helpers/processes.ts";

/** A minute of the controller's takes three seconds. */
const FACTOR = 20;
const FAULTY = 20;
const SOUND = 5;
const TEN_MINUTES = 600_000;
const RESYNC_SECONDS = 600;

const began = Date.now();
const fast: Clock = {
  now: () => began + (Date.now() - began) * FACTOR,
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds / FACTOR);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

const why = await whyNoCluster();
describe("calls to a real API server", { skip: why !== undefined }, () => {
  let testCluster: TestCluster;
  let faults: KubeFaults;
  const stops: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    testCluster = await startCluster();
    faults = await startKubeFaults(testCluster);
  });
  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
    await faults?.close();
    await testCluster?.stop();
  });

  /** A controller with a database of its own. */
  async function fleet(installation: string, resyncSeconds: number) {
    const database = new MemoryDatabase(fast, installation);
    const guard = new FleetGuard({ clock: fast, log: silentLog });
    const held = (agentId: string) => controller.reconciler.held.get(agentId);
    const cluster = new KubernetesCluster(await createClient({ kubeconfig: faults.kubeconfig }), {
      ...manifestOptionsOf({
        installation,
        namespacePrefix: `${installation}-`,
        databaseId: () => guard.databaseId,
        isOurs: (mark) => guard.isOurs(mark),
        // Judged by this clock: not within the seconds of ours that a pod needs.
        readyMs: 3_000_000,
      }),
      podAccess: "proxy",
      resyncSeconds,
      log: silentLog,
      clock: fast,
      random: Math.random,
      responsible: (agentId) => held(agentId) !== undefined,
      owner: (agentId) => held(agentId)?.claim.userId ?? undefined,
      guard,
      gone: (all) => database.goneWorkloads(all),
    });
    const controller = new Controller({
      worker: "w",
      database,
      cluster,
      clock: fast,
      random: Math.random,
      log: silentLog,
      guard,
      limits: { readyMs: 3_000_000, crashLimit: 5 },
      pollSeconds: 60,
      leaseSeconds: 600,
      concurrency: 16,
      urlOf: (agentId) => `http://${agentId}.test`,
      describe: async () => ({}),
    });
    await cluster.start();
    controller.start();
    const stop = async () => {
      await controller.stop();
      await cluster.stop();
    };
    stops.push(stop);
    const deployed = (agents: readonly string[], generation: number) =>
      eventually(
        `generation ${generation} is deployed`,
        () =>
          agents.every((agentId) => {
            const { observedGeneration, phase } = database.row(agentId);
            return phase === "DEPLOYED" && observedGeneration === generation;
          }),
        60_000,
      );
    return { database, controller, deployed, stop };
  }

  it("20 agents whose Deployments are not taken: at most 25 calls each in ten minutes; others are not held up", async () => {
    // Beyond the ten minutes: what a resync reads is not the fault's.
    const { controller, database, deployed, stop } = await fleet("faulty", 6000);
    const names = Array.from({ length: FAULTY + SOUND }, (_, index) => `agent-${index}`);
    const faulty = names.slice(0, FAULTY);
    // Each agent is another user's: whatever is asked in its namespace is asked for it.
    const namespaceOf = (agentId: string) => `faulty-user-${agentId}`;
    for (const agentId of names) database.launch(agentId, specOf(), 1, `user-${agentId}`);
    controller.hint();
    await deployed(names, 1);
    faulty.forEach((agentId, index) => {
      const namespace = namespaceOf(agentId);
      faults.add({
        match: { verb: "apply", resource: "deployments", namespace },
        effect: { kind: "status", status: index % 2 === 0 ? 500 : 429, message: "a webhook does not answer" },
      });
    });
    faults.reset();
    const from = fast.now();
    for (const agentId of names) database.update(agentId, { model: "another" });
    controller.hint();
    await deployed(names.slice(FAULTY), 2);
    assert.ok(
      faulty.every((agentId) => database.row(agentId).observedGeneration === 1),
      "the others are deployed meanwhile",
    );
    await eventually("ten minutes are over", () => fast.now() - from >= TEN_MINUTES, 60_000);
    // A busy machine needs longer for the others.
    const times = (fast.now() - from) / TEN_MINUTES;
    // Probes and logs of running pods are asked for whatever else happens.
    const calls = faulty.map(
      (agentId) =>
        faults.requests.filter(
          ({ namespace, resource }) => namespace === namespaceOf(agentId) && !resource.startsWith("pods"),
        ).length,
    );
    assert.ok(Math.min(...calls) >= 6, `each was tried: ${calls.join(" ")}`);
    assert.ok(Math.max(...calls) <= 25 * times, `calls of each: ${calls.join(" ")}`);
    for (const kind of ["secrets", "configmaps"]) {
      assert.equal(
        faults.count({ verb: "delete", resource: kind, namespace: namespaceOf("agent-0") }),
        0,
        kind,
      );
    }

    faults.clear();
    for (const agentId of faulty) database.restart(agentId);
    controller.hint();
    await deployed(faulty, 3);
    await stop();
  });

  it("a fleet at rest: a resync lists Secrets and ConfigMaps once for each of 25 namespaces, and no other kind", async () => {
    const { controller, database, deployed } = await fleet("calm", RESYNC_SECONDS);
    const names = Array.from({ length: 25 }, (_, index) => `calm-${index}`);
    for (const agentId of names) database.launch(agentId, specOf(), 1, `user-${agentId}`);
    controller.hint();
    await deployed(names, 1);
    // The first sweeps look at what is new.
    const settled = fast.now() + RESYNC_SECONDS * 1000;
    await eventually("all is seen", () => fast.now() >= settled, 60_000);
    faults.reset();
    const from = fast.now();

    /** How often each namespace was listed since, by resource. Figures and probes of pods are asked for whatever else happens. */
    const lists = () =>
      Map.groupBy(
        faults.requests.filter(
          ({ path, resource, verb }) =>
            verb === "list" && !path.startsWith("/apis/metrics") && resource !== "nodes",
        ),
        ({ namespace, resource }) => `${resource} of ${namespace}`,
      );
    const expected = names.flatMap((agentId) =>
      ["configmaps", "secrets"].map((resource) => `${resource} of calm-user-${agentId}`),
    );
    await eventually("each namespace is read", () => expected.every((one) => lists().has(one)));
    assert.deepEqual([...lists().keys()].sort(), expected.sort());
    // Between two lists of a namespace a resync passes: how many passed depends on how busy the machine is.
    const resyncs = (fast.now() - from) / (RESYNC_SECONDS * 1000);
    for (const [what, { length }] of lists())
      assert.ok(length <= resyncs + 1, `${length} lists of ${what} in ${resyncs} resyncs`);
  });
});
