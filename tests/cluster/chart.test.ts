// The chart on its own: what it refuses, what it grants, what it never holds. Needs Go (for Helm), no cluster.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import {
  CLUSTER_PERMISSIONS,
  OWN_PERMISSIONS,
  type Permission,
  TENANT_PERMISSIONS,
} from "../../packages/controller/src/cluster/kubernetes/permissions.ts";
import { readConfig } from "../../packages/controller/src/config.ts";
import { createInstruments } from "../../packages/controller/src/instruments.ts";
import { CHART, LEAST, type Manifest, renderChart, runHelm, settings } from "../helpers/chart.ts";
import { helm } from "../helpers/tools.ts";

const program = helm();
const options = { skip: program === undefined };
const render = (values: Record<string, string | number | boolean> = {}) =>
  renderChart(program as string, values);

function find(manifests: Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((one) => one.kind === kind && one.metadata.name === name);
  assert.ok(found, `no ${kind} ${name}`);
  return found;
}

test("helm lint finds nothing", options, () => {
  const { status, out } = runHelm(program as string, ["lint", "--strict", CHART, ...settings(LEAST)]);
  assert.equal(status, 0, out);
});

const REFUSED: [what: string, values: Record<string, string | number | boolean>, named: string][] = [
  ["no address of the project", { "supabase.url": "" }, "/supabase/url"],
  ["an address with a path", { "supabase.url": "https://a.example/rest/v1" }, "/supabase/url"],
  ["no Secret", { secretName: "" }, "/secretName"],
  ["no domain", { "agents.domain": "" }, "/agents/domain"],
  ["an upper-case domain", { "agents.domain": "Example.com" }, "/agents/domain"],
  ["a prefix too long for a user's id behind it", { namespacePrefix: "a".repeat(27) }, "/namespacePrefix"],
  ["a quote that would leave the policy's expression", { installation: "a' || true || '" }, "/installation"],
  ["an unknown way to expose agents", { "agents.expose": "nodeport" }, "/agents/expose"],
  ["a tag that is none", { "image.tag": "a b" }, "/image/tag"],
  ["half a digest", { "image.digest": "sha256:abc" }, "/image/digest"],
  ["no replica", { replicas: 0 }, "/replicas"],
  ["a misspelt setting", { "settings.pollSecond": 5 }, "pollSecond"],
  ["a secret's value", { "supabase.secretKey": "sb_secret_x" }, "secretKey"],
];
for (const [what, values, named] of REFUSED) {
  test(`refused by the schema: ${what}`, options, () => {
    assert.throws(
      () => render(values),
      (error: Error) => error.message.includes(named),
    );
  });
}

test("a gateway must be named where agents are exposed by one", options, () => {
  assert.throws(() => render({ "agents.expose": "gateway" }), /agents\.gateway/);
});

test("the roles grant the table of permissions, and nothing else", options, () => {
  const rolesOf = (
    name: string,
    used: string,
    manifests: Manifest[],
    table: readonly Permission[],
    kind = "ClusterRole",
  ) => {
    const wanted = table
      .filter(({ expose }) => expose === undefined || expose === used)
      .map(({ group, resource, verbs, names }) => ({
        apiGroups: [group],
        resources: [resource],
        verbs: [...verbs],
        ...(names && { resourceNames: ["launchpad-tenant"] }),
      }));
    assert.deepEqual(find(manifests, kind, name).rules, wanted);
  };
  const gateway = { "agents.gateway.name": "g", "agents.gateway.namespace": "n" };
  for (const used of ["gateway", "none", "ingress"]) {
    const manifests = render({ ...gateway, "agents.expose": used });
    rolesOf("launchpad-controller", used, manifests, CLUSTER_PERMISSIONS);
    rolesOf("launchpad-tenant", used, manifests, TENANT_PERMISSIONS);
    rolesOf("launchpad", used, manifests, OWN_PERMISSIONS, "Role");
  }
  const manifests = render();
  const bindings = manifests.filter(({ kind }) => /Binding$/.test(kind));
  assert.deepEqual(
    bindings.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort(),
    [
      "ClusterRoleBinding launchpad-controller",
      "RoleBinding launchpad",
      "ValidatingAdmissionPolicyBinding launchpad-controller",
    ],
    "the role for users' namespaces is bound nowhere",
  );
});

test(
  "no rule has a wildcard but a list in users' namespaces; nothing secret can be read elsewhere",
  options,
  () => {
    for (const { metadata, rules } of render().filter(({ kind }) => kind === "ClusterRole")) {
      const wild = (rules as object[]).filter((rule) => JSON.stringify(rule).includes("*"));
      // Whether somebody else put anything into a namespace that would go.
      const list = [{ apiGroups: ["*"], resources: ["*"], verbs: ["list"] }];
      assert.deepEqual(wild, metadata.name === "launchpad-tenant" ? list : []);
    }
    const wide = JSON.stringify(find(render(), "ClusterRole", "launchpad-controller").rules);
    for (const word of [
      "secrets",
      "configmaps",
      "exec",
      "proxy",
      "impersonate",
      "escalate",
      "update",
      "pods/",
    ]) {
      assert.ok(!wide.includes(`"${word}`), word);
    }
  },
);

