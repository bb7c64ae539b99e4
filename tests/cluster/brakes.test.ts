// What may be removed, and whose labels count, on a real API server: copies of every kind, another database, foreign objects.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import { KINDS, type Kind } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { KubernetesCluster } from "../../packages/controller/src/cluster/kubernetes/kubernetes.ts";
import { agentLabels } from "../../packages/controller/src/cluster/kubernetes/names.ts";
import {
  FLEET,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { FleetGuard } from "../../packages/controller/src/fleet/guard.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";

const VICTIM = "agent-victim";
const OWNER = "user-1";
const HOME = `agents-${OWNER}`;

/** Counts the sweeps: each begins by asking whether anything may be removed. */
class CountingGuard extends FleetGuard {
  sweeps = 0;
  override get mayRemove(): boolean {
    this.sweeps += 1;
    return super.mayRemove;
  }
}

/** Waits for so many further sweeps. */
async function sweeps(guard: CountingGuard, count: number): Promise<void> {
  const from = guard.sweeps;
  await eventually(`${count} sweeps`, () => guard.sweeps >= from + count);
}

const why = await whyNoCluster();
describe("brakes on a real cluster", { skip: why !== undefined }, () => {
  let cluster: TestCluster;
  let admin: KubeClient;
  const running: KubernetesCluster[] = [];

  /** A controller that holds `held`, connected to the database of this id, which knows `known` users. */
  async function controller(database: string, held: ReadonlySet<string>, known: ReadonlySet<string>) {
    const guard = new CountingGuard({ clock: systemClock, log: silentLog });
    const fleet = { ...FLEET, installation: database };
    guard.learn(fleet);
    const one = new KubernetesCluster(await createClient({ kubeconfig: cluster.info.kubeconfig }), {
      ...manifestOptionsOf({
        graceMs: 1000,
        databaseId: () => guard.databaseId,
        isOurs: (mark) => guard.isOurs(mark),
      }),
      podAccess: "proxy",
      resyncSeconds: 1,
      log: silentLog,
      clock: systemClock,
      random: Math.random,
      responsible: (agentId, namespace) => held.has(agentId) && (namespace ?? HOME) === HOME,
      owner: (agentId) => (held.has(agentId) ? OWNER : undefined),
      guard,
      gone: async ({ agents, users }) => ({
        agents: agents.filter((agentId) => !held.has(agentId)),
        users: users.filter((userId) => !known.has(userId)),
        known: { agents: [], users: [] },
        fleet,
      }),
    });
    running.push(one);
    await one.start();
    return { one, guard, fleet };
  }

  beforeAll(async () => {
    cluster = await startCluster({ backoffMs: 200, maxBackoffMs: 500 });
    admin = kubeClient(cluster);
  });
  afterAll(async () => {
    await Promise.all(running.map((one) => one.stop()));
    admin?.close();
    await cluster?.stop();
  });

  const held = new Set([VICTIM]);
  const workload = workloadOf({ agentId: VICTIM, userId: OWNER });

  it("copies of every kind's labels in other namespaces neither count nor freeze nor are removed", async () => {
    const { one } = await controller("right", held, new Set([OWNER]));
    await one.apply(workload);
    const states = async () => (await one.get(VICTIM))?.replicas.map(({ state }) => state);
    await eventually("the victim is ready", async () => (await states())?.join() === "ready");

    const kinds = [
      "Deployment",
      "Service",
      "HorizontalPodAutoscaler",
      "PodDisruptionBudget",
      "Ingress",
    ] as const;
    const originals = await Promise.all(kinds.map(async (kind) => (await admin.list(kind, HOME))[0]));
    const copies: { kind: Kind; namespace: string; name: string }[] = [];
    for (const namespace of ["team-x", "agents-user-2"]) {
      await admin.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
      await admin.until("ServiceAccount", namespace, "default", "there", (object) => object !== undefined);
      const copy = async (kind: Kind, body: Record<string, unknown>) => {
        const metadata = { name: "copy", namespace, labels: agentLabels("test", OWNER, VICTIM) };
        await admin.apply({ apiVersion: KINDS[kind].apiVersion, kind, metadata, ...body });
        copies.push({ kind, namespace, name: "copy" });
      };
      for (const [index, kind] of kinds.entries()) {
        const spec = originals[index]?.spec;
        if (spec !== undefined && kind !== "Service") await copy(kind, { spec });
      }
      const labels = agentLabels("test", OWNER, VICTIM);
      const spec = { containers: [{ name: "agent", image: "registry.example/copy:1" }] };
      await copy("Pod", { spec });
      const template = { metadata: { labels }, spec };
      await copy("ReplicaSet", { spec: { replicas: 1, selector: { matchLabels: labels }, template } });
      await copy("Service", { spec: { selector: labels, ports: [{ port: 80 }] } });
      await copy("NetworkPolicy", { spec: { podSelector: {}, policyTypes: ["Ingress"] } });
      await copy("ResourceQuota", { spec: { hard: { pods: "1" } } });
      await copy("ConfigMap", { data: { a: "b" } });
      await copy("Secret", { data: {} });
      await copy("ServiceAccount", {});
    }
    await eventually("the copies are seen and counted", () => one.leftAlone.strays >= 12);
    assert.deepEqual(await states(), ["ready"]);
    assert.deepEqual((await one.get(VICTIM))?.drift ?? [], []);

    await one.remove(VICTIM);
    await eventually(
      "nothing is left of the victim",
      async () => (await admin.list("Pod", HOME)).length === 0,
    );
    await one.stop();
    held.delete(VICTIM);
    for (const { kind, namespace, name } of copies) {
      if (kind === "Pod" || kind === "ReplicaSet") continue; // what is beyond a copied quota may never have been
      assert.ok(await admin.get(kind, namespace, name), `${kind} of ${namespace}`);
    }
    // The copies stay: neither of the next tests may be held up by them.
  });

  it("another, empty database removes nothing in ten sweeps, and says whose the cluster is", async () => {
    held.add(VICTIM);
    const right = await controller("right", held, new Set([OWNER]));
    await right.one.apply(workload);
    await eventually("it is deployed", async () => (await admin.list("Pod", HOME)).length === 1);
    await right.one.stop();
    held.delete(VICTIM);

    const wrong = await controller("wrong", new Set(), new Set());
    wrong.guard.learn(wrong.fleet);
    assert.match(wrong.guard.trouble ?? "", /belongs to the database right.*fleet adopt right/s);
    await sweeps(wrong.guard, 10);
    assert.equal((await admin.list("Deployment", HOME)).length, 1);
    await wrong.one.stop();
  });

  it("a gone user's namespace is kept while somebody's object of any kind is in it, and goes after", async () => {
    for (const [kind, body] of [
      ["ConfigMap", { data: { a: "b" } }],
      ["Role", { rules: [] }],
    ] as const) {
      const apiVersion = kind === "Role" ? "rbac.authorization.k8s.io/v1" : "v1";
      await admin.apply({ apiVersion, kind, metadata: { name: "theirs", namespace: HOME }, ...body });
    }
    const { one, guard } = await controller("right", new Set(), new Set());
    await eventually(
      "the agent is swept",
      async () => (await admin.list("Deployment", HOME)).length === 0,
      60_000,
    );
    await eventually("the namespace is kept", () => one.leftAlone.keptNamespaces === 1, 60_000);
    assert.ok(await admin.get("ConfigMap", HOME, "theirs"));
    await admin.delete("ConfigMap", HOME, "theirs");
    await sweeps(guard, 3);
    const kept = await admin.get("Namespace", undefined, HOME);
    assert.equal(kept?.metadata.deletionTimestamp, undefined, "the role is still there");
    await admin.delete("Role", HOME, "theirs");
    await admin.until("Namespace", undefined, HOME, "gone", (object) => object === undefined, 60_000);
  });
});
