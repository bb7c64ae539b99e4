import assert from "node:assert/strict";
import { BlockList, isIPv6 } from "node:net";
import { expect, test } from "vitest";
import { specOf } from "../../../testing/memory-database.ts";
import type { KubeObject } from "../api.ts";
import { namespaceOf, serviceName } from "../names.ts";
import type { ManifestOptions, ProjectPlace } from "../options.ts";
import { manifestOptionsOf, workloadOf } from "../testing.ts";
import { type WorkloadManifests, workloadManifests } from "./agent-manifests.ts";

/** Every object, in the order in which they are made. */
function all(manifests: WorkloadManifests): KubeObject[] {
  const { user, anchor, before, beside, deployment, after } = manifests;
  return [user.namespace, ...user.access, ...user.bounds, anchor, ...before, ...beside, deployment, ...after];
}

function names(manifests: WorkloadManifests): string[] {
  return all(manifests).map(({ kind, metadata }) => `${kind}/${metadata.name}`);
}

function find(manifests: WorkloadManifests, kind: string): KubeObject {
  const found = all(manifests).find((object) => object.kind === kind);
  assert.ok(found, kind);
  return found;
}

test("all that an agent is made of, by Ingress and with an autoscaler", () => {
  const spec = specOf({ scalingPolicy: { min_replicas: 1, max_replicas: 5, target_cpu: 70 } });
  const manifests = workloadManifests(
    workloadOf({ spec, replicas: 2, environment: { DISCORD_TOKEN: "agents-own", PORT: "1", AGENT_ID: "x" } }),
    manifestOptionsOf({
      ingressClassName: "nginx",
      ingressTlsSecret: "agents-tls",
      imagePullSecrets: ["registry"],
      tenantRole: { clusterRole: "agent-launchpad-tenant", serviceAccount: "controller" },
      providerEnvironment: { OPENAI_API_KEY: "operators-key" },
    }),
  );
  expect(all(manifests)).toMatchSnapshot();
});

test("by Gateway, with networks and ports of its own, a fixed number of replicas and no quota", () => {
  const manifests = workloadManifests(
    workloadOf({ agentId: "0-agent", quota: null, replicas: 3 }),
    manifestOptionsOf({
      expose: "gateway",
      gateway: { name: "public", namespace: "gateways" },
      egress: {
        allowCidrs: ["10.20.0.0/16", "0.0.0.0/0"],
        exceptCidrs: [],
        allowPrivate: false,
        ports: [443, 5432],
      },
    }),
  );
  expect(all(manifests)).toMatchSnapshot();
});

/** The networks that agents may connect to, with what is excepted of each. */
function opened(part: Partial<ManifestOptions["egress"]>): Map<string, string[]> {
  const egress = { ...manifestOptionsOf().egress, ...part };
  const policy = all(workloadManifests(workloadOf(), manifestOptionsOf({ egress }))).find(
    ({ metadata }) => metadata.name === "allow-egress",
  );
  const spec = policy?.spec as { egress: [{ to: { ipBlock: { cidr: string; except?: string[] } }[] }] };
  return new Map(spec.egress[0].to.map(({ ipBlock: { cidr, except = [] } }) => [cidr, except]));
}

/** Whether agents may connect to the address, as a network plugin reads the policy. */
function reaches(networks: Map<string, string[]>, address: string): boolean {
  const family = isIPv6(address) ? "ipv6" : "ipv4";
  const holds = (cidr: string) => {
    const [start = "", bits = ""] = cidr.split("/");
    if (isIPv6(start) !== isIPv6(address)) return false;
    const block = new BlockList();
    block.addSubnet(start, Number(bits), family);
    return block.check(address, family);
  };
  return [...networks].some(([cidr, except]) => holds(cidr) && !except.some(holds));
}

const METADATA_SERVICES = [
  "169.254.169.254",
  "100.100.100.200",
  "168.63.129.16",
  "fd00:ec2::254",
  "fd20:ce::254",
  "fe80::a9fe:a9fe",
];
const PRIVATE_ADDRESSES = ["10.0.0.1", "172.16.5.5", "192.168.1.1", "100.64.0.1", "198.18.0.1", "fd12::1"];
/** Each holds 10.0.0.1 or 169.254.169.254, and a gateway may lead there. */
const EMBEDDED = ["64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1", "2001:0:a00:1::1"];
const INTERNET = ["1.1.1.1", "140.82.112.3", "2606:4700:4700::1111", "2a00:1450:4001::1"];

