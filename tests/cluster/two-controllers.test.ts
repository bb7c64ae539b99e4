// Two controllers as the chart runs them: its environment, its service account, a database that they share.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, test } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import { serveDatabase } from "../../packages/controller/src/testing/http-database.ts";
import { MemoryDatabase, specOf } from "../../packages/controller/src/testing/memory-database.ts";
import { renderChart } from "../helpers/chart.ts";
import { applyManifest, identityOf } from "../helpers/chart-install.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";
import { helm } from "../helpers/tools.ts";

const root = resolve(import.meta.dirname, "../..");
const release = { name: "launchpad", namespace: "launchpad-system" };
const AGENT = "agent-a";
const TENANT = "agents-user";

interface Controller {
  child: ChildProcess;
  port: number;
  log: string[];
}

const reason = await whyNoCluster();
describe("two controllers", reason === undefined ? {} : { skip: Boolean(reason) }, () => {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-two-"));
  const database = new MemoryDatabase(systemClock);
  let http: Awaited<ReturnType<typeof serveDatabase>>;
  let cluster: TestCluster;
  let admin: KubeClient;
  let environment: Record<string, string>;
  const controllers: Controller[] = [];

  beforeAll(async () => {
    http = await serveDatabase(database);
    cluster = await startCluster();
    admin = kubeClient(cluster);
    await admin.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: release.namespace } });
    const manifests = renderChart(
      helm() as string,
      {
        // Swept all the time: whatever goes wrong, some calls are under way.
        "settings.pollSeconds": 1,
        "settings.leaseSeconds": 5,
        "settings.resyncSeconds": 1,
        // In pods both have this port; here they are on one machine.
        "plugins.enabled": false,
      },
      release,
    );
    for (const manifest of manifests) {
      if (manifest.kind !== "Deployment") await applyManifest(admin, manifest);
    }
    const { kubeconfig } = await identityOf(cluster, admin, release, folder);
    const deployment = manifests.find(({ kind }) => kind === "Deployment");
    const given: { name: string; value?: string }[] = deployment?.spec.template.spec.containers[0].env;
    environment = {
      ...Object.fromEntries(given.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]))),
      PATH: process.env.PATH ?? "",
      LAUNCHPAD_NAMESPACE: release.namespace,
      LAUNCHPAD_SERVICE_ACCOUNT: release.name,
      LAUNCHPAD_SECRET_KEY: "sb_secret_for-tests",
      LAUNCHPAD_WEBHOOK_SECRET: "a-webhook-secret-of-some-length",
      LAUNCHPAD_SUPABASE_URL: http.url,
      // What is different outside of a pod: who it is, where it listens. Its pods cannot be dialled from here.
      LAUNCHPAD_KUBECONFIG: kubeconfig,
      LAUNCHPAD_HOST: "127.0.0.1",
      LAUNCHPAD_PORT: "0",
      LAUNCHPAD_INGRESS_PORT: "0",
      LAUNCHPAD_ADVISORY_URL: "off",
    };
  });
  afterAll(async () => {
    for (const { child } of controllers) if (child.exitCode === null) child.kill("SIGKILL");
    admin?.close();
    await cluster?.stop();
    await http?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function start(): Promise<Controller> {
    const child = spawn(process.execPath, [join(root, "packages/controller/src/main.ts")], {
      env: { ...environment, LAUNCHPAD_STATE_DIR: join(folder, `state-${controllers.length}`) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log: string[] = [];
    createInterface(child.stderr).on("line", (line) => log.push(line));
    const ended = once(child, "exit").then(() => undefined);
    const line = once(createInterface(child.stdout), "line").then(([text]) => String(text));
    const said = await Promise.race([line, ended]);
    assert.ok(said, log.join("\n"));
    const controller = { child, port: JSON.parse(said).port as number, log };
    controllers.push(controller);
    return controller;
  }
  const ask = ({ port }: Controller, path: string) => fetch(`http://127.0.0.1:${port}${path}`);
  const metric = async (controller: Controller, name: string) =>
    Number(
      new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, "m").exec(
        await (await ask(controller, "/metrics")).text(),
      )?.[1],
    );
  const deployed = (generation: number) =>
    eventually(`generation ${generation} is deployed`, () => {
      const row = database.rows.get(AGENT);
      return row?.phase === "DEPLOYED" && row.observedGeneration === generation;
    });
  const pods = async () => {
    const list = await admin.list("Pod", TENANT);
    return list
      .filter(({ metadata }) => !metadata.deletionTimestamp)
      .map(({ metadata }) => metadata.uid as string)
      .sort();
  };

  test("one holds an agent, the other stands by; when one stops, its agents run on and the other takes them", async () => {
    const first = await start();
    database.launch(AGENT, specOf());
    await deployed(1);
    const second = await start();
    for (const one of controllers) {
      await eventually("it is ready", async () => (await ask(one, "/readyz")).status === 200);
    }
    assert.equal(await metric(first, "launchpad_held_deployments"), 1);
    assert.equal(await metric(second, "launchpad_held_deployments"), 0);
    const before = await pods();
    assert.equal(before.length, 1);

    const began = performance.now();
    first.child.kill("SIGTERM");
    assert.deepEqual(await once(first.child, "exit"), [0, null]);
    assert.ok(performance.now() - began < 20_000, "a pod has 30 s; it takes two");
    await eventually(
      "the other holds it",
      async () => (await metric(second, "launchpad_held_deployments")) === 1,
    );
    assert.deepEqual(await pods(), before, "the agent ran on");
    database.scale(AGENT, 2);
    await deployed(2);
    assert.equal((await pods()).length, 2);
  });

  test("one that dies without a word is followed when its leases have run out", async () => {
    const [, second] = controllers as [Controller, Controller];
    const before = await pods();
    second.child.kill("SIGKILL");
    await once(second.child, "exit");
    const third = await start();
    await eventually(
      "the next holds it",
      async () => (await metric(third, "launchpad_held_deployments")) === 1,
    );
    assert.deepEqual(await pods(), before, "the agent ran on");
  });

  const unready = (controller: Controller) =>
    eventually("it is not ready", async () => {
      const answer = await ask(controller, "/readyz");
      return answer.status === 503
        ? ((await answer.json()) as { problems: string[] }).problems.join()
        : undefined;
    });

  test("an API server that hangs costs no lease and holds up no end", async () => {
    const third = controllers.at(-1) as Controller;
    await cluster.component("kube-apiserver", "freeze");
    assert.match(await unready(third), /API server/);
    // One a second: longer than a lease, shorter than a client tries.
    const heartbeats = () => database.calls.get("heartbeat_controller") ?? 0;
    const enough = heartbeats() + 8;
    await eventually("eight heartbeats", async () => {
      assert.equal(await metric(third, "launchpad_lease_lapsed"), 0, third.log.join("\n"));
      return heartbeats() >= enough;
    });
    const asked = Date.now();
    third.child.kill("SIGTERM");
    assert.deepEqual(await once(third.child, "exit"), [0, null]);
    assert.ok(Date.now() - asked < 20_000, `${Date.now() - asked} ms to stop`);
    await cluster.component("kube-apiserver", "thaw");
  });

  test("readiness tells when the API server is down, and when it is back", async () => {
    const fourth = await start();
    await eventually("it is ready", async () => (await ask(fourth, "/readyz")).status === 200);
    await cluster.component("kube-apiserver", "kill");
    const problems = await unready(fourth);
    assert.match(problems, /API server/);
    assert.equal((await ask(fourth, "/healthz")).status, 200, "to start it again would not help");
    await cluster.component("kube-apiserver", "start");
    await eventually("it is ready again", async () => (await ask(fourth, "/readyz")).status === 200, 60_000);
    fourth.child.kill("SIGTERM");
    assert.deepEqual(await once(fourth.child, "exit"), [0, null]);
  });
});
