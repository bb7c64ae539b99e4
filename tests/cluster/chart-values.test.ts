// The chart's values with both majors of Helm: what is merged, what is refused, and that both render the same objects.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "vitest";
import { parse } from "yaml";
import { NAMED_PERMISSIONS } from "../../packages/controller/src/cluster/kubernetes/permissions.ts";
import { readConfig } from "../../packages/controller/src/config.ts";
import { CHART, LEAST, type Manifest, renderValues, runHelm, settings } from "../helpers/chart.ts";
import { VARIANTS } from "../helpers/chart-variants.ts";
import { helm } from "../helpers/tools.ts";

const programs = { 3: helm(3), 4: helm(4) };
const options = { skip: programs[3] === undefined };
const deployment = (manifests: Manifest[]) => manifests.find(({ kind }) => kind === "Deployment") as Manifest;
const pod = (manifests: Manifest[]) => deployment(manifests).spec.template.spec;
const environment = (manifests: Manifest[]): { name: string; value?: string; valueFrom?: unknown }[] =>
  pod(manifests).containers[0].env;

for (const [what, { values, files }] of Object.entries(VARIANTS)) {
  test(`Helm 3 and 4 render the same: ${what}`, options, () => {
    const [three, four] = [3, 4].map((major) => {
      const text = JSON.stringify(renderValues(programs[major as 3 | 4] as string, values, files));
      return JSON.parse(text) as Manifest[];
    });
    assert.deepEqual(three, four);
    const names = four?.map(({ kind, metadata }) => `${kind} ${metadata.namespace} ${metadata.name}`);
    assert.equal(new Set(names).size, names?.length, "no object twice");
    const env = environment(four as Manifest[]).map(({ name }) => name);
    assert.deepEqual(env, [...new Set(env)], "no variable twice");
  });
}