test("by default the internet is open, and nothing else by either protocol", () => {
  const networks = opened({});
  for (const address of INTERNET) assert.equal(reaches(networks, address), true, address);
  for (const address of [
    ...METADATA_SERVICES,
    ...PRIVATE_ADDRESSES,
    ...EMBEDDED,
    "127.0.0.1",
    "::1",
    "224.0.0.1",
  ]) {
    assert.equal(reaches(networks, address), false, address);
  }
});

test("an exception of an operator is one more: it opens nothing", () => {
  const networks = opened({ exceptCidrs: ["140.82.0.0/16", "2606:4700::/32"] });
  const closed = [
    "140.82.112.3",
    "2606:4700:4700::1111",
    ...METADATA_SERVICES,
    ...PRIVATE_ADDRESSES,
    ...EMBEDDED,
  ];
  for (const address of closed) assert.equal(reaches(networks, address), false, address);
  assert.equal(reaches(networks, "1.1.1.1"), true);
});

test("allowPrivate opens private networks, never a metadata service or a link", () => {
  const networks = opened({ allowPrivate: true });
  for (const address of [...INTERNET, ...PRIVATE_ADDRESSES])
    assert.equal(reaches(networks, address), true, address);
  for (const address of [...METADATA_SERVICES, ...EMBEDDED])
    assert.equal(reaches(networks, address), false, address);
});

test("a network that is named is open though it is private; metadata services in it are not", () => {
  const networks = opened({ allowCidrs: ["10.20.0.0/16", "203.0.113.0/28", "fd00::/8"] });
  assert.equal(reaches(networks, "10.20.0.1"), true);
  assert.equal(reaches(networks, "203.0.113.1"), true);
  assert.equal(reaches(networks, "10.21.0.1"), false);
  assert.equal(reaches(networks, "fd00:ec2::1"), true);
  assert.equal(reaches(networks, "fd00:ec2::254"), false);
  assert.equal(reaches(networks, "1.1.1.1"), false);
});

test("agents reach the project at its own port where it lies in a private network", () => {
  const rule = (url: string, places: readonly ProjectPlace[]) => {
    const options = manifestOptionsOf({ project: { url, key: "k", probeSecret: "s", proxyHops: 1, places } });
    const policy = all(workloadManifests(workloadOf(), options)).find(
      ({ metadata }) => metadata.name === "allow-egress",
    );
    return (policy?.spec as { egress: unknown[] } | undefined)?.egress.slice(1);
  };
  const address = [{ ipBlock: { cidr: "10.0.8.4/32" } }];
  assert.deepEqual(rule("http://10.0.8.4:8000", address), [
    { to: address, ports: [{ protocol: "TCP", port: 8000 }] },
  ]);
  const service = [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "supabase" } } }];
  assert.deepEqual(rule("http://kong.supabase.svc:8000", service), [{ to: service }]);
  assert.deepEqual(rule("https://x.supabase.co", []), []);
});

test("a public project is opened only where the rule for the internet does not reach it", () => {
  const places = [{ ipBlock: { cidr: "1.1.1.7/32" } }, { ipBlock: { cidr: "2606:4700::7/128" } }];
  const rules = (url: string, egress: Partial<ManifestOptions["egress"]> = {}) => {
    const options = manifestOptionsOf({ project: { url, key: "k", probeSecret: "s", proxyHops: 1, places } });
    const narrow = { ...options, egress: { ...options.egress, ...egress } };
    const policy = all(workloadManifests(workloadOf(), narrow)).find(
      ({ metadata }) => metadata.name === "allow-egress",
    );
    return (policy?.spec as { egress: unknown[] } | undefined)?.egress.slice(1);
  };
  const opened = (port: number) => [{ to: places, ports: [{ protocol: "TCP", port }] }];
  assert.deepEqual(rules("https://db.example"), []);
  assert.deepEqual(rules("https://db.example:8443"), opened(8443));
  assert.deepEqual(rules("https://db.example", { allowCidrs: ["198.51.100.0/24"] }), opened(443));
});

