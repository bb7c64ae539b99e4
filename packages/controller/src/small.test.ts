import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff, jittered } from "./clock.ts";
import { refusedNames, replicaEnvironment, secretValues } from "./cluster/processes/environment.ts";
import { heapMebibytes } from "./cluster/processes/memory-limit.ts";
import { parseRequests } from "./cluster/runtime.ts";
import { readConfig } from "./config.ts";
import { createLog } from "./log.ts";
import { Registry } from "./prometheus.ts";
import { canonical, templateOf } from "./reconcile/template.ts";
import { specOf } from "./testing/memory-database.ts";

const SETTINGS = {
  LAUNCHPAD_SUPABASE_URL: "http://127.0.0.1:54321/",
  LAUNCHPAD_SECRET_KEY: "key",
  LAUNCHPAD_PUBLISHABLE_KEY: "sb_publishable_for-tests",
  LAUNCHPAD_WEBHOOK_SECRET: "sixteen-letters!",
  LAUNCHPAD_STATE_DIR: "state",
};

test("settings have defaults, and an empty one is none", () => {
  const config = readConfig({
    ...SETTINGS,
    LAUNCHPAD_PORT: "",
    OPENAI_API_KEY: "k",
    PATH: "/bin",
    OTHER: "x",
  });
  assert.equal(config.port, 8080);
  assert.equal(config.supabaseUrl, "http://127.0.0.1:54321");
  assert.deepEqual(config.providerEnvironment, { OPENAI_API_KEY: "k" });
  assert.equal(config.machineEnvironment.PATH, "/bin");
  assert.equal(config.machineEnvironment.OTHER, undefined);
});

test("every wrong setting is named in one sentence", () => {
  const wrong = {
    ...SETTINGS,
    LAUNCHPAD_SUPABASE_URL: "nowhere",
    LAUNCHPAD_LEASE_SECONDS: "0",
    LAUNCHPAD_RUNTIME_COMMAND: "node",
  };
  assert.throws(
    () => readConfig(wrong),
    /LAUNCHPAD_SUPABASE_URL.*LAUNCHPAD_LEASE_SECONDS.*LAUNCHPAD_RUNTIME_COMMAND/,
  );
});

test("a secret key is never taken for the key that agents get", () => {
  const claims = Buffer.from(JSON.stringify({ role: "service_role" })).toString("base64url");
  for (const key of ["sb_secret_x", `e30.${claims}.x`]) {
    assert.throws(
      () => readConfig({ ...SETTINGS, LAUNCHPAD_PUBLISHABLE_KEY: key }),
      /LAUNCHPAD_PUBLISHABLE_KEY: is a secret key; give the publishable one$/,
    );
  }
});

test("a setting that is missing, and the wrong one of two keys, are told as that", () => {
  const { LAUNCHPAD_WEBHOOK_SECRET: _, ...given } = SETTINGS;
  assert.throws(
    () => readConfig({ ...given, LAUNCHPAD_SECRET_KEY: "sb_publishable_x" }),
    /LAUNCHPAD_SECRET_KEY: is the publishable key; give the secret one; LAUNCHPAD_WEBHOOK_SECRET is missing$/,
  );
});

test("settings of Kubernetes are read where it is chosen, and wrong ones are named", () => {
  assert.equal(readConfig({ ...SETTINGS, LAUNCHPAD_EXPOSE: "magic" }).kubernetes, undefined);
  const chosen = { ...SETTINGS, LAUNCHPAD_CLUSTER: "kubernetes" };
  const inside = readConfig({ ...chosen, LAUNCHPAD_AGENT_DOMAIN: "example.com" });
  assert.equal(inside.kubernetes?.podAccess, "direct");
  assert.equal(inside.agentUrlTemplate, "http://{agentId}.agents.example.com");
  const outside = readConfig({
    ...chosen,
    LAUNCHPAD_KUBECONFIG: "config",
    LAUNCHPAD_EGRESS_CIDRS: "10.0.0.0/8, ::/0",
    LAUNCHPAD_EGRESS_EXCEPT_CIDRS: "10.9.0.0/16",
    LAUNCHPAD_EGRESS_PORTS: "443,5432",
    LAUNCHPAD_INGRESS_CIDRS: "10.1.0.0/16",
    LAUNCHPAD_GATEWAY: "infra/public",
  });
  assert.equal(outside.kubernetes?.podAccess, "proxy");
  assert.deepEqual(outside.kubernetes?.egress.allowCidrs, ["10.0.0.0/8", "::/0"]);
  assert.deepEqual(outside.kubernetes?.egress.ports, [443, 5432]);
  assert.deepEqual(outside.kubernetes?.egress.exceptCidrs, ["10.9.0.0/16"]);
  assert.deepEqual(outside.kubernetes?.ingressCidrs, ["10.1.0.0/16"]);
  assert.deepEqual(outside.kubernetes?.gateway, { namespace: "infra", name: "public" });
  assert.throws(() => readConfig({ ...chosen, LAUNCHPAD_EXPOSE: "gateway" }), /LAUNCHPAD_GATEWAY: must name/);
  assert.throws(
    () => readConfig({ ...chosen, LAUNCHPAD_EXPOSE: "magic", LAUNCHPAD_EGRESS_CIDRS: "10.0.0.0/99" }),
    /LAUNCHPAD_EXPOSE.*LAUNCHPAD_EGRESS_CIDRS/,
  );
});

