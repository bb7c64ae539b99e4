// Kinds that other projects define, against those definitions as they were released: agents exposed by a Gateway with the
// chart's rights alone, the change from one way in to the other, and the chart's monitoring.
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
  TENANT_PERMISSIONS,
} from "../../packages/controller/src/cluster/kubernetes/permissions.ts";
import {
  FLEET,
  guardOf,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { type Manifest, renderChart } from "../helpers/chart.ts";
import { applyManifest, identityOf } from "../helpers/chart-install.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { definitionsOf, install, uninstall } from "../helpers/definitions.ts";
import { type KubeClient, type KubeObject, kubeClient } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";
import { helm } from "../helpers/tools.ts";

const release = { name: "launchpad", namespace: "launchpad-system" };
const GATEWAY = { namespace: "infra", name: "public" };
const USER = "0f8fad5b-d9cb-469f-a165-70867728950e";
const TENANT = `agents-${USER}`;
const AGENT = "agent-1";
const ROUTE = {
  parentRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", ...GATEWAY }],
  hostnames: [`${AGENT}.agents.example.com`],
  rules: [
    {
      matches: [{ path: { type: "PathPrefix", value: "/" } }],
      backendRefs: [{ group: "", kind: "Service", name: AGENT, port: 80, weight: 1 }],
    },
  ],
};

const reason = await whyNoCluster();
describe("kinds of other projects", reason === undefined ? {} : { skip: Boolean(reason) }, () => {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-foreign-"));
  const log = join(folder, "audit.log");
  let cluster: TestCluster;
  let admin: KubeClient;
  let account: KubeClient;
  let kubeconfig: string;
  let controller: KubernetesCluster;
  let gatewayApi: Manifest[];
  const held = new Set<string>();

  beforeAll(async () => {
    gatewayApi = await definitionsOf("gateway");
    const policy = join(folder, "policy.json");
    const rules = [
      { level: "Metadata", users: [`system:serviceaccount:${release.namespace}:${release.name}`] },
      { level: "None" },
    ];
    const omitStages = ["RequestReceived"];
    writeFileSync(
      policy,
      JSON.stringify({ apiVersion: "audit.k8s.io/v1", kind: "Policy", omitStages, rules }),
    );
    cluster = await startCluster({
      apiServerFlags: [`--audit-policy-file=${policy}`, `--audit-log-path=${log}`],
    });
    admin = kubeClient(cluster);
    await admin.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: release.namespace } });
    await roles("gateway");
    const identity = await identityOf(cluster, admin, release, folder);
    kubeconfig = identity.kubeconfig;
    account = kubeClient(cluster, identity.token);
    controller = await started("gateway");
  });
  afterAll(async () => {
    await controller?.stop();
    account?.close();
    admin?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The chart's objects for one way to expose agents, but not the controller itself. */
  async function roles(expose: "gateway" | "ingress"): Promise<void> {
    const gateway = { "agents.gateway.namespace": GATEWAY.namespace, "agents.gateway.name": GATEWAY.name };
    for (const manifest of renderChart(helm() as string, { ...gateway, "agents.expose": expose }, release)) {
      if (manifest.kind !== "Deployment") await applyManifest(admin, manifest);
    }
  }

  async function started(expose: "gateway" | "ingress"): Promise<KubernetesCluster> {
    const made = new KubernetesCluster(await createClient({ kubeconfig }), {
      ...manifestOptionsOf({
        installation: release.name,
        controllerNamespace: release.namespace,
        tenantRole: { clusterRole: "launchpad-tenant", serviceAccount: release.name },
        expose,
        gateway: GATEWAY,
      }),
      podAccess: "proxy",
      resyncSeconds: 2,
      log: silentLog,
      clock: systemClock,
      random: Math.random,
      responsible: (agentId) => held.has(agentId),
      guard: guardOf(),
      gone: async ({ agents }) => ({
        agents: agents.filter((agentId) => !held.has(agentId)),
        users: [],
        known: { agents: [], users: [] },
        fleet: FLEET,
      }),
    });
    await made.start();
    return made;
  }

  /** As an upgrade of the chart does it: the roles, then another controller. */
  async function switched(expose: "gateway" | "ingress"): Promise<void> {
    await controller.stop();
    await roles(expose);
    controller = await started(expose);
    // A role arrives in the API server a moment after it was written.
    await eventually("the agent is applied", () =>
      controller.apply(workload()).then(
        () => true,
        () => false,
      ),
    );
  }

  const workload = (part: Partial<Workload> = {}): Workload =>
    workloadOf({ agentId: AGENT, userId: USER, ...part });
  const route = () => admin.get("HTTPRoute", TENANT, AGENT);
  const drift = async () => (await controller.get(AGENT))?.drift ?? [];
  const healthy = (wanted: boolean) =>
    eventually(
      wanted ? "it is well" : "it is not well",
      async () => (await controller.probe()).healthy === wanted,
    );

  test("without the Gateway API the controller starts, says what to install, and makes nothing by halves", async () => {
    const { healthy, message } = await controller.probe();
    assert.equal(healthy, false);
    assert.match(message ?? "", /no httproutes: install the Gateway API \(gateway\.networking\.k8s\.io\/v1/);
    held.add(AGENT);
    await assert.rejects(controller.apply(workload()), { message: message ?? "" });
    assert.equal(await admin.get("Namespace", undefined, TENANT), undefined);
  });

  test("once it is installed the controller continues on its own, and the API server takes the route as it is", async () => {
    await install(admin, gatewayApi);
    await healthy(true);
    await controller.apply(workload());
    const made = await route();
    assert.deepEqual(made?.spec, ROUTE);
    await eventually("it runs", async () => (await controller.get(AGENT))?.replicas[0]?.state === "ready");
    const since = Date.now();
    await controller.apply(workload());
    assert.deepEqual(await drift(), []);
    // By the time of the request: the API server may note what came before a little later.
    const writes = audited().filter(
      ({ requestReceivedTimestamp, verb }) =>
        /^(create|patch|update|delete)$/.test(verb) && Date.parse(requestReceivedTimestamp) >= since,
    );
    assert.deepEqual(writes, []);
    assert.equal((await route())?.metadata.generation, made?.metadata.generation);
  });

  test("the definition's own validations are at work", async () => {
    const path = { type: "PathPrefix", value: "relative" };
    const redirect = { type: "RequestRedirect", requestRedirect: { hostname: "elsewhere.example.com" } };
    const wrong = [
      [{ hostnames: ["UPPER.example.com"] }, /hostnames\[0\]/],
      [{ rules: [{ matches: [{ path }] }] }, /value must be an absolute path/],
      [{ rules: [{ ...ROUTE.rules[0], filters: [redirect] }] }, /must not be used together with backendRefs/],
    ] as const;
    for (const [spec, words] of wrong) {
      const object = { apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", spec };
      await assert.rejects(admin.apply({ ...object, metadata: { name: "wrong", namespace: TENANT } }), words);
    }
  });

  const edits: [what: string, change: () => KubeObject, fields: string[]][] = [
    [
      "its host, and one more",
      () => ({ hostnames: ["evil.example.com", "b.example.com"] }),
      ["hostnames[0]", "hostnames[1]"],
    ],
    [
      "all of its rule",
      () => ({
        rules: [
          {
            matches: [{ path: { type: "Exact", value: "/x" } }],
            filters: [{ type: "ResponseHeaderModifier", responseHeaderModifier: { remove: ["x-a"] } }],
            timeouts: { request: "1s" },
            backendRefs: [{ name: "other", port: 80 }],
          },
        ],
      }),
      ["matches[0].path.type", "matches[0].path.value", "filters", "timeouts", "backendRefs[agent-1]"],
    ],
  ];
  for (const [what, change, fields] of edits) {
    test(`a hand's edit is seen and put back: ${what}`, async () => {
      await admin.patch("HTTPRoute", TENANT, AGENT, { spec: change() });
      const words = await eventually("it was seen", async () => {
        const told = (await drift()).join("; ");
        return told === "" ? undefined : told;
      });
      for (const field of fields) assert.ok(words.includes(field), `${field} in: ${words}`);
      await controller.apply(workload());
      assert.deepEqual((await route())?.spec, ROUTE);
    });
  }

  test("what the Gateway says of the route is told", async () => {
    assert.equal((await controller.get(AGENT))?.exposure?.reason, "ROUTE_PENDING");
    const parent = ([type, status, reason, message]: readonly string[]) => ({
      parentRef: GATEWAY,
      controllerName: "example.com/gateway",
      conditions: [
        {
          type,
          status,
          reason,
          message,
          lastTransitionTime: new Date().toISOString(),
          observedGeneration: 1,
        },
      ],
    });
    const said = [
      ["Accepted", "False", "NotAllowedByListeners", "no listener takes the namespace"],
      ["ResolvedRefs", "False", "BackendNotFound", "service agent-1 not found"],
      ["Accepted", "True", "Accepted", ""],
    ] as const;
    const wanted = [
      [
        "False",
        "NotAllowedByListeners",
        "The Gateway infra/public does not take the agent's address: no listener takes the namespace.",
      ],
      [
        "False",
        "BackendNotFound",
        "The Gateway infra/public does not find the agent's Service: service agent-1 not found.",
      ],
      ["True", "ROUTE_ACCEPTED", "The Gateway infra/public serves the agent's address"],
    ];
    for (const [index, one] of said.entries()) {
      await admin.patch("HTTPRoute", TENANT, AGENT, { status: { parents: [parent(one)] } }, "status");
      const [status, reason, message] = wanted[index] ?? [];
      await eventually("it is told", async () => (await controller.get(AGENT))?.exposure?.reason === reason);
      assert.deepEqual((await controller.get(AGENT))?.exposure, { status, reason, message });
    }
    assert.deepEqual(await drift(), []);
  });

  test("taken away and brought back, the Gateway API's routes are made again", async () => {
    await uninstall(admin, gatewayApi);
    await healthy(false);
    assert.deepEqual(await drift(), [], "what cannot be there is no drift");
    await install(admin, gatewayApi);
    await eventually("it was seen", async () => (await drift()).some((one) => /HTTPRoute/.test(one)), 60_000);
    await controller.apply(workload());
    assert.deepEqual((await route())?.spec, ROUTE);
  });

  test("from HTTPRoutes to Ingresses and back, nothing of the other kind is left", async () => {
    await switched("ingress");
    assert.equal(await route(), undefined);
    assert.ok(await admin.get("Ingress", TENANT, AGENT));
    await switched("gateway");
    assert.equal(await admin.get("Ingress", TENANT, AGENT), undefined);
    assert.deepEqual((await route())?.spec, ROUTE);
  });

  test("a route of an agent that nobody knows is swept away", async () => {
    const labels = { ...(await route())?.metadata.labels, "agent-launchpad.dev/agent": "lost" };
    const spec = { ...ROUTE, hostnames: ["lost.agents.example.com"] };
    const object = { apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", spec };
    await admin.apply({ ...object, metadata: { name: "lost", namespace: TENANT, labels } });
    await admin.until("HTTPRoute", TENANT, "lost", "gone", (found) => found === undefined);
    assert.ok(await route());
  });

  test("the route goes with the agent", async () => {
    await controller.remove(AGENT);
    held.delete(AGENT);
    await eventually("nothing is left", async () => (await controller.list()).length === 0);
    assert.deepEqual(await admin.list("HTTPRoute"), []);
  });

  test("each right on routes was used, none was missing, and the other way in may only be removed", async () => {
    const used = new Set<string>();
    for (const { verb, objectRef, responseStatus } of audited()) {
      if (objectRef?.resource !== "httproutes") continue;
      assert.notEqual(responseStatus?.code, 403, `${verb} ${objectRef.namespace ?? ""}`);
      used.add(verb);
      // An apply that makes an object is a patch that also takes the right to create it.
      if (verb === "patch" && responseStatus?.code === 201) used.add("create");
    }
    const granted = [...CLUSTER_PERMISSIONS, ...TENANT_PERMISSIONS]
      .filter(({ resource }) => resource === "httproutes")
      .flatMap(({ verbs }) => verbs);
    assert.deepEqual([...used].sort(), [...new Set(granted)].sort());

    assert.deepEqual(await allowed("httproutes", "gateway.networking.k8s.io"), ["create", "patch", "delete"]);
    assert.deepEqual(await allowed("ingresses", "networking.k8s.io"), ["delete"]);
    await roles("ingress");
    await eventually(
      "the role has changed",
      async () => (await allowed("ingresses", "networking.k8s.io")).length > 1,
    );
    assert.deepEqual(await allowed("httproutes", "gateway.networking.k8s.io"), ["delete"]);
  });

  /** What of writing the controller may do in the user's namespace. */
  async function allowed(resource: string, group: string): Promise<string[]> {
    const verbs = ["create", "patch", "update", "delete", "deletecollection"];
    const answers = verbs.map(async (verb) => {
      const { body } = await account.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SelfSubjectAccessReview",
        spec: { resourceAttributes: { verb, group, resource, namespace: TENANT } },
      });
      return body.status.allowed === true;
    });
    const may = await Promise.all(answers);
    return verbs.filter((_, index) => may[index]);
  }

  test("the chart's monitoring is taken by the Prometheus operator's own definitions", async () => {
    await install(admin, await definitionsOf("monitoring"));
    const values = {
      "serviceMonitor.enabled": true,
      "serviceMonitor.labels.release": "prometheus",
      "prometheusRule.enabled": true,
      "prometheusRule.labels.release": "prometheus",
    };
    const manifests = renderChart(helm() as string, values, release);
    for (const manifest of manifests)
      if (manifest.kind !== "Deployment") await applyManifest(admin, manifest);
    const monitor = await admin.get("ServiceMonitor", release.namespace, release.name);
    const services = await admin.list("Service", release.namespace, selectorText(monitor?.spec.selector));
    assert.equal(services.length, 1, "one of the two Services is scraped");
    const ports = services[0]?.spec.ports.map(({ name }: { name: string }) => name);
    for (const { port } of monitor?.spec.endpoints ?? []) assert.ok(ports.includes(port), port);
    const rule = await admin.get("PrometheusRule", release.namespace, release.name);
    assert.ok(rule?.spec.groups[0].rules.length > 5);
    // The definition judges: what it does not know is refused.
    const wrong = structuredClone(manifests.find(({ kind }) => kind === "ServiceMonitor")) as Manifest;
    wrong.spec.endpoints[0].intervall = "30s";
    await assert.rejects(applyManifest(admin, wrong, true), /intervall/);
    wrong.spec.endpoints = [{ port: "http", interval: "often" }];
    await assert.rejects(applyManifest(admin, wrong, true), /interval/);
  });

  interface Audited {
    verb: string;
    requestReceivedTimestamp: string;
    objectRef?: { resource: string; namespace?: string };
    responseStatus?: { code: number };
  }

  function audited(): Audited[] {
    const lines = readFileSync(log, "utf8").split("\n");
    // The API server may be in the middle of the last one.
    return lines.slice(0, -1).map((line) => JSON.parse(line) as Audited);
  }
});

function selectorText({ matchLabels, matchExpressions }: KubeObject): string {
  const labels = Object.entries(matchLabels).map(([name, value]) => `${name}=${value}`);
  return [...labels, ...matchExpressions.map(({ key }: { key: string }) => key)].join(",");
}