test("private hosts are open to agents at their port, and their tools are told the same", () => {
  const block = (cidr: string) => ({ ipBlock: { cidr } });
  const service = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "crm" } } };
  const options = manifestOptionsOf({
    tools: { privateHosts: ["10.0.9.1:8080", "crm.crm.svc"], timeoutMs: 20_000 },
    privatePlaces: [
      { to: block("10.0.9.1/32"), port: 8080 },
      { to: block("fd00::9/128"), port: 8080 },
      { to: block("10.0.9.1/32"), port: 8080 },
      { to: block("10.0.9.2/32") },
      { to: block("1.1.1.7/32"), port: 443 },
      { to: service },
    ],
  });
  const manifests = workloadManifests(workloadOf(), options);
  const policy = all(manifests).find(({ metadata }) => metadata.name === "allow-egress");
  const tcp = (port: number, endPort?: number) => ({ protocol: "TCP", port, ...(endPort && { endPort }) });
  assert.deepEqual((policy?.spec as { egress: unknown[] } | undefined)?.egress.slice(1), [
    { to: [block("10.0.9.1/32"), block("fd00::9/128")], ports: [tcp(8080)] },
    { to: [block("10.0.9.2/32")], ports: [tcp(80), tcp(443), tcp(1024, 65535)] },
    { to: [service] },
  ]);
  const { containers } = (find(manifests, "Deployment").spec as never as PodHolder).template.spec;
  const told = new Map(containers[0]?.env.map(({ name, value }) => [name, value]));
  assert.equal(told.get("AGENT_TOOL_PRIVATE_HOSTS"), "10.0.9.1:8080,crm.crm.svc");
  assert.equal(told.get("AGENT_TOOL_TIMEOUT_MS"), "20000");
});

interface PodHolder {
  template: { spec: { containers: { env: { name: string; value?: string }[] }[] } };
}

test("who is no pod may ask agents where its addresses are named", () => {
  const options = manifestOptionsOf({ ingressCidrs: ["10.1.0.0/16", "fd00::/64"] });
  const policy = all(workloadManifests(workloadOf(), options)).find(
    ({ metadata }) => metadata.name === "allow-ingress",
  );
  const spec = policy?.spec as { ingress: [{ from: unknown[] }] } | undefined;
  assert.deepEqual(spec?.ingress[0].from.slice(1), [
    { ipBlock: { cidr: "10.1.0.0/16" } },
    { ipBlock: { cidr: "fd00::/64" } },
  ]);
});

test("no secret is anywhere but in the Secret", () => {
  const manifests = workloadManifests(
    workloadOf({ environment: { MINE: "agents-own" } }),
    manifestOptionsOf({ providerEnvironment: { OPENAI_API_KEY: "operators-key" } }),
  );
  for (const object of all(manifests)) {
    const text = JSON.stringify(object);
    for (const value of ["agents-own", "operators-key"]) {
      assert.ok(!text.includes(value), object.kind);
      const encoded = Buffer.from(value).toString("base64");
      assert.equal(text.includes(encoded), object.kind === "Secret", object.kind);
    }
  }
});

test("the operator's key is in no Secret whose agent may lead requests elsewhere", () => {
  const texts = ["OPENAI_EMBEDDING_URL", "HARMLESS"].map((name) =>
    JSON.stringify(
      all(
        workloadManifests(
          workloadOf({ environment: { [name]: "https://elsewhere.example" } }),
          manifestOptionsOf({ providerEnvironment: { OPENAI_API_KEY: "operators-key" } }),
        ),
      ),
    ),
  );
  const key = Buffer.from("operators-key").toString("base64");
  assert.deepEqual(
    texts.map((text) => text.includes(key)),
    [false, true],
  );
});

test("what replaces the replicas, and what does not", () => {
  const template = (manifests: WorkloadManifests) =>
    JSON.stringify((manifests.deployment.spec as { template: unknown }).template);
  const options = manifestOptionsOf();
  const base = template(workloadManifests(workloadOf(), options));
  const same = (part: Parameters<typeof workloadOf>[0]) =>
    template(workloadManifests(workloadOf(part), options)) === base;
  assert.ok(same({ generation: 7, revision: 9, replicas: 4 }), "a scale does not");
  assert.ok(same({ spec: specOf({ scalingPolicy: { max_replicas: 9 } }) }), "a policy does not");
  assert.ok(!same({ template: "1".repeat(16) }), "another template does");
  assert.ok(!same({ spec: specOf({ name: "other" }) }), "another configuration does");
  const keys = manifestOptionsOf({ providerEnvironment: { OPENAI_API_KEY: "new" } });
  assert.notEqual(template(workloadManifests(workloadOf(), keys)), base, "the operator's new key does");
});