test("networks that Kubernetes refuses in a NetworkPolicy are wrong settings", () => {
  const chosen = { ...SETTINGS, LAUNCHPAD_CLUSTER: "kubernetes" };
  const read = (cidr: string) => readConfig({ ...chosen, LAUNCHPAD_EGRESS_EXCEPT_CIDRS: cidr });
  for (const wrong of [
    "10.0.0.1/8",
    "1.2.3.4/0",
    "2001:db8::1/32",
    "::ffff:1.2.3.4/128",
    "::ffff:102:304/128",
  ])
    assert.throws(() => read(wrong), /LAUNCHPAD_EGRESS_EXCEPT_CIDRS.*such as 10\.0\.8\.0\/24/, wrong);
  for (const right of [
    "0.0.0.0/0",
    "::/0",
    "10.0.0.1/32",
    "2001:DB8::/32",
    "fd00:ec2::254/128",
    "1:2:3:4:5:6:7:8/128",
  ])
    assert.deepEqual(read(right).kubernetes?.egress.exceptCidrs, [right]);
});

test("the log is JSON, leveled, and masks what is named like a secret", () => {
  const lines: string[] = [];
  const log = createLog((line) => lines.push(line), "info");
  log.debug("quiet");
  log.warn("look", {
    agentId: "a",
    leaseToken: "t",
    error: new Error("x", { cause: new Error("y") }),
    none: undefined,
  });
  const { timestamp, ...line } = JSON.parse(lines[0] ?? "");
  assert.ok(Date.parse(timestamp) > 0);
  assert.deepEqual(line, { level: "warn", message: "look", agentId: "a", leaseToken: "***", error: "x (y)" });
  assert.equal(lines.length, 1);
});

test("a template is what a replica is started with, in any order of fields", () => {
  const spec = specOf({ settings: { a: 1, b: { c: 2 } } });
  const same = [
    { ...spec, settings: { b: { c: 2 }, a: 1 } },
    { ...spec, scalingPolicy: { max_replicas: 5 } },
  ];
  for (const other of same) assert.equal(templateOf(other, 0), templateOf(spec, 0));
  const different = [specOf({ ...spec, model: "x" }), specOf({ ...spec, secretVersions: { A: 2 } })];
  for (const other of different) assert.notEqual(templateOf(other, 0), templateOf(spec, 0));
  assert.notEqual(templateOf(spec, 1), templateOf(spec, 0));
  assert.equal(canonical({ b: undefined, a: [null, "x"] }), '{"a":[null,"x"]}');
});

test("the heap leaves room for the rest of the process", () => {
  const mebibyte = 1024 * 1024;
  assert.deepEqual(
    [64, 128, 256, 1024, 4096].map((limit) => heapMebibytes(limit * mebibyte)),
    [24, 80, 192, 768, 3072],
  );
});

