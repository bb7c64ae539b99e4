// Agents that sleep on a real API server: at no moment is their Service without somebody who takes requests.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, onTestFinished, test } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import type { KubeApi } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { KubernetesCluster } from "../../packages/controller/src/cluster/kubernetes/kubernetes.ts";
import {
  FLEET,
  guardOf,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, type KubeObject, kubeClient } from "../helpers/kube.ts";
import { eventually } from "../helpers/processes.ts";

const USER = "1f8fad5b-d9cb-469f-a165-70867728950e";
const TENANT = `agents-${USER}`;
const INSTALLATION = "doors";
const reason = await whyNoCluster();

describe("the doors of sleeping agents", { skip: reason !== undefined }, () => {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-doors-"));
  let cluster: TestCluster;
  let admin: KubeClient;

  beforeAll(async () => {
    cluster = await startCluster({ backoffMs: 200, maxBackoffMs: 500 });
    admin = kubeClient(cluster);
  });
  afterAll(async () => {
    admin?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A controller at these addresses that holds what it is told. */
  async function controllerAt(addresses: () => string[], change: (api: KubeApi) => KubeApi = (api) => api) {
    const held = new Set<string>();
    const controller = new KubernetesCluster(
      change(await createClient({ kubeconfig: cluster.info.kubeconfig })),
      {
        ...manifestOptionsOf({ installation: INSTALLATION, graceMs: 1000 }),
        doors: { name: "controllers", port: 8081, resolve: async () => addresses() },
        podAccess: "proxy",
        resyncSeconds: 600,
        log: silentLog,
        clock: systemClock,
        random: Math.random,
        responsible: (agentId) => held.has(agentId),
        guard: guardOf(),
        gone: async () => ({ agents: [], users: [], known: { agents: [], users: [] }, fleet: FLEET }),
      },
    );
    await controller.start();
    let stopped: Promise<void> | undefined;
    const stop = () => {
      stopped ??= controller.stop();
      return stopped;
    };
    onTestFinished(stop);
    return { controller, held, stop };
  }
  const workload = (agentId: string, part: Partial<Workload> = {}) =>
    workloadOf({ agentId, userId: USER, ...part });
  const slicesOf = (agentId: string) =>
    admin.list("EndpointSlice", TENANT, `kubernetes.io/service-name=${agentId}`);
  const readyIn = (slices: readonly KubeObject[]) =>
    slices.flatMap(({ endpoints, metadata }) =>
      ((endpoints ?? []) as KubeObject[])
        .filter(({ conditions }) => conditions?.ready !== false)
        .flatMap(({ addresses }) => (addresses as string[]).map((address) => `${metadata.name} ${address}`)),
    );
  const isDoor = (text: string) => text.includes("-door-");
  const servedBy = async (agentId: string, what: string, wanted: (ready: string[]) => boolean) => {
    let ready: string[] = [];
    await eventually(`${agentId}: ${what}`, async () => {
      ready = readyIn(await slicesOf(agentId));
      return wanted(ready);
    });
    return ready;
  };

  /** Follows every change of the Service's slices: the moments at which none had a ready endpoint. */
  async function follow(agentId: string) {
    const selector = encodeURIComponent(`kubernetes.io/service-name=${agentId}`);
    const path = `/apis/discovery.k8s.io/v1/namespaces/${TENANT}/endpointslices`;
    const listed = await admin.call("GET", `${path}?labelSelector=${selector}`);
    const known = new Map<string, KubeObject>(
      listed.body.items.map((slice: KubeObject) => [slice.metadata.name, slice]),
    );
    const version = listed.body.metadata.resourceVersion;
    const stream = await admin.stream(
      `${path}?labelSelector=${selector}&watch=true&resourceVersion=${version}`,
    );
    const empty: string[] = [];
    let events = 0;
    let text = "";
    stream.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const { type, object } = JSON.parse(text.slice(0, end));
        text = text.slice(end + 1);
        events += 1;
        if (type === "DELETED") known.delete(object.metadata.name);
        else known.set(object.metadata.name, object);
        if (readyIn([...known.values()]).length === 0) empty.push(`${type} ${object.metadata.name}`);
      }
    });
    onTestFinished(() => {
      stream.destroy();
    });
    return { empty, count: () => events };
  }

  test("asleep its Service leads to the controllers, awake to its pods, and always to somebody", async () => {
    const { controller, held } = await controllerAt(() => ["10.244.0.250", "10.244.0.251"]);
    held.add("sleeper");
    await controller.apply(workload("sleeper", { replicas: 2 }));
    await servedBy("sleeper", "by two pods", (ready) => ready.length === 2 && !ready.some(isDoor));
    const seen = await follow("sleeper");

    await controller.sleep(workload("sleeper", { generation: 2, replicas: 2 }));
    assert.deepEqual(
      (await servedBy("sleeper", "by the controllers alone", (ready) => ready.every(isDoor))).sort(),
      ["sleeper-door-ipv4 10.244.0.250", "sleeper-door-ipv4 10.244.0.251"],
    );
    await eventually("no pod is left", async () => {
      const observed = await controller.get("sleeper");
      return observed?.asleep === true && observed.wanted === 0 && observed.replicas.length === 0;
    });
    assert.ok(controller.isAsleep("sleeper"));
    assert.ok(controller.endpoints.knows("sleeper"));

    await controller.apply(workload("sleeper", { generation: 3, replicas: 2 }));
    assert.ok(!controller.isAsleep("sleeper"));
    await servedBy(
      "sleeper",
      "by pods and controllers",
      (ready) => ready.some(isDoor) && !ready.every(isDoor),
    );
    await eventually(
      "the door's own way leads to its pods",
      () => controller.endpoints.count("sleeper") === 2,
    );
    await servedBy("sleeper", "by two pods alone", (ready) => ready.length === 2 && !ready.some(isDoor));
    assert.ok(seen.count() > 3, `${seen.count()} changes were followed`);
    assert.deepEqual(seen.empty, []);
  });

  test("a controller that ends between the two writes leaves an agent that serves; the next one goes on", async () => {
    let isDead = false;
    const first = await controllerAt(
      () => ["10.244.0.250"],
      (api) =>
        withApply(api, async (object, options) => {
          if (isDead && object.kind === "Deployment") throw new Error("it ended");
          return await api.apply(object, options);
        }),
    );
    first.held.add("torn");
    await first.controller.apply(workload("torn"));
    await servedBy("torn", "by a pod", (ready) => ready.length === 1);
    isDead = true;
    await assert.rejects(first.controller.sleep(workload("torn", { generation: 2 })));
    await first.stop();
    const ready = readyIn(await slicesOf("torn"));
    assert.deepEqual([ready.length, ready.filter(isDoor).length], [2, 1]);

    const second = await controllerAt(() => ["10.244.0.251"]);
    second.held.add("torn");
    await second.controller.sleep(workload("torn", { generation: 2 }));
    const doors = await servedBy("torn", "by the second controller alone", (now) => now.every(isDoor));
    assert.deepEqual(doors, ["torn-door-ipv4 10.244.0.251"]);
  });

  test("a controller that comes moves the doors; one without the lease changes none", async () => {
    let addresses = ["10.244.0.250"];
    const holder = await controllerAt(() => addresses);
    const other = await controllerAt(() => ["10.244.0.99"]);
    holder.held.add("moved");
    await holder.controller.sleep(workload("moved"));
    await eventually("the other one knows the sleeper too", () => other.controller.isAsleep("moved"));
    addresses = ["10.244.0.250", "10.244.0.252"];
    const ready = await servedBy("moved", "by both", (now) => now.length === 2);
    assert.deepEqual(ready.sort(), ["moved-door-ipv4 10.244.0.250", "moved-door-ipv4 10.244.0.252"]);
  });

  test("what somebody does to a door is undone, and is no correction of the agent", async () => {
    const { controller, held } = await controllerAt(() => ["10.244.0.250"]);
    held.add("mended");
    await controller.sleep(workload("mended"));
    const [before] = await slicesOf("mended");
    assert.ok(before);
    await admin.delete("EndpointSlice", TENANT, "mended-door-ipv4");
    await servedBy("mended", "by the controller again", (ready) => ready.some(isDoor));
    await admin.patch("EndpointSlice", TENANT, "mended-door-ipv4", { endpoints: [] });
    await servedBy("mended", "by the controller once more", (ready) => ready.some(isDoor));
    assert.equal((await controller.get("mended"))?.drift, undefined);
  });

  test("a removed agent leaves no door, and its namespace is not kept for one", async () => {
    const { controller, held } = await controllerAt(() => ["10.244.0.250"]);
    held.add("removed");
    await controller.sleep(workload("removed"));
    await controller.remove("removed");
    await eventually("no slice is left", async () => (await slicesOf("removed")).length === 0);
  });
});

/** The client, but for how it applies. */
function withApply(api: KubeApi, apply: KubeApi["apply"]): KubeApi {
  return new Proxy(api, {
    get: (target, name) => {
      const value = name === "apply" ? apply : Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
