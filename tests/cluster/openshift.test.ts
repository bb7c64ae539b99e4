// A cluster that chooses users and groups itself, as OpenShift's SCC restricted-v2 does, played by an admission policy on a real API
// server: pods that name a user of their own are refused. With the values of openshift-values.yaml everything runs.
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { KubernetesCluster } from "../../packages/controller/src/cluster/kubernetes/kubernetes.ts";
import type { PodSecurityContext } from "../../packages/controller/src/cluster/kubernetes/options.ts";
import {
  FLEET,
  guardOf,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { CHART, renderValues } from "../helpers/chart.ts";
import { applyManifest } from "../helpers/chart-install.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";
import { helm } from "../helpers/tools.ts";

const SYSTEM = "launchpad-system";
const USER = "0f8fad5b-d9cb-469f-a165-70867728950e";
const SPACE = `agents-${USER}`;
const WORDS = "users and groups are this cluster's to choose";

const chooses = [
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    metadata: { name: "chooses-users" },
    spec: {
      failurePolicy: "Fail",
      matchConstraints: {
        resourceRules: [
          { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] },
        ],
      },
      validations: ["runAsUser", "runAsGroup", "fsGroup"].flatMap((field) => [
        { expression: `!has(object.spec.securityContext.${field})`, message: WORDS },
        ...(field === "fsGroup"
          ? []
          : [
              {
                expression: `object.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.${field}))`,
                message: WORDS,
              },
            ]),
      ]),
    },
  },
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: { name: "chooses-users" },
    spec: { policyName: "chooses-users", validationActions: ["Deny"] },
  },
];

const reason = await whyNoCluster();
describe("a cluster that chooses users", reason === undefined ? {} : { skip: Boolean(reason) }, () => {
  let cluster: TestCluster;
  let admin: KubeClient;
  let controller: KubernetesCluster | undefined;
  const held = new Set<string>();

  async function run(podSecurityContext: PodSecurityContext | undefined): Promise<KubernetesCluster> {
    await controller?.stop();
    controller = new KubernetesCluster(await createClient({ kubeconfig: cluster.info.kubeconfig }), {
      ...manifestOptionsOf({ controllerNamespace: SYSTEM, podSecurityContext }),
      podAccess: "proxy",
      resyncSeconds: 600,
      log: silentLog,
      clock: systemClock,
      random: Math.random,
      responsible: (agentId) => held.has(agentId),
      guard: guardOf(),
      gone: async () => ({ agents: [], users: [], known: { agents: [], users: [] }, fleet: FLEET }),
    });
    await controller.start();
    return controller;
  }

  beforeAll(async () => {
    cluster = await startCluster();
    admin = kubeClient(cluster);
    await admin.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: SYSTEM } });
    for (const manifest of chooses) await applyManifest(admin, manifest);
    await admin.apply({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "trial", namespace: SYSTEM },
    });
    // A policy holds a moment after it was made.
    await eventually("the policy holds", async () => (await pod({}, true)).status !== 201);
  });
  afterAll(async () => {
    await controller?.stop();
    admin?.close();
    await cluster?.stop();
  });

  async function pod(values: object, plain = false) {
    const files = plain ? [] : [join(CHART, "openshift-values.yaml")];
    const deployment = renderValues(helm() as string, values, files).find(
      ({ kind }) => kind === "Deployment",
    );
    return await admin.call("POST", `/api/v1/namespaces/${SYSTEM}/pods?dryRun=All`, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "trial" },
      spec: { ...deployment?.spec.template.spec, serviceAccountName: "trial" },
    });
  }

  test("the controller's pod is refused with the default values, accepted with OpenShift's", async () => {
    const refused = await pod({}, true);
    assert.equal(refused.status, 422, refused.text);
    assert.ok(refused.text.includes(WORDS));
    const accepted = await pod({});
    assert.equal(accepted.status, 201, accepted.text);
  });

  test("an agent says in its status why it does not start, and runs once the controller names no user", async () => {
    held.add("agent-1");
    const fixed = await run(undefined);
    await fixed.apply(workloadOf({ agentId: "agent-1", userId: USER }));
    await eventually("the status has the refusal", async () => {
      const observed = await fixed.get("agent-1");
      return JSON.stringify(observed?.blocked ?? observed?.replicas ?? "").includes(WORDS);
    });
    const free = await run({});
    await free.apply(workloadOf({ agentId: "agent-1", userId: USER }));
    await admin.until("Deployment", SPACE, "agent-1", "ready", (one) => one?.status?.readyReplicas === 1);
    assert.deepEqual((await free.get("agent-1"))?.drift ?? [], []);
  });
});