const SCALING: [string, unknown, number, number, string][] = [
  ["no policy", null, 3, 9, "3"],
  ["a policy with a choice", { min_replicas: 2, max_replicas: 5 }, 3, 9, "2–5 at 80"],
  ["no least number", { max_replicas: 5, target_cpu: 50 }, 3, 9, "1–5 at 50"],
  ["no least number but nothing", { min_replicas: 0, max_replicas: 5 }, 3, 9, "1–5 at 80"],
  ["no choice", { min_replicas: 2, max_replicas: 2 }, 2, 9, "2"],
  ["scaled to nothing", { min_replicas: 0, max_replicas: 5 }, 0, 9, "0"],
  ["more than the quota", { min_replicas: 1, max_replicas: 50 }, 3, 9, "1–9 at 80"],
  ["no greatest number", { min_replicas: 1 }, 3, 9, "1–3 at 80"],
  ["something else", "many", 3, 9, "3"],
];
for (const [what, scalingPolicy, replicas, maxReplicas, expected] of SCALING) {
  test(`scaling: ${what}`, () => {
    const quota = { maxAgents: 5, maxReplicas, maxCpuMillicores: 8000, maxMemoryBytes: 2 ** 33 };
    const { deployment, after } = workloadManifests(
      workloadOf({ replicas, quota, spec: specOf({ scalingPolicy }) }),
      manifestOptionsOf(),
    );
    const hpa = after[0]?.spec as
      | {
          minReplicas: number;
          maxReplicas: number;
          metrics: [{ resource: { target: { averageUtilization: number } } }];
        }
      | undefined;
    const told =
      hpa === undefined
        ? String((deployment.spec as { replicas: number }).replicas)
        : `${hpa.minReplicas}–${hpa.maxReplicas} at ${hpa.metrics[0].resource.target.averageUtilization}`;
    assert.equal(told, expected);
  });
}

test("an agent whose user is not known has no objects; neither has a user whose id makes no namespace", () => {
  assert.throws(() => workloadManifests(workloadOf({ userId: null }), manifestOptionsOf()), /whose agent/);
  assert.throws(
    () => workloadManifests(workloadOf({ userId: "Ada_L" }), manifestOptionsOf()),
    /agents-Ada_L/,
  );
});

test("names", () => {
  assert.equal(serviceName("agent-1"), "agent-1");
  assert.equal(serviceName("1-agent"), "a-1-agent");
  const long = `1${"x".repeat(62)}`;
  assert.equal(serviceName(long).length, 63);
  assert.notEqual(serviceName(long), serviceName(`1${"x".repeat(61)}y`));
  assert.equal(namespaceOf("agents-", "u1"), "agents-u1");
});

test("a domain with a port, as on a laptop, gives a host without it", () => {
  const ingress = find(
    workloadManifests(workloadOf(), manifestOptionsOf({ domain: "localhost:8081" })),
    "Ingress",
  );
  assert.equal((ingress.spec as { rules: [{ host: string }] }).rules[0].host, "agent-1.agents.localhost");
  const none = names(workloadManifests(workloadOf(), manifestOptionsOf({ expose: "none" })));
  assert.ok(!none.some((name) => name.startsWith("Ingress") || name.startsWith("HTTPRoute")));
});

test("names are asked where the operator says: OpenShift's DNS pods, on their own port", () => {
  const dns = {
    namespaces: ["openshift-dns"],
    podLabels: { "dns.operator.openshift.io/daemonset-dns": "default" },
    ports: [5353],
    cidrs: ["fd00::a/128"],
  };
  const policy = all(workloadManifests(workloadOf(), manifestOptionsOf({ dns }))).find(
    ({ metadata }) => metadata.name === "allow-dns",
  );
  assert.deepEqual((policy?.spec as { egress: unknown } | undefined)?.egress, [
    {
      to: [
        {
          namespaceSelector: {
            matchExpressions: [
              { key: "kubernetes.io/metadata.name", operator: "In", values: ["openshift-dns"] },
            ],
          },
          podSelector: { matchLabels: { "dns.operator.openshift.io/daemonset-dns": "default" } },
        },
        { ipBlock: { cidr: "fd00::a/128" } },
      ],
      ports: [
        { protocol: "UDP", port: 5353 },
        { protocol: "TCP", port: 5353 },
      ],
    },
  ]);
});

test("without ids in the options, pods name no user and no group: the cluster chooses", () => {
  const of = (podSecurityContext?: ManifestOptions["podSecurityContext"]) => {
    const { spec } = find(
      workloadManifests(workloadOf(), manifestOptionsOf({ podSecurityContext })),
      "Deployment",
    );
    return (spec as { template: { spec: { securityContext: unknown } } }).template.spec.securityContext;
  };
  const seccompProfile = { type: "RuntimeDefault" };
  assert.deepEqual(of({}), { runAsNonRoot: true, seccompProfile });
  assert.deepEqual(of({ runAsUser: 1000 }), { runAsNonRoot: true, runAsUser: 1000, seccompProfile });
  assert.deepEqual(of(), {
    runAsNonRoot: true,
    runAsUser: 65532,
    runAsGroup: 65532,
    fsGroup: 65532,
    seccompProfile,
  });
});
