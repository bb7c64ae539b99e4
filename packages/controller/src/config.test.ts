import assert from "node:assert/strict";
import { test } from "vitest";
import { readConfig } from "./config.ts";

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

test("headers of the collector are read as OpenTelemetry writes them, and a wrong one is named", () => {
  assert.equal(readConfig(SETTINGS).otlpLogs, undefined);
  const given = { ...SETTINGS, LAUNCHPAD_OTLP_LOGS_URL: "https://collector.example/v1/logs" };
  assert.deepEqual(
    readConfig({ ...given, LAUNCHPAD_OTLP_LOGS_HEADERS: "X-Key=a%2Cb, tenant=1=2" }).otlpLogs,
    {
      url: "https://collector.example/v1/logs",
      headers: { "x-key": "a,b", tenant: "1=2" },
    },
  );
  for (const wrong of ["nothing", "two words=x", "a=%zz"]) {
    assert.throws(
      () => readConfig({ ...given, LAUNCHPAD_OTLP_LOGS_HEADERS: wrong }),
      /LAUNCHPAD_OTLP_LOGS_HEADERS: must be name=value, separated by commas, percent-encoded$/,
    );
  }
});

test("the pool's size is a whole number up to 1000, and anything else is refused in words", () => {
  for (const [given, size] of [
    ["0", 0],
    ["1", 1],
    ["50", 50],
    ["", 2],
  ] as const)
    assert.equal(readConfig({ ...SETTINGS, LAUNCHPAD_POOL_SIZE: given }).poolSize, size);
  for (const wrong of ["many", "1.5", "-1", "1001"])
    assert.throws(
      () => readConfig({ ...SETTINGS, LAUNCHPAD_POOL_SIZE: wrong }),
      /LAUNCHPAD_POOL_SIZE: must be a whole number from 0 to 1000$/,
    );
});