test("the controller understands the environment that the chart gives it", options, () => {
  for (const values of [
    {},
    { "agents.expose": "gateway", "agents.gateway.name": "g", "agents.gateway.namespace": "n" },
    {
      "agents.egress.cidrs[0]": "10.1.0.0/16",
      "agents.egress.ports[0]": 443,
      "agents.egress.ports[1]": 5432,
      "agents.egress.exceptCidrs[0]": "10.1.2.0/24",
      "agents.egress.allowPrivate": true,
      "agents.ingressCidrs[0]": "10.2.0.0/16",
    },
    { "agents.ingressTlsSecret": "wildcard", "agents.urlTemplate": "https://{agentId}.example.net" },
  ]) {
    const [container] = find(render(values), "Deployment", "launchpad").spec.template.spec.containers;
    const environment: Record<string, string> = {};
    for (const { name, value, valueFrom } of container.env) {
      if (value !== undefined) environment[name] = value;
      else if (valueFrom.secretKeyRef) environment[name] = "a-secret-of-sixteen-or-more";
      else
        environment[name] =
          valueFrom.fieldRef.fieldPath === "metadata.namespace" ? "launchpad-system" : "launchpad";
    }
    const config = readConfig(environment);
    assert.equal(config.cluster, "kubernetes");
    assert.deepEqual(config.kubernetes?.tenantRole, {
      clusterRole: "launchpad-tenant",
      serviceAccount: "launchpad",
    });
    assert.equal(config.kubernetes?.controllerNamespace, "launchpad-system");
    assert.equal(config.kubernetes?.podAccess, "direct");
    assert.equal(config.kubernetes?.installation, "launchpad");
    if ("agents.urlTemplate" in values)
      assert.equal(config.agentUrlTemplate, "https://{agentId}.example.net");
    if ("agents.egress.cidrs[0]" in values) {
      assert.deepEqual(config.kubernetes?.egress.allowCidrs, ["10.1.0.0/16"]);
      assert.deepEqual(config.kubernetes?.egress.ports, [443, 5432]);
      assert.deepEqual(config.kubernetes?.egress.exceptCidrs, ["10.1.2.0/24"]);
      assert.equal(config.kubernetes?.egress.allowPrivate, true);
      assert.deepEqual(config.kubernetes?.ingressCidrs, ["10.2.0.0/16"]);
    }
  }
});

test("secrets come by reference alone", options, () => {
  const manifests = render({ providerSecretName: "providers" });
  assert.ok(!manifests.some(({ kind }) => kind === "Secret"));
  const [container] = find(manifests, "Deployment", "launchpad").spec.template.spec.containers;
  for (const { name, value } of container.env)
    if (/SECRET_KEY|WEBHOOK_SECRET/.test(name)) assert.equal(value, undefined);
  assert.deepEqual(container.envFrom, [{ secretRef: { name: "providers" } }]);
});

test("two controllers survive the loss of a node, and a drain takes one at a time", options, () => {
  const manifests = render();
  const { spec } = find(manifests, "Deployment", "launchpad");
  assert.equal(spec.replicas, 2);
  assert.deepEqual(spec.strategy.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 });
  assert.equal(find(manifests, "PodDisruptionBudget", "launchpad").spec.maxUnavailable, 1);
  assert.ok(!render({ replicas: 1 }).some(({ kind }) => kind === "PodDisruptionBudget"));
});

test(
  "a Service with an address outside is reached from there, and any other from named namespaces alone",
  options,
  () => {
    const open = (type: string) =>
      find(render({ "service.type": type }), "NetworkPolicy", "launchpad").spec.ingress.filter(
        ({ from }: { from?: unknown[] }) => from === undefined,
      );
    assert.deepEqual(open("ClusterIP"), []);
    for (const type of ["NodePort", "LoadBalancer"])
      assert.deepEqual(open(type), [{ ports: [{ port: "http" }] }]);
  },
);

test("every metric that an alert asks for is one that the controller has", options, () => {
  const text = readFileSync(join(CHART, "files/alerts.yaml"), "utf8");
  const asked = [...new Set(text.match(/\b(launchpad|process)_[a-z_]+/g))];
  assert.ok(asked.length > 5);
  const instruments = createInstruments();
  instruments.watch({ controller: {}, cluster: {}, telemetry: {} } as never);
  const known = instruments.names;
  for (const name of asked) assert.ok(known.includes(name.replace(/_(bucket|sum|count)$/, "")), name);
  const rules = find(render({ "prometheusRule.enabled": true }), "PrometheusRule", "launchpad").spec.groups[0]
    .rules;
  for (const { annotations } of rules) {
    const [, anchor] = /docs\/operations\.md#(.+)/.exec(annotations.runbook_url) ?? [];
    const page = readFileSync(join(CHART, "../../docs/operations.md"), "utf8");
    const anchors = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^a-z0-9 -]/g, "")
        .replaceAll(" ", "-"),
    );
    assert.ok(anchors.includes(anchor ?? ""), annotations.runbook_url);
  }
});