for (const major of [3, 4] as const) {
  const program = programs[major] as string;
  const render = (values: object, files: string[] = []) => renderValues(program, values, files);

  describe(`Helm ${major}`, options, () => {
    test("an entry of extraEnv replaces ours of the same name; the last of two wins", () => {
      const env = environment(
        render({
          extraEnv: [
            { name: "LAUNCHPAD_LOG_LEVEL", value: "warn" },
            { name: "LAUNCHPAD_SECRET_KEY", valueFrom: { secretKeyRef: { name: "vault", key: "k" } } },
            { name: "NODE_EXTRA_CA_CERTS", value: "/ca/ca.crt" },
            { name: "LAUNCHPAD_LOG_LEVEL", value: "debug" },
          ],
        }),
      );
      const of = (name: string) => env.filter((one) => one.name === name);
      assert.deepEqual(of("LAUNCHPAD_LOG_LEVEL"), [{ name: "LAUNCHPAD_LOG_LEVEL", value: "debug" }]);
      assert.deepEqual(
        of("LAUNCHPAD_SECRET_KEY").map(({ valueFrom }) => valueFrom),
        [{ secretKeyRef: { name: "vault", key: "k" } }],
      );
      assert.equal(of("NODE_EXTRA_CA_CERTS").length, 1);
      assert.equal(of("LAUNCHPAD_SUPABASE_URL").length, 1);
    });

    test("what roles and the policy follow cannot be set by extraEnv; the error names the value", () => {
      for (const [name, value] of [
        ["LAUNCHPAD_INSTALLATION", "Set installation."],
        ["LAUNCHPAD_NAMESPACE_PREFIX", "Set namespacePrefix."],
        ["LAUNCHPAD_SERVICE_ACCOUNT", "Set serviceAccount.name."],
      ] as const) {
        assert.throws(
          () => render({ extraEnv: [{ name, value: "x" }] }),
          (error: Error) =>
            error.message.includes(`extraEnv cannot set ${name}`) && error.message.includes(value),
        );
      }
    });

    test("pull secrets are taken as objects and as names", () => {
      const manifests = render({
        imagePullSecrets: ["one", { name: "two" }],
        agents: { imagePullSecrets: [{ name: "three" }, "four"] },
      });
      assert.deepEqual(pod(manifests).imagePullSecrets, [{ name: "one" }, { name: "two" }]);
      const given = environment(manifests).find(({ name }) => name === "LAUNCHPAD_AGENT_IMAGE_PULL_SECRETS");
      assert.equal(given?.value, "three,four");
    });

    test("overridden names reach every object, reference, role and policy", () => {
      const manifests = render({
        fullnameOverride: "the-controller",
        serviceAccount: { name: "the-account" },
      });
      for (const { kind, metadata } of manifests.filter(({ kind }) => kind !== "ServiceAccount"))
        assert.ok(metadata.name.startsWith("the-controller"), `${kind} ${metadata.name}`);
      const text = JSON.stringify(manifests);
      assert.ok(text.includes("system:serviceaccount:launchpad-system:the-account"));
      assert.ok(text.includes("s.name == 'the-account'"));
      assert.equal(pod(manifests).serviceAccountName, "the-account");
      const binding = manifests.find(({ kind }) => kind === "ClusterRoleBinding");
      assert.equal(binding?.subjects[0].name, "the-account");
      const env = environment(manifests);
      assert.equal(env.find(({ name }) => name === "LAUNCHPAD_TENANT_ROLE")?.value, "the-controller-tenant");
      // Running agents carry it: a new name of the objects must not change it.
      assert.equal(env.find(({ name }) => name === "LAUNCHPAD_INSTALLATION")?.value, "launchpad");
      assert.equal(
        env.find(({ name }) => name === "LAUNCHPAD_PEERS")?.value,
        "the-controller-peers.launchpad-system.svc:8080",
      );
      assert.equal(
        env.find(({ name }) => name === "LAUNCHPAD_DOORS")?.value,
        "the-controller-peers.launchpad-system.svc:8081",
      );
    });

    test("requests to sleeping agents reach the controllers from where agents are reached, and from nowhere else", () => {
      const manifests = render({
        agents: { ingressNamespace: "traefik", ingressCidrs: ["192.0.2.0/24"] },
      });
      const door = pod(manifests).containers[0].ports.find(({ name }: { name: string }) => name === "door");
      assert.equal(door.containerPort, configOf(manifests).ingressPort);
      const policy = manifests.find(({ kind }) => kind === "NetworkPolicy");
      const rules = policy?.spec.ingress.filter(({ ports }: { ports: { port: unknown }[] }) =>
        ports.some(({ port }) => port === "door"),
      );
      assert.equal(rules.length, 1);
      const [own, namespace, cidr] = rules[0].from;
      assert.deepEqual(Object.keys(own), ["podSelector"]);
      assert.deepEqual(namespace.namespaceSelector.matchExpressions[0].values, ["traefik"]);
      assert.deepEqual(cidr, { ipBlock: { cidr: "192.0.2.0/24" } });
      assert.equal(rules[0].from.length, 3);
    });

    test("nameOverride renames the label and is added to the names", () => {
      const manifests = render({ nameOverride: "agents" });
      assert.equal(deployment(manifests).metadata.name, "launchpad-agents");
      assert.equal(deployment(manifests).spec.selector.matchLabels["app.kubernetes.io/name"], "agents");
    });

    test("labels of the operator are added; none replaces what selects pods", () => {
      const manifests = render(VARIANTS["labels and annotations everywhere"]?.values ?? {});
      const { labels } = deployment(manifests).spec.template.metadata;
      assert.equal(labels["app.kubernetes.io/name"], "agent-launchpad-controller");
      assert.equal(labels["app.kubernetes.io/instance"], "launchpad");
      assert.equal(labels["sidecar.istio.io/inject"], "false");
      for (const { kind, metadata } of manifests) assert.equal(metadata.labels?.team, "platform", kind);
    });

    test("an existing service account is used, not made, and must be named", () => {
      const manifests = render({ serviceAccount: { create: false, name: "mine" } });
      assert.ok(!manifests.some(({ kind }) => kind === "ServiceAccount"));
      assert.equal(pod(manifests).serviceAccountName, "mine");
      assert.throws(() => render({ serviceAccount: { create: false } }), /serviceAccount\.name is needed/);
    });

    test("a spread without a selector gets the controller's; one with a selector keeps it", () => {
      const constraint = { maxSkew: 2, topologyKey: "rack", whenUnsatisfiable: "DoNotSchedule" };
      const labelSelector = { matchLabels: { a: "b" } };
      const found = pod(
        render({ topologySpreadConstraints: [constraint, { ...constraint, labelSelector }] }),
      ).topologySpreadConstraints;
      assert.deepEqual(found[0], {
        ...constraint,
        labelSelector: {
          matchLabels: {
            "app.kubernetes.io/name": "agent-launchpad-controller",
            "app.kubernetes.io/instance": "launchpad",
          },
        },
      });
      assert.deepEqual(found[1], { ...constraint, labelSelector });
    });

    test("OpenShift: no fixed user or group, for the controller and for agents; DNS at openshift-dns:5353", () => {
      const manifests = render({}, [join(CHART, "openshift-values.yaml")]);
      assert.deepEqual(pod(manifests).securityContext, {
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      });
      assert.ok(!/runAsUser|fsGroup|65532/.test(JSON.stringify(deployment(manifests))));
      const policy = manifests.find(({ kind }) => kind === "NetworkPolicy");
      const [dns] = policy?.spec.egress ?? [];
      assert.deepEqual(dns.ports, [
        { port: 5353, protocol: "UDP" },
        { port: 5353, protocol: "TCP" },
      ]);
      assert.deepEqual(dns.to[0].namespaceSelector.matchExpressions[0].values, ["openshift-dns"]);
      const { kubernetes } = configOf(manifests);
      assert.deepEqual(kubernetes?.podSecurityContext, { supplementalGroups: [] });
      assert.deepEqual(kubernetes?.dns, {
        namespaces: ["openshift-dns"],
        podLabels: { "dns.operator.openshift.io/daemonset-dns": "default" },
        ports: [5353],
        cidrs: [],
      });
    });

    test("in the release namespace the controller may get named objects only, nothing without names", () => {
      const rules = (values: object) =>
        render(values).find(({ kind, metadata }) => kind === "Role" && metadata.name.endsWith("-copied"))
          ?.rules;
      const given = {
        agents: { imagePullSecrets: ["registry", { name: "other" }], ingressTlsSecret: "agents-tls" },
        caBundle: { name: "company-ca" },
      };
      assert.deepEqual(rules(given), [
        {
          apiGroups: [""],
          resources: ["secrets"],
          verbs: ["get"],
          resourceNames: ["registry", "other", "agents-tls"],
        },
        { apiGroups: [""], resources: ["configmaps"], verbs: ["get"], resourceNames: ["company-ca"] },
      ]);
      assert.deepEqual(
        rules(given).map(({ apiGroups, resources, verbs }: Record<string, string[]>) => [
          apiGroups?.[0],
          resources?.[0],
          verbs,
        ]),
        NAMED_PERMISSIONS.map(({ group, resource, verbs }) => [group, resource, [...verbs]]),
      );
      assert.equal(rules({}), undefined);
      assert.equal(rules({ agents: { ingressTlsSecret: "{agentId}-tls" } }), undefined);
      assert.equal(rules({ ...given, agents: { ...given.agents, copySecrets: false } }), undefined);
      const secret = { caBundle: { kind: "Secret", name: "company-ca" } };
      assert.deepEqual(rules(secret)[0].resourceNames, ["company-ca"]);
    });

    test("caBundle is mounted and trusted by the controller, and known for agents", () => {
      const manifests = render({ caBundle: { kind: "Secret", name: "company-ca", key: "bundle.pem" } });
      const { containers, volumes } = pod(manifests);
      assert.deepEqual(volumes.at(-1), { name: "ca", secret: { secretName: "company-ca" } });
      assert.deepEqual(containers[0].volumeMounts.at(-1), {
        name: "ca",
        mountPath: "/etc/launchpad-ca",
        readOnly: true,
      });
      const trusted = environment(manifests).find(({ name }) => name === "NODE_EXTRA_CA_CERTS");
      assert.equal(trusted?.value, "/etc/launchpad-ca/bundle.pem");
      assert.deepEqual(configOf(manifests).kubernetes?.caBundle, {
        kind: "Secret",
        name: "company-ca",
        key: "bundle.pem",
      });
    });

    test("the controller understands what each variant gives it", () => {
      for (const [what, { values, files }] of Object.entries(VARIANTS))
        assert.equal(configOf(render(values, files)).cluster, "kubernetes", what);
    });

    const TYPOS: [what: string, values: object, named: RegExp][] = [
      ["a misspelt value at the top", { tolerattions: [] }, /tolerattions/],
      ["a misspelt value below", { serviceAccount: { automounted: true } }, /automounted/],
      ["a value of ingress-nginx's at the wrong place", { controller: { replicaCount: 2 } }, /controller/],
      ["a label that Kubernetes refuses", { commonLabels: { a: "not a label" } }, /commonLabels/],
      ["a number as a variable's value", { extraEnv: [{ name: "A", value: 5 }] }, /extraEnv\/0\/value/],
      ["a variable without a name", { extraEnv: [{ value: "x" }] }, /extraEnv\/0/],
      ["a pull secret that is no object", { imagePullSecrets: [{ secret: "x" }] }, /imagePullSecrets\/0/],
      ["a user for agents as a text", { agents: { podSecurityContext: { runAsUser: "1000" } } }, /runAsUser/],
      ["root for agents", { agents: { podSecurityContext: { runAsUser: 0 } } }, /runAsUser/],
      ["privileges for agents", { agents: { podSecurityContext: { sysctls: [] } } }, /sysctls/],
      ["a probe's path", { livenessProbe: { httpGet: {} } }, /httpGet/],
      ["an unknown IP family", { service: { ipFamilies: ["IPv5"] } }, /ipFamilies\/0/],
      ["an image's tag in its repository", { agents: { image: { repository: "a/b:1" } } }, /repository/],
      ["an image that no node reads", { agents: { image: { repository: "a/b..c" } } }, /repository/],
      ["the controller's image in capitals", { image: { repository: "r.example.com/Team" } }, /repository/],
      ["DNS without a namespace", { dns: { namespaces: [] } }, /dns\/namespaces/],
    ];
    for (const [what, values, named] of TYPOS) {
      test(`refused with its place: ${what}`, () => {
        assert.throws(
          () => render(values),
          (error: Error) => named.test(error.message),
        );
      });
    }

    test("lint finds nothing", () => {
      const { status, out } = runHelm(program, ["lint", "--strict", CHART, ...settings(LEAST)]);
      assert.equal(status, 0, out);
    });
  });
}