test("the hosts that agents may reach are hosts, not URLs", () => {
  const required = {
    LAUNCHPAD_SUPABASE_URL: "http://x",
    LAUNCHPAD_SECRET_KEY: "sb_secret_x",
    LAUNCHPAD_PUBLISHABLE_KEY: "sb_publishable_x",
    LAUNCHPAD_WEBHOOK_SECRET: "0123456789abcdef",
    LAUNCHPAD_STATE_DIR: "/x",
  };
  const hosts = (value: string) =>
    readConfig({ ...required, LAUNCHPAD_AGENT_PRIVATE_HOSTS: value }).privateHosts;
  assert.deepEqual(hosts("ollama:11434, 10.0.0.7"), ["ollama:11434", "10.0.0.7"]);
  assert.throws(() => hosts("http://ollama:11434"), /LAUNCHPAD_AGENT_PRIVATE_HOSTS: must be hosts/);
});

test("an agent's variables cannot take the machinery's names", () => {
  const own = {
    TOKEN: "t",
    PATH: "/evil",
    LD_PRELOAD: "x",
    AGENT_ID: "other",
    "not a name": "x",
    NUL: "a\0b",
  };
  const identity = {
    agentId: "a",
    replica: "a-1",
    generation: 1,
    configFile: "f",
    stateDir: "d",
    memoryBytes: 1e9,
    project: {
      url: "http://127.0.0.1:54321",
      key: "sb_publishable_test",
      probeSecret: "a-secret",
      proxyHops: 1,
    },
    privateHosts: [],
  };
  const environment = replicaEnvironment(identity, { PATH: "/bin" }, { OPENAI_API_KEY: "provider" }, own);
  assert.deepEqual([environment.PATH, environment.AGENT_ID, environment.TOKEN], ["/bin", "a", "t"]);
  assert.deepEqual(refusedNames(own).sort(), ["AGENT_ID", "LD_PRELOAD", "NUL", "PATH", "not a name"]);
  assert.deepEqual(secretValues({ OPENAI_API_KEY: "k", OPENAI_BASE_URL: "u" }, { A: "b" }), ["k", "b"]);
});

test("request counters are read from the runtime's text", () => {
  const text =
    "# HELP x y\nagent_requests_total 5\nagent_requests_errors_total 1\nagent_request_duration_seconds_sum 0.5\n";
  assert.deepEqual(parseRequests(text), { total: 5, success: 0, errors: 1, seconds: 0.5 });
  assert.equal(parseRequests("other 1"), null);
});

test("every sample of a registry carries its common labels", () => {
  const registry = new Registry({ installation: "one" });
  registry.counter("never_total", "Nothing yet.");
  registry.counter("c_total", "Things.").add({ ok: "yes" });
  registry.gauge("g", "A level.", () => 2);
  registry.histogram("h", "Times.", [1]).observe(0.5);
  const samples = registry
    .text()
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  assert.deepEqual(samples, [
    'never_total{installation="one"} 0',
    'c_total{installation="one",ok="yes"} 1',
    'g{installation="one"} 2',
    'h_bucket{installation="one",le="1"} 1',
    'h_bucket{installation="one",le="+Inf"} 1',
    'h_sum{installation="one"} 0.5',
    'h_count{installation="one"} 1',
  ]);
});

test("metrics are in the Prometheus text format", () => {
  const registry = new Registry();
  const counter = registry.counter("c_total", "Things.");
  registry.gauge("g", "A level.", () => [[{ kind: 'a"b' }, 2]]);
  const histogram = registry.histogram("h_seconds", "Times.", [0.1, 1]);
  counter.add({ ok: "yes" });
  counter.add({ ok: "yes" }, 2);
  histogram.observe(0.5);
  assert.equal(
    registry.text(),
    [
      "# HELP c_total Things.",
      "# TYPE c_total counter",
      'c_total{ok="yes"} 3',
      "# HELP g A level.",
      "# TYPE g gauge",
      'g{kind="a\\"b"} 2',
      "# HELP h_seconds Times.",
      "# TYPE h_seconds histogram",
      'h_seconds_bucket{le="0.1"} 0',
      'h_seconds_bucket{le="1"} 1',
      'h_seconds_bucket{le="+Inf"} 1',
      "h_seconds_sum 0.5",
      "h_seconds_count 1",
      "",
    ].join("\n"),
  );
});

test("backoff doubles up to its cap; jitter stays within its share", () => {
  assert.deepEqual(
    [1, 2, 3, 10, 1000].map((attempt) => backoff(attempt, 100, 1000)),
    [100, 200, 400, 1000, 1000],
  );
  assert.equal(
    jittered(100, 0.25, () => 0),
    75,
  );
  assert.equal(
    jittered(100, 0.25, () => 1),
    125,
  );
});
