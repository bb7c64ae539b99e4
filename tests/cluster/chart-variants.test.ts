// The variants of the chart's values on a real API server: every object is accepted under strict validation, pods under Pod
// Security, and both majors of Helm install and upgrade a release whose environment replaces ours, also from an older chart.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { parse, stringify } from "yaml";
import { CHART, LEAST, renderValues, runHelm, settings } from "../helpers/chart.ts";
import { applyManifest } from "../helpers/chart-install.ts";
import { VARIANTS } from "../helpers/chart-variants.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient } from "../helpers/kube.ts";
import { helm } from "../helpers/tools.ts";

const SYSTEM = "launchpad-system";
const RESTRICTED = "launchpad-restricted";

const reason = await whyNoCluster();
describe("variants of the chart", reason === undefined ? {} : { skip: Boolean(reason) }, () => {
  let cluster: TestCluster;
  let admin: KubeClient;
  const folder = mkdtempSync(join(tmpdir(), "launchpad-variants-"));

  beforeAll(async () => {
    // Services of both families.
    const families = "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112";
    cluster = await startCluster({ apiServerFlags: [families] });
    admin = kubeClient(cluster);
    const enforce = { "pod-security.kubernetes.io/enforce": "restricted" };
    for (const [name, labels] of [
      [SYSTEM, {}],
      [RESTRICTED, enforce],
    ] as const)
      await admin.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
    for (const name of ["launchpad", "mine"])
      await admin.apply({
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name, namespace: RESTRICTED },
      });
    await applyManifest(admin, {
      apiVersion: "node.k8s.io/v1",
      kind: "RuntimeClass",
      metadata: { name: "gvisor" },
      handler: "runsc",
    });
  });
  afterAll(async () => {
    admin?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [what, { values, files }] of Object.entries(VARIANTS)) {
    test(`accepted: ${what}`, async () => {
      for (const manifest of renderValues(helm() as string, values, files)) {
        await applyManifest(admin, manifest, true);
        if (manifest.kind !== "Deployment" || what === "more containers") continue;
        const { template } = manifest.spec;
        const answer = await admin.call("POST", `/api/v1/namespaces/${RESTRICTED}/pods?dryRun=All`, {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name: "trial", labels: template.metadata.labels },
          spec: { ...template.spec, serviceAccountName: what.includes("account") ? "mine" : "launchpad" },
        });
        const allowed = answer.status === 201 || /priority|PriorityClass/.test(answer.text);
        assert.ok(allowed, answer.text);
      }
    });
  }

  for (const major of [3, 4] as const) {
    test(`Helm ${major} installs and upgrades with an environment over ours`, async () => {
      const name = `by-helm-${major}`;
      const namespace = `${name}-system`;
      const run = (values: object) =>
        runHelm(
          helm(major) as string,
          [
            "upgrade",
            "--install",
            name,
            CHART,
            "-n",
            namespace,
            "--create-namespace",
            "-f",
            "-",
            ...settings(LEAST),
          ],
          {
            input: JSON.stringify({ ...values, namespacePrefix: `${name}-`, replicas: 1 }),
            env: {
              ...process.env,
              KUBECONFIG: cluster.info.kubeconfig,
              HELM_CACHE_HOME: folder,
              HELM_CONFIG_HOME: folder,
              HELM_DATA_HOME: folder,
            },
          },
        );
      const level = async () => {
        const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;
        const { body } = await admin.call("GET", path);
        const [container] = body.spec.template.spec.containers;
        return container.env.filter((one: { name: string }) => one.name === "LAUNCHPAD_LOG_LEVEL");
      };
      const installed = run({ extraEnv: [{ name: "LAUNCHPAD_LOG_LEVEL", value: "debug" }] });
      assert.equal(installed.status, 0, installed.err);
      assert.deepEqual(await level(), [{ name: "LAUNCHPAD_LOG_LEVEL", value: "debug" }]);
      const upgraded = run({ extraEnv: [], podSecurityContext: { runAsUser: null } });
      assert.equal(upgraded.status, 0, upgraded.err);
      assert.deepEqual(await level(), [{ name: "LAUNCHPAD_LOG_LEVEL", value: "info" }]);
    });

    test(`Helm ${major} upgrades an older chart with --reuse-values`, async () => {
      const name = `older-by-helm-${major}`;
      const chart = join(folder, name);
      cpSync(CHART, chart, { recursive: true });
      // As a chart that had not yet these values.
      const values = parse(readFileSync(join(CHART, "values.yaml"), "utf8"));
      for (const since of ["caBundle", "dns", "dashboard", "podDisruptionBudget", "revisionHistoryLimit"])
        delete values[since];
      delete values.agents.rollout;
      delete values.agents.egress.allowPrivate;
      delete values.settings.logs;
      writeFileSync(join(chart, "values.yaml"), stringify(values));
      const run = (...args: string[]) =>
        runHelm(helm(major) as string, ["upgrade", "--install", name, "-n", `${name}-system`, ...args], {
          env: {
            ...process.env,
            KUBECONFIG: cluster.info.kubeconfig,
            HELM_CACHE_HOME: folder,
            HELM_CONFIG_HOME: folder,
            HELM_DATA_HOME: folder,
          },
        });
      const own = settings({ ...LEAST, namespacePrefix: `${name}-`, "settings.concurrency": 7 });
      const installed = run(chart, "--create-namespace", ...own);
      assert.equal(installed.status, 0, installed.err);
      const upgraded = run(CHART, "--reuse-values", "--set", "agents.image.tag=1.2.3");
      assert.equal(upgraded.status, 0, upgraded.err);
      const path = `/apis/apps/v1/namespaces/${name}-system/deployments/${name}`;
      const { body } = await admin.call("GET", path);
      const { env } = body.spec.template.spec.containers[0];
      const of = (variable: string) => env.find((one: { name: string }) => one.name === variable)?.value;
      assert.equal(of("LAUNCHPAD_AGENT_IMAGE"), "agent-launchpad/agent-runtime:1.2.3");
      assert.equal(of("LAUNCHPAD_CONCURRENCY"), "7");
      assert.equal(of("LAUNCHPAD_ROLLOUT_PERCENT"), "10");
      assert.equal(of("LAUNCHPAD_EGRESS_ALLOW_PRIVATE"), "false");
      assert.equal(of("LAUNCHPAD_AGENT_LOGS"), "store");
      assert.deepEqual(JSON.parse(of("LAUNCHPAD_DNS")).ports, [53]);
    });
  }
});