/** The controller's settings from a rendered Deployment, with what Kubernetes would fill in. */
function configOf(manifests: Manifest[]) {
  const source: Record<string, string> = {};
  for (const { name, value, valueFrom } of environment(manifests)) {
    const path = (valueFrom as { fieldRef?: { fieldPath: string } } | undefined)?.fieldRef?.fieldPath;
    source[name] =
      value ?? (path === "metadata.namespace" ? "launchpad-system" : "a-secret-of-sixteen-or-more");
  }
  return readConfig(source);
}

test("every value has a description in the schema, and every field of the schema a default", () => {
  type Schema = { $ref?: string; description?: string; properties?: Record<string, Schema> };
  const schema = JSON.parse(readFileSync(join(CHART, "values.schema.json"), "utf8")) as Schema & {
    definitions: Record<string, Schema>;
  };
  const values = parse(readFileSync(join(CHART, "values.yaml"), "utf8")) as Record<string, unknown>;
  const resolved = (one: Schema): Schema => ({
    ...schema.definitions[one.$ref?.split("/").at(-1) ?? ""],
    ...one,
  });
  const walk = (fields: Record<string, Schema>, defaults: Record<string, unknown>, path: string) => {
    const known = Object.keys(fields).filter((name) => path !== "" || name !== "global");
    assert.deepEqual(known.sort(), Object.keys(defaults).sort(), path);
    for (const name of known) {
      const field = resolved(fields[name] as Schema);
      const value = defaults[name];
      const open = value !== null && typeof value === "object" && !Array.isArray(value);
      const own = (fields[name] as Schema).description;
      if (own !== undefined) continue;
      assert.ok(field.properties !== undefined && open, `${path}${name} has no description`);
      walk(field.properties, value as Record<string, unknown>, `${path}${name}.`);
    }
  };
  walk(schema.properties ?? {}, values, "");
});
