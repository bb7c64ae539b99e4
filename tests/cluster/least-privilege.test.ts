// An agent's whole life with the rights of the chart alone: nothing that the controller needs is forbidden, and nothing
// is granted that it does not use. The API server's own audit log is the witness.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { KubernetesCluster } from "../../packages/controller/src/cluster/kubernetes/kubernetes.ts";
import {
  CLUSTER_PERMISSIONS,
  OWN_PERMISSIONS,
  type Permission,
  TENANT_PERMISSIONS,
} from "../../packages/controller/src/cluster/kubernetes/permissions.ts";
import {
  FLEET,
  guardOf,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { specOf } from "../../packages/controller/src/testing/memory-database.ts";
import { renderChart } from "../helpers/chart.ts";
import { applyManifest, identityOf } from "../helpers/chart-install.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient, pathOf } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";
import { helm } from "../helpers/tools.ts";

const release = { name: "launchpad", namespace: "launchpad-system" };
const account = `system:serviceaccount:${release.namespace}:${release.name}`;
const USER = "0f8fad5b-d9cb-469f-a165-70867728950e";
const TENANT = `agents-${USER}`;
const AGENT = "agent-1";

/** One line of the audit log. */
interface Audited {
  verb: string;
  objectRef?: {
    apiGroup?: string;
    resource: string;
    subresource?: string;
    namespace?: string;
    name?: string;
  };
  responseStatus?: { code: number; message?: string };
}

const reason = await whyNoCluster();
describe(
  "the controller with the chart's rights",
  reason === undefined ? {} : { skip: Boolean(reason) },
  () => {
    const folder = mkdtempSync(join(tmpdir(), "launchpad-rights-"));
    const log = join(folder, "audit.log");
    let cluster: TestCluster;
    let admin: KubeClient;
    let controller: KubernetesCluster;
    const held = new Set<string>();
    let usersGone = false;
    const lines: string[] = [];

    beforeAll(async () => {
      const policy = join(folder, "policy.json");
      writeFileSync(
        policy,
        JSON.stringify({
          apiVersion: "audit.k8s.io/v1",
          kind: "Policy",
          omitStages: ["RequestReceived"],
          rules: [{ level: "Metadata", users: [account] }, { level: "None" }],
        }),
      );
      cluster = await startCluster({
        apiServerFlags: [`--audit-policy-file=${policy}`, `--audit-log-path=${log}`],
        backoffMs: 200,
        maxBackoffMs: 500,
      });
      admin = kubeClient(cluster);
      await admin.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: release.namespace } });
      for (const manifest of renderChart(helm() as string, {}, release)) {
        if (manifest.kind !== "Deployment") await applyManifest(admin, manifest);
      }
      const { kubeconfig } = await identityOf(cluster, admin, release, folder);
      controller = new KubernetesCluster(await createClient({ kubeconfig }), {
        ...manifestOptionsOf({
          installation: release.name,
          controllerNamespace: release.namespace,
          tenantRole: { clusterRole: "launchpad-tenant", serviceAccount: release.name },
          readyMs: 20_000,
        }),
        doors: { name: "controllers", port: 8081, resolve: async () => ["10.244.0.250"] },
        // Pods of the test cluster have no address that can be dialled. Nor may they be asked through the API server: that
        // right is an administrator's, and it shows here as refused.
        podAccess: "proxy",
        resyncSeconds: 2,
        log: silentLog,
        clock: systemClock,
        random: Math.random,
        responsible: (agentId) => held.has(agentId),
        guard: guardOf(),
        gone: async ({ agents, users }) => ({
          agents: agents.filter((agentId) => !held.has(agentId)),
          users: usersGone ? [...users] : [],
          known: { agents: [], users: [] },
          fleet: FLEET,
        }),
      });
      controller.logs((line) => lines.push(line.message));
      await controller.start();
    });
    afterAll(async () => {
      await controller?.stop();
      admin?.close();
      await cluster?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    const workload = (part: Partial<Workload>): Workload =>
      workloadOf({
        agentId: AGENT,
        userId: USER,
        environment: { OPENAI_API_KEY: "sk-of-the-user" },
        ...part,
      });
    const ready = (count: number, template: string) =>
      eventually(`${count} replicas of ${template} are ready`, async () => {
        const replicas = (await controller.get(AGENT))?.replicas ?? [];
        const good = replicas.filter((replica) => replica.state === "ready" && replica.template === template);
        return good.length === count && replicas.length === count;
      });

    test("an agent is made, scaled, changed, given up, repaired, watched and removed; its user goes", async () => {
      held.add(AGENT);
      await cluster.setRules([
        { selector: `agent-launchpad.dev/agent=${AGENT}`, lines: ["hello"], logEveryMs: 100 },
      ]);
      await controller.apply(workload({ template: "aaaaaaaaaaaaaaaa" }));
      await ready(1, "aaaaaaaaaaaaaaaa");
      await controller.apply(workload({ template: "aaaaaaaaaaaaaaaa", generation: 2, replicas: 2 }));
      await ready(2, "aaaaaaaaaaaaaaaa");
      const scalingPolicy = { minReplicas: 2, maxReplicas: 4, targetCPU: 70 };
      const second = workload({
        template: "bbbbbbbbbbbbbbbb",
        generation: 3,
        revision: 2,
        replicas: 2,
        spec: specOf({ scalingPolicy }),
      });
      await controller.apply(second);
      await ready(2, "bbbbbbbbbbbbbbbb");

      // A revision that never comes up is given up.
      await cluster.setRules([
        { selector: "agent-launchpad.dev/template=cccccccccccccccc", behaviour: "never-ready" },
        { selector: `agent-launchpad.dev/agent=${AGENT}`, lines: ["hello"], logEveryMs: 100 },
      ]);
      const third = workload({ template: "cccccccccccccccc", generation: 4, revision: 3, replicas: 2 });
      await controller.apply(third);
      const failure = { reason: "NEVER_READY", message: "It never came up." };
      // While something still moves it is not given up.
      await eventually("it is given up", () =>
        controller.revert(third, failure).then(
          () => true,
          () => false,
        ),
      );
      await ready(2, "bbbbbbbbbbbbbbbb");

      // What somebody takes away is put back.
      const fourth = workload({ template: "bbbbbbbbbbbbbbbb", generation: 5, revision: 4, replicas: 2 });
      await controller.apply(fourth);
      await ready(2, "bbbbbbbbbbbbbbbb");
      await admin.delete("Service", TENANT, AGENT);
      const drift = async () =>
        (await controller.get(AGENT))?.drift?.some((words) => words.includes("Service"));
      await eventually("the Service's end was seen", drift);
      await controller.apply(fourth);
      assert.ok(await admin.get("Service", TENANT, AGENT));

      // It sleeps, its Service leads to the controller, and its owner scales it to nothing meanwhile.
      const slices = async () =>
        (await admin.list("EndpointSlice", TENANT)).filter(({ metadata }) =>
          metadata.name.includes("-door-"),
        );
      await controller.sleep({ ...fourth, generation: 6 });
      assert.equal((await slices()).length, 1);
      await controller.apply({ ...fourth, generation: 7, replicas: 0 });
      await eventually("its Service leads there no more", async () => (await slices()).length === 0);
      await controller.apply({ ...fourth, generation: 8 });
      await ready(2, "bbbbbbbbbbbbbbbb");

      await eventually("log lines come", () => lines.some((line) => line.includes("hello")));
      await controller.metrics();
      const health = await controller.probe();
      assert.ok(health.healthy, health.message);
      controller.note({
        type: "Normal",
        reason: "Test",
        action: "Test",
        text: "About the controller itself.",
      });
      await eventually("it is noted", async () =>
        (await admin.list("Event", release.namespace)).some(({ reason }) => reason === "Test"),
      );

      // Somebody takes the Deployment away and leaves what it made: that, too, is the controller's to end.
      await admin.call("DELETE", `${pathOf("Deployment", TENANT, AGENT)}?propagationPolicy=Orphan`);
      const sets = await admin.list("ReplicaSet", TENANT);
      const serving = sets.find(({ status }) => status.replicas > 0);
      assert.ok(serving);
      await admin.call(
        "DELETE",
        `${pathOf("ReplicaSet", TENANT, serving.metadata.name)}?propagationPolicy=Orphan`,
      );
      await eventually("pods and replica sets are orphans", async () => {
        const left = [...(await admin.list("Pod", TENANT)), ...(await admin.list("ReplicaSet", TENANT))];
        return left.length > 2 && left.every(({ metadata }) => metadata.ownerReferences === undefined);
      });
      held.add("agent-2");
      await controller.apply(workload({ agentId: "agent-2", template: "dddddddddddddddd" }));
      for (const agentId of [AGENT, "agent-2"]) {
        await controller.remove(agentId);
        held.delete(agentId);
      }
      await eventually("nothing of the agents is left", async () => (await controller.list()).length === 0);
      usersGone = true;
      await admin.until("Namespace", undefined, TENANT, "gone", (object) => object === undefined, 60_000);
    });

    test("nothing that it asked for stayed forbidden, but what is an administrator's", async () => {
      const calls = audited();
      assert.ok(calls.length > 50, `${calls.length} calls`);
      const keyOf = ({ verb, objectRef }: Audited) =>
        `${verb} ${objectRef?.resource}${objectRef?.subresource ? `/${objectRef.subresource}` : ""}`;
      const worked = new Set(
        calls.filter(({ responseStatus }) => (responseStatus?.code ?? 0) < 400).map(keyOf),
      );
      const refused = new Set(calls.filter(({ responseStatus }) => responseStatus?.code === 403).map(keyOf));
      assert.deepEqual(
        [...refused].filter((key) => !worked.has(key)),
        ["get pods/proxy"].filter((key) => refused.has(key)),
      );
    });

    test("it uses every right that it has", async () => {
      const used = new Set<string>();
      for (const { objectRef, responseStatus, verb } of audited()) {
        if (objectRef === undefined || responseStatus?.code === 403) continue;
        const { apiGroup = "", resource, subresource, namespace } = objectRef;
        const what = `${apiGroup}/${resource}${subresource === undefined ? "" : `/${subresource}`}`;
        // A list or watch of all namespaces takes the right in the whole cluster; of one, the tenant's is enough.
        const reads = verb === "list" || verb === "watch";
        const own = namespace === release.namespace;
        const all = own ? ["own"] : ["cluster", "tenant"];
        const scopes = reads ? [namespace === undefined ? "cluster" : "tenant"] : all;
        for (const scope of scopes) {
          used.add(`${scope} ${verb} ${what}`);
          // An apply that makes an object is a patch that also takes the right to create it.
          if (verb === "patch" && responseStatus?.code === 201) used.add(`${scope} create ${what}`);
        }
      }
      const granted = (scope: string, table: readonly Permission[]) =>
        table
          // The Gateway API is not there: gateway.test.ts uses those.
          .filter(({ group }) => group !== "gateway.networking.k8s.io")
          .flatMap(({ group, resource, verbs }) =>
            verbs.map((verb) => `${scope} ${verb} ${group}/${resource}`),
          );
      const all = [
        ...granted("cluster", CLUSTER_PERMISSIONS),
        ...granted("tenant", TENANT_PERMISSIONS),
        ...granted("own", OWN_PERMISSIONS),
      ];
      const unused = all.filter((right) => !used.has(right));
      console.info(`${all.length} rights, ${all.length - unused.length} used`);
      assert.deepEqual(unused, UNUSED_HERE);
    });

    function audited(): Audited[] {
      const lines = readFileSync(log, "utf8").split("\n");
      // The API server may be in the middle of the last one.
      return lines.slice(0, -1).map((line) => JSON.parse(line) as Audited);
    }
  },
);

/** Rights whose use is no call of its own, or of a case that this life does not meet. */
const UNUSED_HERE: string[] = [
  // Asked for when a RoleBinding is made.
  "cluster bind rbac.authorization.k8s.io/clusterroles",
  // It lists each kind by its own name.
  "tenant list */*",
  // OpenShift's admission asks for it.
  "tenant create discovery.k8s.io/endpointslices/restricted",
];
