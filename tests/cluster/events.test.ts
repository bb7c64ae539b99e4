// What the controller did is written as Kubernetes Events, with the chart's rights alone, on a real API server.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import type { KubeApi } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { EventRecorder } from "../../packages/controller/src/cluster/kubernetes/events/recorder.ts";
import { KubernetesCluster } from "../../packages/controller/src/cluster/kubernetes/kubernetes.ts";
import {
  FLEET,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { FleetGuard } from "../../packages/controller/src/fleet/guard.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { renderChart } from "../helpers/chart.ts";
import { applyManifest, identityOf } from "../helpers/chart-install.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, type KubeObject, kubeClient } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";
import { helm } from "../helpers/tools.ts";

const release = { name: "launchpad", namespace: "launchpad-system" };
const USER = "0f8fad5b-d9cb-469f-a165-70867728950e";
const TENANT = `agents-${USER}`;

const why = await whyNoCluster();
describe("Events on a real cluster", { skip: why !== undefined }, () => {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-events-"));
  const guard = new FleetGuard({
    clock: systemClock,
    log: silentLog,
    note: (note) => controller.note(note),
  });
  let cluster: TestCluster;
  let admin: KubeClient;
  let api: KubeApi;
  let controller: KubernetesCluster;

  beforeAll(async () => {
    cluster = await startCluster({ backoffMs: 200, maxBackoffMs: 500 });
    admin = kubeClient(cluster);
    await admin.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: release.namespace } });
    for (const manifest of renderChart(helm() as string, {}, release)) {
      if (manifest.kind !== "Deployment") await applyManifest(admin, manifest);
    }
    const { kubeconfig } = await identityOf(cluster, admin, release, folder);
    api = await createClient({ kubeconfig });
    guard.learn(FLEET);
    controller = new KubernetesCluster(api, {
      ...manifestOptionsOf({
        installation: release.name,
        controllerNamespace: release.namespace,
        tenantRole: { clusterRole: "launchpad-tenant", serviceAccount: release.name },
        readyMs: 20_000,
      }),
      podAccess: "proxy",
      resyncSeconds: 2,
      log: silentLog,
      clock: systemClock,
      random: Math.random,
      responsible: () => true,
      guard,
      gone: async () => ({ agents: [], users: [], known: { agents: [], users: [] }, fleet: FLEET }),
    });
    await controller.start();
  });
  afterAll(async () => {
    await controller?.stop();
    admin?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const workload = (part: Partial<Workload>) => workloadOf({ userId: USER, ...part });
  const ready = (agentId: string) =>
    eventually(
      `${agentId} is ready`,
      async () => (await controller.get(agentId))?.replicas.some(({ state }) => state === "ready") === true,
    );
  const eventsOf = async (namespace: string, reason: string, name?: string): Promise<KubeObject[]> =>
    (await admin.list("Event", namespace)).filter(
      (event) =>
        event.reportingComponent === "agent-launchpad.dev/controller" &&
        event.reason === reason &&
        (name === undefined || event.involvedObject.name === name),
    );
  const first = async (namespace: string, reason: string, name?: string): Promise<KubeObject> => {
    await eventually(`an Event ${reason}`, async () => (await eventsOf(namespace, reason, name)).length > 0);
    return (await eventsOf(namespace, reason, name))[0] as KubeObject;
  };

  it("names what others changed and the controller put back, about the agent's Deployment", async () => {
    const agentId = "agent-corrected";
    await controller.apply(workload({ agentId }));
    await ready(agentId);
    await admin.delete("Service", TENANT, agentId);
    await eventually("its end was seen", async () => (await controller.get(agentId))?.drift !== undefined);
    await controller.apply(workload({ agentId }));
    const event = await first(TENANT, "Corrected", agentId);
    assert.match(event.message, /^Changed by others and put back: Service agent-corrected was removed/);
    const deployment = await admin.get("Deployment", TENANT, agentId);
    assert.deepEqual(
      [event.type, event.involvedObject.kind, event.involvedObject.uid],
      ["Warning", "Deployment", deployment?.metadata.uid],
    );
    // Its own Warning is no reason why the agent would not come up.
    assert.equal((await controller.get(agentId))?.blocked, undefined);
  });

  it("names a generation that was given up, and why", async () => {
    const agentId = "agent-reverted";
    await cluster.setRules([
      { selector: "agent-launchpad.dev/template=bbbbbbbbbbbbbbbb", behaviour: "never-ready" },
    ]);
    await controller.apply(workload({ agentId }));
    await ready(agentId);
    const second = workload({ agentId, generation: 2, template: "bbbbbbbbbbbbbbbb" });
    await controller.apply(second);
    await eventually("it is given up", () =>
      controller.revert(second, { reason: "NEVER_READY", message: "It never came up." }).then(
        () => true,
        () => false,
      ),
    );
    const { message } = await first(TENANT, "Reverted", agentId);
    assert.equal(message, "Generation 2 was given up: NEVER_READY: It never came up.");
  });

  it("names what a policy of the cluster forbids and what the API server refuses", async () => {
    const name = "no-such-agent";
    await applyManifest(admin, {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicy",
      metadata: { name },
      spec: {
        matchConstraints: {
          resourceRules: [
            { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["*"], resources: ["deployments"] },
          ],
        },
        validations: [
          {
            expression: "object.metadata.name != 'agent-forbidden'",
            message: "not on a Sunday",
            reason: "Forbidden",
          },
          { expression: "object.metadata.name != 'agent-refused'", message: "not in this form" },
        ],
      },
    });
    await applyManifest(admin, {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicyBinding",
      metadata: { name },
      spec: { policyName: name, validationActions: ["Deny"] },
    });
    let generation = 0;
    for (const [agentId, failure, reason, words] of [
      ["agent-forbidden", "FORBIDDEN_BY_POLICY", "Forbidden", /not on a Sunday/],
      ["agent-refused", "INVALID_OBJECT", "Refused", /not in this form/],
    ] as const) {
      await eventually("the policy is in force", async () => {
        generation += 1;
        await controller.apply(workload({ agentId, generation }));
        return (await controller.get(agentId))?.failure?.reason === failure;
      });
      assert.match((await first(TENANT, reason, agentId)).message, words);
    }
  });

  it("names a brake and a hold, about the controller's own pod", async () => {
    const agents = Array.from({ length: 40 }, (_, index) => `agent-${index}`);
    guard.judge("agents", agents, 40);
    guard.learn({ ...FLEET, hold: "everything", holdReason: "an incident" });
    const brake = await first(release.namespace, "RemovalsStopped");
    assert.match(brake.message, /^The database does not know 40 of 40 agents: .*launchpad fleet release$/);
    assert.equal(brake.involvedObject.kind, "Pod");
    const held = await first(release.namespace, "Held");
    assert.equal(
      held.message,
      "Operators hold every change: an incident. End it with: launchpad fleet release",
    );
  });

  it("counts what happens again in one Event, and drops what floods", async () => {
    const outcomes = { written: 0, failed: 0, dropped: 0 };
    const recorder = new EventRecorder({
      api,
      clock: systemClock,
      log: silentLog,
      namespace: release.namespace,
      instance: "launchpad-flood",
      limits: { writeMs: 500 },
      onOutcome: (outcome) => {
        outcomes[outcome] += 1;
      },
    });
    const note = (text: string) =>
      recorder.noteOwn({ type: "Warning", reason: "Flood", action: "Test", text });
    for (let round = 0; round < 300; round += 1) note("the same");
    for (let round = 0; round < 300; round += 1) note(`another ${round}`);
    const events = () => eventsOf(release.namespace, "Flood", "launchpad-flood");
    await eventually("the series was written", async () =>
      (await events()).some(({ series }) => series?.count === 300),
    );
    note("the same");
    await eventually("and once more", async () =>
      (await events()).some(({ series }) => series?.count === 301),
    );
    recorder.stop();
    assert.equal((await events()).length, 10);
    assert.deepEqual([outcomes.failed, outcomes.dropped], [0, 291]);
    // Ten Events, of which one was written twice or three times.
    assert.ok(outcomes.written <= 12, `${outcomes.written} writes`);
  });

  it("may write Events in users' namespaces and its own, and nowhere else", async () => {
    const at = (namespace: string) =>
      api.record({
        apiVersion: "events.k8s.io/v1",
        kind: "Event",
        metadata: { name: "a.1", namespace },
        eventTime: "2026-01-01T00:00:00.000000Z",
        type: "Normal",
        reason: "Test",
        action: "Test",
        note: "",
        regarding: { kind: "Pod", namespace, name: "a" },
        reportingController: "agent-launchpad.dev/controller",
        reportingInstance: "a",
      });
    await at(TENANT);
    await at(release.namespace);
    await assert.rejects(at("kube-system"), { code: "FORBIDDEN" });
    await assert.rejects(at("default"), { code: "FORBIDDEN" });
  });
});
