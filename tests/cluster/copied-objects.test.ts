// What all agents refer to by one name is copied from the controller's namespace, with the chart's rights, on a real API server: made,
// kept current, made again, removed, and never over somebody else's object. And certificates that others make for each agent.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type Clock, systemClock } from "../../packages/controller/src/clock.ts";
import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { KubernetesCluster } from "../../packages/controller/src/cluster/kubernetes/kubernetes.ts";
import type { ManifestOptions } from "../../packages/controller/src/cluster/kubernetes/options.ts";
import {
  FLEET,
  guardOf,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { renderValues } from "../helpers/chart.ts";
import { applyManifest, identityOf } from "../helpers/chart-install.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";
import { helm } from "../helpers/tools.ts";

const release = { name: "launchpad", namespace: "launchpad-system" };
const ALICE = "0f8fad5b-d9cb-469f-a165-70867728950e";
const BOB = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
const spaceOf = (user: string) => `agents-${user}`;
const base64 = (text: string) => Buffer.from(text).toString("base64");

const VALUES = {
  agents: { imagePullSecrets: [{ name: "registry" }], ingressTlsSecret: "agents-tls" },
  caBundle: { name: "company-ca" },
};
const NAMES: Partial<ManifestOptions> = {
  copyNamed: true,
  imagePullSecrets: ["registry"],
  ingressTlsSecret: "agents-tls",
  caBundle: { kind: "ConfigMap", name: "company-ca", key: "ca.crt" },
};
/** Two minutes ahead: nothing in the cluster counts as young. */
const clock: Clock = { now: () => Date.now() + 120_000, after: systemClock.after };

const reason = await whyNoCluster();
describe("copies in users' namespaces", reason === undefined ? {} : { skip: Boolean(reason) }, () => {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-copies-"));
  let cluster: TestCluster;
  let admin: KubeClient;
  let account: KubeClient;
  let kubeconfig: string;
  let controller: KubernetesCluster;
  const held = new Set<string>();
  const gone = new Set<string>();

  async function run(options: Partial<ManifestOptions>): Promise<void> {
    await controller?.stop();
    controller = new KubernetesCluster(await createClient({ kubeconfig }), {
      ...manifestOptionsOf({
        installation: release.name,
        controllerNamespace: release.namespace,
        tenantRole: { clusterRole: "launchpad-tenant", serviceAccount: release.name },
        ...options,
      }),
      podAccess: "proxy",
      resyncSeconds: 1,
      log: silentLog,
      clock,
      random: Math.random,
      responsible: (agentId) => held.has(agentId),
      guard: guardOf(),
      gone: async ({ agents, users }) => ({
        agents: agents.filter((agentId) => !held.has(agentId)),
        users: users.filter((user) => gone.has(user)),
        known: { agents: [...agents], users: [...users] },
        fleet: FLEET,
      }),
    });
    await controller.start();
  }

  async function apply(agentId: string, userId: string, part: Partial<Workload> = {}): Promise<void> {
    held.add(agentId);
    await controller.apply(workloadOf({ agentId, userId, ...part }));
  }

  const secret = (namespace: string, name: string, type: string, data: Record<string, string>) =>
    admin.apply({ apiVersion: "v1", kind: "Secret", metadata: { name, namespace }, type, data });
  const registry = (login: string) =>
    secret(release.namespace, "registry", "kubernetes.io/dockerconfigjson", {
      ".dockerconfigjson": base64(JSON.stringify({ auths: { "registry.example.com": { auth: login } } })),
    });

  beforeAll(async () => {
    cluster = await startCluster();
    admin = kubeClient(cluster);
    await admin.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: release.namespace } });
    for (const manifest of renderValues(helm() as string, VALUES))
      if (manifest.kind !== "Deployment") await applyManifest(admin, manifest);
    await registry("first");
    await secret(release.namespace, "agents-tls", "kubernetes.io/tls", {
      "tls.crt": base64("certificate"),
      "tls.key": base64("key"),
    });
    await secret(release.namespace, "launchpad", "Opaque", { LAUNCHPAD_SECRET_KEY: base64("sb_secret_x") });
    const ca = { name: "company-ca", namespace: release.namespace };
    await admin.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: ca, data: { "ca.crt": "authority" } });
    const identity = await identityOf(cluster, admin, release, folder);
    kubeconfig = identity.kubeconfig;
    account = kubeClient(cluster, identity.token);
    await run(NAMES);
  });
  afterAll(async () => {
    await controller?.stop();
    account?.close();
    admin?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("in the release namespace it may read what the values name, and list nothing", async () => {
    const secrets = `/api/v1/namespaces/${release.namespace}/secrets`;
    assert.equal((await account.call("GET", `${secrets}/registry`)).status, 200);
    assert.equal((await account.call("GET", `${secrets}/launchpad`)).status, 403);
    assert.equal((await account.call("GET", secrets)).status, 403);
    assert.equal(
      (await account.call("GET", `${secrets}?fieldSelector=metadata.name%3Dregistry`)).status,
      403,
    );
    const maps = `/api/v1/namespaces/${release.namespace}/configmaps`;
    assert.equal((await account.call("GET", `${maps}/company-ca`)).status, 200);
    assert.equal((await account.call("GET", `${maps}/kube-root-ca.crt`)).status, 403);
    assert.equal((await account.call("PATCH", `${secrets}/registry`, {})).status, 403);
  });

  test("an agent's namespace has the copies before its pods start, and the pods use them", async () => {
    await apply("agent-1", ALICE);
    await admin.until(
      "Deployment",
      spaceOf(ALICE),
      "agent-1",
      "ready",
      (one) => one?.status?.readyReplicas === 1,
    );
    for (const name of ["registry", "agents-tls"]) {
      const original = await admin.get("Secret", release.namespace, name);
      const copy = await admin.get("Secret", spaceOf(ALICE), name);
      assert.equal(copy?.type, original?.type);
      assert.deepEqual(copy?.data, original?.data);
    }
    assert.equal((await admin.get("ConfigMap", spaceOf(ALICE), "company-ca"))?.data["ca.crt"], "authority");
    assert.equal(await admin.get("Secret", spaceOf(ALICE), "launchpad"), undefined);
    const [pod] = await admin.list("Pod", spaceOf(ALICE));
    assert.deepEqual(pod?.spec.imagePullSecrets, [{ name: "registry" }]);
    const ca = pod?.spec.containers[0].env.find(
      ({ name }: { name: string }) => name === "NODE_EXTRA_CA_CERTS",
    );
    assert.equal(ca.value, "/etc/launchpad-ca/ca.crt");
    const ingress = await admin.get("Ingress", spaceOf(ALICE), "agent-1");
    assert.equal(ingress?.spec.tls[0].secretName, "agents-tls");
    // Nothing differs: the defaults that the API server fills in are known.
    assert.deepEqual((await controller.get("agent-1"))?.drift ?? [], []);
  });

  test("a changed original changes its copies in every namespace", async () => {
    await apply("agent-2", BOB);
    await registry("second");
    const wanted = (await admin.get("Secret", release.namespace, "registry"))?.data;
    for (const user of [ALICE, BOB])
      await admin.until("Secret", spaceOf(user), "registry", "current", (copy) => {
        return JSON.stringify(copy?.data) === JSON.stringify(wanted);
      });
  });

  test("a Secret of another type takes the place of the old one", async () => {
    await admin.delete("Secret", release.namespace, "agents-tls");
    await secret(release.namespace, "agents-tls", "Opaque", { "tls.crt": base64("other") });
    await admin.until("Secret", spaceOf(ALICE), "agents-tls", "replaced", (copy) => copy?.type === "Opaque");
  });

  test("a copy that somebody deleted is made again; one that somebody replaced is left alone", async () => {
    await admin.delete("Secret", spaceOf(ALICE), "registry");
    await admin.until("Secret", spaceOf(ALICE), "registry", "there again", (copy) => copy !== undefined);
    await admin.delete("Secret", spaceOf(BOB), "registry");
    await secret(spaceOf(BOB), "registry", "Opaque", { of: base64("bob") });
    await controller.stop();
    await run(NAMES);
    await apply("agent-2", BOB);
    await apply("agent-1", ALICE);
    await registry("third");
    await admin.until("Secret", spaceOf(ALICE), "registry", "current", async (copy) => {
      const original = await admin.get("Secret", release.namespace, "registry");
      return JSON.stringify(copy?.data) === JSON.stringify(original?.data);
    });
    assert.deepEqual((await admin.get("Secret", spaceOf(BOB), "registry"))?.data, { of: base64("bob") });
    await admin.delete("Secret", spaceOf(BOB), "registry");
  });

  test("a namespace made again gets its copies back", async () => {
    await admin.delete("Namespace", undefined, spaceOf(ALICE));
    await admin.until("Namespace", undefined, spaceOf(ALICE), "gone", (one) => one === undefined, 60_000);
    await eventually("its end is seen and the agent is made again", async () => {
      await apply("agent-1", ALICE).catch(() => {});
      return (await admin.get("Deployment", spaceOf(ALICE), "agent-1")) !== undefined;
    });
    assert.ok(await admin.get("Secret", spaceOf(ALICE), "registry"));
    assert.ok(await admin.get("ConfigMap", spaceOf(ALICE), "company-ca"));
  });

  test("copies stay when the original is gone, and go when they are named no longer", async () => {
    await admin.delete("Secret", release.namespace, "registry");
    await run({ ...NAMES, ingressTlsSecret: undefined });
    // The Ingress of one agent refers to it while another agent is changed already: two looks later it is still there.
    await apply("agent-3", ALICE);
    for (const data of ["authority 2", "authority 3"]) {
      const ca = { name: "company-ca", namespace: release.namespace };
      await admin.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: ca, data: { "ca.crt": data } });
      await admin.until(
        "ConfigMap",
        spaceOf(ALICE),
        "company-ca",
        data,
        (copy) => copy?.data["ca.crt"] === data,
      );
    }
    assert.ok(await admin.get("Secret", spaceOf(ALICE), "agents-tls"));
    await apply("agent-1", ALICE);
    await admin.until("Secret", spaceOf(ALICE), "agents-tls", "removed", (copy) => copy === undefined);
    assert.ok(await admin.get("Secret", spaceOf(ALICE), "registry"));
  });

  test("a certificate made for one agent outlives changes of it, goes with it, and keeps no namespace", async () => {
    await run({
      ingressTlsSecret: "{agentId}-tls",
      ingressAnnotations: { "cert-manager.io/cluster-issuer": "letsencrypt", obsolete: "x" },
    });
    await apply("agent-2", BOB, { template: "a".repeat(16) });
    const ingress = await admin.get("Ingress", spaceOf(BOB), "agent-2");
    assert.equal(ingress?.spec.tls[0].secretName, "agent-2-tls");
    const { annotations } = ingress?.metadata ?? {};
    assert.equal(annotations["cert-manager.io/cluster-issuer"], "letsencrypt");
    // As cert-manager does it: with the labels that the Ingress asks for.
    const { labels } = JSON.parse(annotations["cert-manager.io/secret-template"]);
    const metadata = { name: "agent-2-tls", namespace: spaceOf(BOB), labels };
    await admin.apply({ apiVersion: "v1", kind: "Secret", metadata, type: "Opaque" });
    await run({
      ingressTlsSecret: "{agentId}-tls",
      ingressAnnotations: { "cert-manager.io/cluster-issuer": "letsencrypt" },
    });
    const before = (await admin.list("Secret", spaceOf(BOB))).map((one) => one.metadata.name);
    await apply("agent-2", BOB, { template: "b".repeat(16), generation: 2 });
    await eventually("the Secret of the old template is gone", async () => {
      const left = (await admin.list("Secret", spaceOf(BOB))).map((one) => one.metadata.name);
      return before.some((name) => name !== "agent-2-tls" && !left.includes(name));
    });
    assert.ok(await admin.get("Secret", spaceOf(BOB), "agent-2-tls"));
    const changed = await admin.get("Ingress", spaceOf(BOB), "agent-2");
    assert.equal(changed?.metadata.annotations.obsolete, undefined);

    await controller.remove("agent-2");
    held.delete("agent-2");
    await admin.until("Secret", spaceOf(BOB), "agent-2-tls", "gone", (one) => one === undefined);
    // It comes once more, while its Certificate ends.
    await admin.apply({ apiVersion: "v1", kind: "Secret", metadata, type: "Opaque" });
    gone.add(BOB);
    await admin.until("Namespace", undefined, spaceOf(BOB), "gone", (one) => one === undefined, 60_000);
  });
});
