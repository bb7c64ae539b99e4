// The chart on a real API server: installed by the documentation's own commands, then asked, as the controller's service
// account, what it may do and what it may not.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { KubeApi, KubeObject } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { connectInCluster } from "../../packages/controller/src/cluster/kubernetes/in-cluster.ts";
import { workloadManifests } from "../../packages/controller/src/cluster/kubernetes/manifests/agent-manifests.ts";
import {
  CLUSTER_PERMISSIONS,
  type Permission,
  TENANT_PERMISSIONS,
} from "../../packages/controller/src/cluster/kubernetes/permissions.ts";
import { manifestOptionsOf, workloadOf } from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { LEAST, renderChart } from "../helpers/chart.ts";
import { applyManifest } from "../helpers/chart-install.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { runMarked } from "../helpers/doc-blocks.ts";
import { type KubeClient, kubeClient } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";
import { mountServiceAccount } from "../helpers/service-account.ts";
import { helm, installed } from "../helpers/tools.ts";

const root = resolve(import.meta.dirname, "../..");
const SYSTEM = "launchpad-system";
const ACCOUNT = "launchpad";
const INSTALLATION = "launchpad";
const self = { name: ACCOUNT, namespace: SYSTEM };
const USER = "0f8fad5b-d9cb-469f-a165-70867728950e";
const TENANT = `agents-${USER}`;

const options = manifestOptionsOf({
  installation: INSTALLATION,
  controllerNamespace: SYSTEM,
  tenantRole: { clusterRole: "launchpad-tenant", serviceAccount: ACCOUNT },
});

const reason =
  (await whyNoCluster()) ?? (installed("kubectl") === undefined ? "kubectl is not installed" : undefined);

