// A new image over twenty agents, drain and read-only, as operators do it: two controllers, a real API server, a whole project.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { LABELS } from "../../packages/controller/src/cluster/kubernetes/names.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, type KubeObject, kubeClient } from "../helpers/kube.ts";
import { type Fleet, type RunningController, startFleet } from "../helpers/kube-controllers.ts";
import { type KubeFaults, startKubeFaults } from "../helpers/kube-faults.ts";
import { WRITES } from "../helpers/kube-requests.ts";
import { heartbeats } from "../helpers/kube-stack.ts";
import { eventually } from "../helpers/processes.ts";
import type { TestUser } from "../helpers/stack.ts";

const AGENTS = 20;
const GOOD = "registry.example/agent:1";
const BAD = "registry.example/agent:image-pull-backoff";
const BETTER = "registry.example/agent:2";

const why = await whyNoCluster();
describe("operators of a fleet on Kubernetes", { skip: why !== undefined }, () => {
  let cluster: TestCluster;
  let kube: KubeClient;
  let faults: KubeFaults;
  let fleet: Fleet;
  let user: TestUser;
  let agents: string[] = [];
  let controllers: RunningController[] = [];

  beforeAll(async () => {
    cluster = await startCluster({ backoffMs: 300, maxBackoffMs: 1000 });
    kube = kubeClient(cluster);
    faults = await startKubeFaults(cluster);
    fleet = await startFleet(faults.kubeconfig, {
      LAUNCHPAD_AGENT_IMAGE: GOOD,
      LAUNCHPAD_READY_SECONDS: "8",
      LAUNCHPAD_ROLLOUT_SOAK_SECONDS: "1",
      LAUNCHPAD_RESYNC_SECONDS: "5",
    });
    user = await fleet.stack.createUser();
    await fleet.stack.sql(
      "update public.quotas set max_agents = 100, max_replicas = 100, max_cpu = 1000000, max_memory = 1e12",
    );
    controllers = [await fleet.start(), await fleet.start()];
    for (let index = 0; index < AGENTS; index += 1) agents.push(await launch(`agent ${index}`));
    await settled(AGENTS);
  });
  afterAll(async () => {
    await fleet?.stop();
    await faults?.close();
    kube?.close();
    await cluster?.stop();
  });

  async function launch(agentName: string): Promise<string> {
    const { data, error } = await user.client.rpc("launch_agent", { definition: { agentName } });
    assert.equal(error, null);
    return (data as { agentId: string }).agentId;
  }
  const settled = (count: number) =>
    eventually(
      `${count} agents are DEPLOYED`,
      async () => {
        const rows = await fleet.stack.sql(
          "select from private.agent_deployments where phase = 'DEPLOYED' and observed_generation = generation and ready_replicas > 0",
        );
        return rows.length === count;
      },
      120_000,
    );
  const pods = async () =>
    (await kube.list("Pod", `agents-${user.id}`)).filter(({ metadata }) => !metadata.deletionTimestamp);
  const agentOf = ({ metadata }: KubeObject) => metadata.labels?.[LABELS.agent] as string;
  const isReady = ({ status }: KubeObject) =>
    status?.conditions?.some(
      ({ type, status }: Record<string, string>) => type === "Ready" && status === "True",
    );
  const on = (all: KubeObject[], image: string) =>
    new Set(all.filter(({ spec }) => spec.containers[0].image === image).map(agentOf));
  const rollout = async () => (await fleet.operate("rollout", "status")).json;
  /** Both controllers go, as an upgrade of the chart replaces them. */
  async function upgrade(image: string): Promise<void> {
    const fresh = [
      await fleet.start({ LAUNCHPAD_AGENT_IMAGE: image }),
      await fleet.start({ LAUNCHPAD_AGENT_IMAGE: image }),
    ];
    await Promise.all(controllers.map((one) => one.end()));
    controllers = fresh;
  }

  it("drain: the other controller takes everything over, and no replica is replaced", async () => {
    const [first, second] = controllers as [RunningController, RunningController];
    const held = async () => [
      await first.metric("launchpad_held_deployments"),
      await second.metric("launchpad_held_deployments"),
    ];
    const before = (await pods()).map(({ metadata }) => metadata.uid).sort();
    assert.equal((await fleet.operate("drain", first.worker)).code, 0);
    await eventually("the other holds all", async () => (await held()).join() === `0,${AGENTS}`);
    assert.deepEqual((await pods()).map(({ metadata }) => metadata.uid).sort(), before);
    const { controllers: told } = (await fleet.operate("status")).json;
    assert.ok(
      told.some((one: { worker: string; drained: boolean }) => one.worker === first.worker && one.drained),
    );
    assert.equal((await fleet.operate("drain", first.worker, "--undo")).code, 0);
    await second.end();
    await eventually(
      "it holds all again",
      async () => (await first.metric("launchpad_held_deployments")) === AGENTS,
    );
    assert.deepEqual((await pods()).map(({ metadata }) => metadata.uid).sort(), before);
    controllers = [first, await fleet.start()];
  });

  it("an image that cannot be pulled reaches the first wave alone; everybody serves on; alerts have their metrics", async () => {
    await upgrade(BAD);
    let most = 0;
    const look = async () => {
      const all = await pods();
      most = Math.max(most, on(all, BAD).size);
      assert.equal(new Set(all.filter(isReady).map(agentOf)).size, AGENTS, "an agent does not serve");
    };
    const halted = await eventually(
      "it is halted",
      async () => {
        await look();
        const now = await rollout();
        return now?.state === "halted" ? now : undefined;
      },
      90_000,
    );
    assert.match(halted.reason, /of 2 agents did not become ready; their old replicas serve on/);
    assert.match(halted.problem, /image-pull-backoff/);
    const [first, second] = controllers as [RunningController, RunningController];
    for (const one of controllers) {
      await eventually("it tells", async () => (await one.metric('launchpad_rollout{state="halted"}')) === 1);
      assert.equal(await one.metric('launchpad_rollout_agents{state="waiting"}'), AGENTS - 2);
      const readyz = await one.get("/readyz");
      const { notes } = (await readyz.json()) as { notes: string[] };
      assert.deepEqual([readyz.status, notes.length], [200, 1]);
      assert.match(notes[0] ?? "", /rollout of .*image-pull-backoff is halted in wave 1.*fleet rollout undo/);
    }
    const sum = async (name: string) => (await first.metric(name)) + (await second.metric(name));
    assert.equal(await sum('launchpad_blocked_replicas{reason="ImagePullBackOff"}'), 2);
    assert.equal(await sum("launchpad_outdated_replicas"), 2);
    assert.ok(
      controllers.some(({ log }) =>
        log.some((line) => line.includes('"level":"error"') && line.includes("halted")),
      ),
    );

    // A restarted controller goes on where it was: halted.
    await first.end("SIGKILL");
    controllers = [await fleet.start({ LAUNCHPAD_AGENT_IMAGE: BAD }), second];
    for (let beat = 0; beat < 4; beat += 1) {
      await look();
      await heartbeats(fleet.stack, { controllers: 3, times: 1 });
    }
    assert.equal(most, 2);
    assert.equal((await rollout()).state, "halted");
    // Judged again by whoever holds them now.
    await eventually("those that are stuck are listed first", async () => {
      const { agents: listed } = (await fleet.operate("list", "--limit", "2")).json;
      return listed.every(({ imageState }: { imageState: string }) => imageState === "stuck");
    });
  });

  it("meanwhile owners' changes and launches work at once, with the image before", async () => {
    const broken = on(await pods(), BAD);
    const agentId = agents.find((one) => !broken.has(one)) ?? "";
    const { error } = await user.client.rpc("restart_agent", { agent_id: agentId });
    assert.equal(error, null);
    agents = [...agents, await launch("a new one")];
    await settled(AGENTS + 1);
    assert.equal(on(await pods(), BAD).size, 2);
  });

  it("a good image then reaches all, in waves, and nobody stops serving", async () => {
    await upgrade(BETTER);
    await eventually(
      "it is finished",
      async () => {
        const all = await pods();
        assert.equal(new Set(all.filter(isReady).map(agentOf)).size, AGENTS + 1, "an agent does not serve");
        return (await rollout()) === null && on(all, BETTER).size === AGENTS + 1;
      },
      240_000,
    );
    await eventually("only the good image is left", async () => {
      const all = await pods();
      return on(all, BAD).size + on(all, GOOD).size === 0;
    });
    const { actions } = (await fleet.operate("status")).json;
    assert.ok(actions.some(({ action }: { action: string }) => action === "rollout"));
    const waves = await fleet.stack.sql<{ n: number }>(
      "select max((details ->> 'wave')::int) as n from private.fleet_actions where action = 'rollout' and details ->> 'decision' = 'finish'",
    );
    assert.ok((waves[0]?.n ?? 0) >= 7, `in ${waves[0]?.n} waves`);
  });

  it("read-only: nothing is written whatever is asked for or broken, it is told, and comes after", async () => {
    assert.equal((await fleet.operate("hold", "--everything", "--reason", "an incident")).code, 0);
    for (const one of controllers) {
      await eventually("it obeys", async () => (await one.metric("launchpad_hold")) === 1);
      const readyz = await one.get("/readyz");
      const { notes } = (await readyz.json()) as { notes: string[] };
      assert.deepEqual([readyz.status, notes.length], [200, 1]);
      assert.match(notes[0] ?? "", /^Read-only: operators hold every change \(an incident\)/);
    }
    const [scaled = "", broken = ""] = agents;
    faults.reset();
    assert.equal(
      (await user.client.rpc("scale_agent", { agent_id: scaled, scale: { replicas: 2 } })).error,
      null,
    );
    await kube.delete("Service", `agents-${user.id}`, broken);
    // Longer than the pause between two resyncs.
    await heartbeats(fleet.stack, { controllers: 3, times: 4 });
    const written = faults.requests.filter(
      ({ resource, verb }) => WRITES.includes(verb) && resource !== "events",
    );
    assert.deepEqual(
      written.map(({ resource, verb }) => `${verb} ${resource}`),
      [],
    );
    assert.match((await fleet.operate("status")).json.hold, /everything/);

    assert.equal((await fleet.operate("release")).code, 0);
    await eventually(
      "what was asked for is done",
      async () => {
        const [row] = await fleet.stack.sql<{ ready: number }>(
          "select ready_replicas as ready from private.agent_deployments where agent_id = $1",
          [scaled],
        );
        return row?.ready === 2 && (await kube.get("Service", `agents-${user.id}`, broken)) !== undefined;
      },
      60_000,
    );
  });
});