describe("the chart on an API server", reason === undefined ? {} : { skip: Boolean(reason) }, () => {
  let cluster: TestCluster;
  let admin: KubeClient;
  /** The controller's service account, by the API and by the controller's own client. */
  let account: KubeClient;
  let api: KubeApi;
  const folder = mkdtempSync(join(tmpdir(), "launchpad-deploy-"));

  beforeAll(async () => {
    cluster = await startCluster();
    admin = kubeClient(cluster);
    // Install and upgrade.
    const outcomes = await runMarked("docs/operations.md", import.meta.filename, {
      cwd: root,
      env: {
        ...process.env,
        KUBECONFIG: cluster.info.kubeconfig,
        PATH: [dirname(helm() as string), process.env.PATH].join(delimiter),
        HELM_CACHE_HOME: join(folder, "helm"),
        HELM_CONFIG_HOME: join(folder, "helm"),
        HELM_DATA_HOME: join(folder, "helm"),
        WEBHOOK_SECRET: "0123456789abcdef",
      },
      replace: {},
      timeoutMs: 120_000,
    });
    assert.equal(outcomes.length, 2);
    const { env, token } = await mountServiceAccount(cluster, admin, self, folder);
    account = kubeClient(cluster, token);
    api = await createClient({ connection: connectInCluster(env, folder) });
  });
  afterAll(async () => {
    await api?.close();
    account?.close();
    admin?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** What the API server itself says of a permission of the service account. */
  async function may(
    verb: string,
    { group, resource, name }: { group: string; resource: string; name?: string | undefined },
    namespace = "",
  ): Promise<boolean> {
    const [plural, subresource] = resource.split("/");
    const answer = await account.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectAccessReview",
      spec: { resourceAttributes: { verb, group, resource: plural, subresource, name, namespace } },
    });
    assert.equal(answer.status, 201, answer.text);
    return answer.body.status.allowed;
  }

  const each = (table: readonly Permission[]) =>
    table
      .filter(({ expose }) => expose !== "gateway")
      .flatMap(({ group, resource, verbs, names }) =>
        verbs.map((verb) => ({
          verb,
          group,
          resource,
          name: names?.[0]?.replace("agent-launchpad", "launchpad"),
        })),
      );

  test("both controllers run, under the policy for the whole namespace too", async () => {
    const deployment = await admin.until("Deployment", SYSTEM, "launchpad", "two are ready", (object) => {
      return object?.status.readyReplicas === 2;
    });
    const [pod] = await admin.list("Pod", SYSTEM, "app.kubernetes.io/name=agent-launchpad-controller");
    assert.ok(pod && deployment);
    const restricted = "restricted-trial";
    await admin.apply({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: restricted, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
    await admin.apply({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: ACCOUNT, namespace: restricted },
    });
    const { template } = deployment.spec;
    const answer = await admin.call("POST", `/api/v1/namespaces/${restricted}/pods?dryRun=All`, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "trial", labels: template.metadata.labels },
      spec: template.spec,
    });
    assert.equal(answer.status, 201, answer.text);
  });

  test("every object of the chart is taken, with every part switched on", async () => {
    const values = { ...LEAST, "webhook.ingress.enabled": true, "webhook.ingress.host": "hooks.example.com" };
    for (const manifest of renderChart(helm() as string, values, { name: "second", namespace: SYSTEM })) {
      await applyManifest(admin, manifest, true);
    }
  });

  test("in the whole cluster: every verb that is needed is allowed", async () => {
    for (const one of each(CLUSTER_PERMISSIONS)) {
      assert.ok(await may(one.verb, one), `${one.verb} ${one.resource}`);
    }
  });

  const REFUSED: [verb: string, group: string, resource: string, namespace?: string][] = [
    ...["get", "list", "watch", "create", "patch", "delete"].flatMap((verb) =>
      ["", "kube-system", "default", SYSTEM].map((namespace): [string, string, string, string] => [
        verb,
        "",
        "secrets",
        namespace,
      ]),
    ),
    ["list", "", "configmaps", "kube-system"],
    ["list", "", "configmaps"],
    ["create", "", "pods", "default"],
    ["delete", "", "pods", "kube-system"],
    ["create", "", "pods/exec", "default"],
    ["create", "", "pods/exec"],
    ["create", "", "pods/portforward", "default"],
    ["get", "", "pods/proxy", "default"],
    ["get", "", "pods/log", "kube-system"],
    ["create", "", "serviceaccounts/token", SYSTEM],
    ["impersonate", "", "users"],
    ["patch", "", "nodes"],
    ["update", "", "nodes"],
    ["get", "", "nodes/proxy"],
    ["update", "", "namespaces/finalize"],
    ["create", "apps", "deployments", "default"],
    ["patch", "apps", "deployments", SYSTEM],
    ["create", "apps", "daemonsets"],
    ["create", "rbac.authorization.k8s.io", "clusterroles"],
    ["patch", "rbac.authorization.k8s.io", "clusterroles"],
    ["escalate", "rbac.authorization.k8s.io", "clusterroles"],
    ["create", "rbac.authorization.k8s.io", "clusterrolebindings"],
    ["create", "rbac.authorization.k8s.io", "roles", "default"],
    ["delete", "rbac.authorization.k8s.io", "rolebindings", "kube-system"],
    ["bind", "rbac.authorization.k8s.io", "clusterroles"],
    ["patch", "admissionregistration.k8s.io", "validatingadmissionpolicies"],
    ["create", "certificates.k8s.io", "certificatesigningrequests"],
  ];
  test("in the whole cluster: nothing else is", async () => {
    for (const [verb, group, resource, namespace] of REFUSED) {
      assert.equal(
        await may(verb, { group, resource }, namespace),
        false,
        `${verb} ${resource} in ${namespace}`,
      );
    }
    const admins = { group: "rbac.authorization.k8s.io", resource: "clusterroles", name: "cluster-admin" };
    assert.equal(await may("bind", admins), false);
  });

  const apply = async (object: KubeObject) => void (await api.apply(object, { force: true }));
  const namespace = (name: string, labels: Record<string, string>): KubeObject => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels },
  });
  const own = {
    "agent-launchpad.dev/installation": INSTALLATION,
    "pod-security.kubernetes.io/enforce": "restricted",
  };
  const binding = (where: string, role: string, who: { name: string; namespace: string }): KubeObject => ({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "trial", namespace: where },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
    subjects: [{ kind: "ServiceAccount", ...who }],
  });

  test("namespaces: only those of the own installation", async () => {
    await admin.apply(namespace("agents-foreign", { "pod-security.kubernetes.io/enforce": "restricted" }));
    await admin.apply(namespace("agents-other", { ...own, "agent-launchpad.dev/installation": "other" }));
    // A policy holds a moment after it was made.
    await eventually("the policy holds", async () => {
      const refused = await apply(namespace("trial", own)).then(
        () => false,
        () => true,
      );
      if (!refused) await admin.delete("Namespace", undefined, "trial");
      return refused;
    });
    const refused: [what: string, call: () => Promise<void>, words: RegExp][] = [
      ["another prefix", () => apply(namespace("evil", own)), /begins with agents-/],
      [
        "without the label",
        () => apply(namespace("agents-1", { ...own, "agent-launchpad.dev/installation": "x" })),
        /labelled with the installation/,
      ],
      [
        "without Pod Security",
        () => apply(namespace("agents-1", { "agent-launchpad.dev/installation": INSTALLATION })),
        /Pod Security restricted/,
      ],
      [
        "privileged",
        () => apply(namespace("agents-1", { ...own, "pod-security.kubernetes.io/enforce": "privileged" })),
        /Pod Security restricted/,
      ],
      ["a namespace of the system", () => apply(namespace("kube-system", own)), /begins with agents-/],
      [
        "somebody's, with a fitting name",
        () => apply(namespace("agents-foreign", own)),
        /only namespaces of the installation/,
      ],
      [
        "another installation's",
        () => apply(namespace("agents-other", own)),
        /only namespaces of the installation/,
      ],
      [
        "deleting somebody's",
        () => api.delete("Namespace", "", "agents-foreign"),
        /only namespaces of the installation/,
      ],
      ["deleting one of the system", () => api.delete("Namespace", "", SYSTEM), /begins with agents-/],
    ];
    for (const [what, call, words] of refused) await assert.rejects(call, words, what);
    await apply(namespace("agents-1", own));
    await assert.rejects(
      apply(namespace("agents-1", { "agent-launchpad.dev/installation": INSTALLATION })),
      /Pod Security/,
    );
    await api.delete("Namespace", "", "agents-1");
  });

  test("role bindings: only the one role, only to itself, only there", async () => {
    await apply(namespace("agents-2", own));
    const refused: [what: string, object: KubeObject, words: RegExp][] = [
      [
        "in kube-system",
        binding("kube-system", "launchpad-tenant", self),
        /only in namespaces of the installation/,
      ],
      ["in its own", binding(SYSTEM, "launchpad-tenant", self), /only in namespaces of the installation/],
      [
        "in another's",
        binding("agents-other", "launchpad-tenant", self),
        /only in namespaces of the installation/,
      ],
      ["another role", binding("agents-2", "cluster-admin", self), /forbidden|only the role/i],
      ["a role as mighty as its own", binding("agents-2", "launchpad-controller", self), /only the role/],
      [
        "to somebody else",
        binding("agents-2", "launchpad-tenant", { name: "default", namespace: "default" }),
        /only to itself/,
      ],
    ];
    for (const [what, object, words] of refused) await assert.rejects(apply(object), words, what);
    await apply(binding("agents-2", "launchpad-tenant", self));
    // The API server reads roles from a cache.
    await eventually("the right arrives", () =>
      may("create", { group: "", resource: "secrets" }, "agents-2"),
    );
    await api.delete("Namespace", "", "agents-2");
  });

  test("a user's namespace: the controller's own objects give it each right that it needs there", async () => {
    const { user } = workloadManifests(workloadOf({ userId: USER }), options);
    await apply(user.namespace);
    for (const object of user.access) await apply(object);
    await eventually("the right arrives", () => may("create", { group: "", resource: "secrets" }, TENANT));
    for (const one of each(TENANT_PERMISSIONS)) {
      assert.ok(await may(one.verb, one, TENANT), `${one.verb} ${one.resource}`);
    }
    for (const [verb, resource] of [
      ["get", "secrets"],
      ["watch", "secrets"],
      ["deletecollection", "secrets"],
      ["create", "pods"],
      ["create", "pods/exec"],
      ["get", "pods/proxy"],
    ] as const) {
      assert.equal(await may(verb, { group: "", resource }, TENANT), false, `${verb} ${resource}`);
    }
    assert.equal(await may("list", { group: "", resource: "secrets" }, "kube-system"), false);
    assert.equal(await may("list", { group: "", resource: "secrets" }, "agents-other"), false);
  });

  test("every object of an agent can be made and removed with these rights, and its pod runs", async () => {
    const workload = workloadOf({ userId: USER, environment: { OPENAI_API_KEY: "sk-a" }, replicas: 2 });
    const {
      after: last,
      anchor,
      before: first,
      beside,
      deployment,
      user,
    } = workloadManifests(workload, options);
    const objects = [anchor, ...first, ...beside, deployment, ...last];
    // What bounds the namespace goes with it.
    for (const object of [...user.bounds, ...objects]) await apply(object);
    const { name } = deployment.metadata;
    await admin.until("Deployment", TENANT, name, "ready", (object) => object?.status?.readyReplicas === 2);
    const [pod] = (await api.list("Pod", { labelSelector: `agent-launchpad.dev/agent=${workload.agentId}` }))
      .items;
    assert.ok(pod);
    for await (const _ of await api.podLog(TENANT, pod.metadata.name, { container: "agent" })) break;
    for (const { kind, metadata } of objects.reverse())
      await api.delete(kind as never, TENANT, metadata.name);
    await api.delete("Namespace", "", TENANT);
    await admin.until("Namespace", undefined, TENANT, "gone", (object) => object === undefined, 60_000);
  });
});
