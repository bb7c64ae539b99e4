import assert from "node:assert/strict";
import { test } from "vitest";
import { silentLog } from "../../../log.ts";
import { SimulatedClock, seededRandom } from "../../../testing/simulated-clock.ts";
import { KubeError } from "../api.ts";
import { LABELS } from "../names.ts";
import { FakeServer, labelsOf, type WatchFault } from "./testing.ts";
import { ClusterView, type ClusterViewOptions } from "./view.ts";

const NAMESPACE = "agents-u1";

function setUp(part: Partial<ClusterViewOptions> = {}) {
  const server = new FakeServer();
  const clock = new SimulatedClock();
  const view = new ClusterView({
    api: server,
    installation: "test",
    namespacePrefix: "agents-",
    clock,
    random: seededRandom(1),
    log: silentLog,
    resyncSeconds: 600,
    ...part,
  });
  const told: string[] = [];
  view.onChange((agentId) => told.push(agentId));
  return { server, clock, view, told };
}

function pod(agentId: string, name = `${agentId}-1`) {
  return {
    metadata: { name, namespace: NAMESPACE, labels: labelsOf(agentId) },
    status: { phase: "Running" },
  };
}

function warning(about: string, part: Record<string, unknown> = {}, namespace = NAMESPACE) {
  return {
    metadata: { name: `${about}.${Math.random()}`, namespace },
    type: "Warning",
    reason: "Unhealthy",
    message: "Readiness probe failed",
    involvedObject: { kind: "Pod", namespace, name: about, uid: `uid-of-${about}` },
    ...part,
  };
}

test("what is there when it starts, and every change after, is seen and told", async () => {
  const { server, clock, view, told } = setUp();
  server.put("Pod", pod("a"));
  server.put("Pod", { metadata: { name: "x", namespace: "other", labels: labelsOf("z", "u", "another") } });
  assert.match(view.problem ?? "", /still being read/);
  const started = view.start();
  await clock.advance(0);
  await started;
  assert.ok(view.synced);
  assert.equal(view.problem, undefined);
  assert.deepEqual([view.agents(), told], [["a"], ["a"]]);
  assert.deepEqual(
    view.objects("a").all.map(({ apiVersion, kind }) => [apiVersion, kind]),
    [["v1", "Pod"]],
  );

  server.put("Deployment", { metadata: { name: "b", namespace: NAMESPACE, labels: labelsOf("b") } });
  server.remove("Pod", NAMESPACE, "a-1");
  assert.deepEqual([view.agents(), told], [["b"], ["a", "b", "a"]]);
  assert.equal(view.objects("b").deployment?.metadata.name, "b");
  assert.deepEqual(view.objects("a").all, []);
  await view.stop();
  assert.equal(server.watches.size, 0);
  server.put("Pod", pod("c"));
  await clock.advance(3_600_000);
  assert.deepEqual(view.agents(), ["b"]);
});

test("a watch goes on from the last version told, without a list", async () => {
  const { server, clock, view } = setUp({ kinds: ["Pod"] });
  void view.start();
  await clock.advance(0);
  server.put("Pod", pod("a"));
  server.break("end");
  server.put("Pod", pod("b"));
  await clock.advance(500);
  assert.deepEqual([view.agents().sort(), server.lists.length, server.watched], [["a", "b"], 1, 2]);
  // A bookmark moves it on, so that the forgotten past does not matter.
  server.put("Deployment", { metadata: { name: "d", namespace: NAMESPACE, labels: labelsOf("d") } });
  server.bookmark("Pod");
  server.compact();
  server.break("reset");
  await clock.advance(500);
  assert.deepEqual([server.lists.length, server.watched], [1, 3]);
  await view.stop();
});

test("what was deleted while nobody watched is gone after the list that a version too old asks for", async () => {
  const { server, clock, view, told } = setUp({ kinds: ["Pod"] });
  for (const agent of ["a", "b"]) server.put("Pod", pod(agent));
  void view.start();
  await clock.advance(0);
  told.length = 0;
  server.watchFaults.push("server error");
  server.break("reset");
  server.remove("Pod", NAMESPACE, "a-1");
  server.compact();
  await clock.advance(2000);
  assert.deepEqual([view.agents(), told, server.lists.length], [["b"], ["a"], 2]);
  await view.stop();
});

test("a watch that says nothing is noticed and opened again", async () => {
  const { server, clock, view } = setUp({ kinds: ["Pod"] });
  void view.start();
  await clock.advance(0);
  server.break("silence");
  server.put("Pod", pod("a"));
  await clock.advance(89_000);
  assert.deepEqual(view.agents(), []);
  await clock.advance(3000);
  assert.deepEqual([view.agents(), server.lists.length], [["a"], 1]);
  await view.stop();
});

test("200 faults of every kind: none stalls, and what is seen is what is there", async () => {
  const faults: WatchFault[] = ["gone", "busy", "server error", "reset", "end", "silence", "hang"];
  for (const seed of [1, 2, 3]) {
    const random = seededRandom(seed);
    const { server, clock, view } = setUp({ random, kinds: ["Pod", "Deployment"] });
    void view.start();
    await clock.advance(0);
    const there = new Set<string>();
    for (let round = 0; round < 200; round += 1) {
      const fault = faults[Math.floor(random() * faults.length)] ?? "reset";
      // Sometimes several in a row, sometimes lists that fail as well, or a past that is forgotten.
      for (let more = Math.floor(random() * 3); more > 0; more -= 1) server.watchFaults.push(fault);
      if (random() < 0.2) server.listFaults.push(new KubeError("SERVER", "etcd is slow", { status: 504 }));
      const changes = Math.floor(random() * 4);
      for (let change = 0; change <= changes; change += 1) {
        if (change === 1) server.break(fault);
        const agent = `a${Math.floor(random() * 8)}`;
        if (random() < 0.5) {
          server.put("Pod", pod(agent));
          there.add(agent);
        } else {
          server.remove("Pod", NAMESPACE, `${agent}-1`);
          there.delete(agent);
        }
      }
      if (random() < 0.2) server.compact();
      // Silence takes the longest: it is noticed after 90 s, three times in a row here at most.
      await clock.advance(300_000);
      assert.deepEqual(view.agents().sort(), [...there].sort(), `seed ${seed}, round ${round}: ${fault}`);
      assert.equal(view.problem, undefined);
      assert.equal(server.watches.size, 2);
    }
    await view.stop();
    assert.equal(server.watches.size, 0);
  }
});

test("a server that stays away is a problem after a minute, until it is back", async () => {
  const { server, clock, view } = setUp({ kinds: ["Pod"] });
  void view.start();
  await clock.advance(0);
  const away = () => Array.from({ length: 50 }, () => "reset" as const);
  server.watchFaults.push(...away());
  server.break("reset");
  await clock.advance(50_000);
  assert.equal(view.problem, undefined);
  assert.deepEqual([...view.failing.keys()], ["pods"]);
  const before = server.watched;
  await clock.advance(120_000);
  assert.match(view.problem ?? "", /pods cannot be watched: the connection was reset/);
  // Half a minute between tries, ± half of it.
  assert.ok(server.watched - before <= 120 / 15 + 1, `${server.watched - before} tries in two minutes`);
  server.watchFaults.length = 0;
  await clock.advance(60_000);
  assert.deepEqual([view.problem, view.failing.size], [undefined, 0]);
  await view.stop();
});

test("a server that takes connections and never answers is a problem after a minute", async () => {
  const { server, clock, view } = setUp({ kinds: ["Pod"] });
  void view.start();
  await clock.advance(0);
  // As the client gives up: ten seconds after it asked.
  const { watch } = server;
  server.watch = () =>
    new Promise((_, reject) => {
      clock.after(10_000, () => reject(new KubeError("UNREACHABLE", "did not answer in time")));
    });
  server.break("reset");
  await clock.advance(5 * 60_000);
  assert.match(view.problem ?? "", /pods cannot be watched: did not answer in time/);
  assert.ok((view.failing.get("pods") ?? 0) > 4 * 60_000);
  server.watch = watch;
  await clock.advance(60_000);
  assert.deepEqual([view.problem, view.failing.size], [undefined, 0]);
  await view.stop();
});

test("a start says at once what waiting cannot help, and waits ten seconds for a server that is down", async () => {
  const refused = setUp({ kinds: ["Pod"] });
  refused.server.listFaults.push(new KubeError("FORBIDDEN", "pods may not be listed", { status: 403 }));
  const result = assert.rejects(refused.view.start(), /pods may not be listed/);
  await refused.clock.advance(0);
  await result;
  await refused.view.stop();

  const late = setUp({ kinds: ["Pod"] });
  late.server.listFaults.push(...Array.from({ length: 4 }, () => new KubeError("UNREACHABLE", "no answer")));
  const started = late.view.start();
  await late.clock.advance(5000);
  await started;
  assert.ok(late.view.synced);
  await late.view.stop();

  const never = setUp({ kinds: ["Pod"] });
  never.server.listFaults.push(
    ...Array.from({ length: 50 }, () => new KubeError("UNREACHABLE", "no answer")),
  );
  const failed = assert.rejects(never.view.start(), /no answer/);
  await never.clock.advance(60_000);
  await failed;
  await never.view.stop();
});

test("what a write answered is seen at once, and never instead of something later", async () => {
  const { server, clock, view } = setUp({ kinds: ["Deployment"] });
  void view.start();
  await clock.advance(0);
  const made = (replicas: number) =>
    server.put("Deployment", {
      metadata: { name: "a", namespace: NAMESPACE, labels: labelsOf("a") },
      spec: { replicas },
    });
  server.break("silence");
  const [first, second] = [made(1), made(2)];
  view.absorb(second);
  view.absorb(first);
  assert.equal(view.objects("a").deployment?.spec?.replicas, 2);
  // Deleted meanwhile, and the answer to a write before that comes late: nothing comes back from the dead.
  server.remove("Deployment", NAMESPACE, "a");
  await clock.advance(100_000);
  assert.deepEqual(view.agents(), []);
  view.absorb(second);
  assert.deepEqual(view.agents(), []);
  await view.stop();
});

test("every agent is told once in each resync, at a time of its own", async () => {
  const { server, clock, view, told } = setUp({ kinds: ["Pod"] });
  for (const agent of ["a", "b"]) server.put("Pod", pod(agent));
  void view.start();
  await clock.advance(0);
  told.length = 0;
  await clock.advance(600_000 * 1.2);
  assert.ok(told.filter((agent) => agent === "a").length >= 1);
  assert.equal(told.filter((agent) => agent === "a").length, told.filter((agent) => agent === "b").length);
  await view.stop();
});

test("a change of a user's namespace is told to each agent of the user", async () => {
  const { server, clock, view, told } = setUp();
  const { [LABELS.agent]: _, ...labels } = labelsOf("");
  server.put("Namespace", { metadata: { name: NAMESPACE, labels }, status: { phase: "Active" } });
  for (const agent of ["a", "b"]) server.put("Pod", pod(agent));
  void view.start();
  await clock.advance(0);
  told.length = 0;
  server.put("Namespace", { metadata: { name: NAMESPACE, labels }, status: { phase: "Terminating" } });
  assert.deepEqual(told, ["a", "b"]);
  assert.equal(view.objects("a").namespace?.status?.phase, "Terminating");
  assert.deepEqual(
    view.ofUser("u1").map(({ kind }) => kind),
    ["Namespace"],
  );
  assert.deepEqual(view.namespaces().length, 1);
  await view.stop();
});

test("warnings are kept for what is ours, a few of each, and no list of all events is asked for", async () => {
  const { server, clock, view, told } = setUp();
  server.put("Event", warning("a-1", { message: "long ago" }));
  server.put("Pod", { ...pod("a"), metadata: { ...pod("a").metadata, uid: "uid-of-a-1" } });
  void view.start();
  await clock.advance(0);
  told.length = 0;
  const at = "2030-01-01T00:00:05Z";
  server.put("Event", warning("a-1", { lastTimestamp: at }));
  server.put("Event", warning("a-1", {}, "kube-system"));
  server.put("Event", warning("stranger"));
  assert.deepEqual(told, ["a"]);
  assert.deepEqual(view.objects("a").warnings, [
    {
      kind: "Pod",
      name: "a-1",
      uid: "uid-of-a-1",
      reason: "Unhealthy",
      message: "Readiness probe failed",
      at: Date.parse(at),
    },
  ]);
  for (let n = 0; n < 50; n += 1) {
    server.put("Event", warning("a-1", { reason: `R${n}`, lastTimestamp: at }));
  }
  assert.equal(view.objects("a").warnings.length, 6);
  const query = server.lists.find(({ kind }) => kind === "Event")?.query;
  assert.deepEqual([query?.fieldSelector, query?.metadataOnly], ["metadata.name=-", true]);
  await view.stop();
});

test("a kind of another project that the cluster lacks: nothing of it is there, and it is asked for until it comes", async () => {
  const { server, clock, view, told } = setUp({ kinds: ["Pod", "HTTPRoute"], needed: ["HTTPRoute"] });
  server.put("Pod", pod("a"));
  const lacking = { list: server.list.bind(server) };
  let missing = true;
  server.list = async (kind, query) => {
    if (kind === "HTTPRoute" && missing) throw new KubeError("NOT_FOUND", "404", { status: 404 });
    return await lacking.list(kind, query);
  };
  const started = view.start();
  await clock.advance(0);
  await started;
  assert.match(view.problem ?? "", /^The cluster has no httproutes: install the Gateway API/);
  assert.equal(view.absence("HTTPRoute"), view.problem);
  assert.equal(view.failing.size, 0);
  await clock.advance(60_000);
  assert.equal(view.absence("HTTPRoute"), view.problem);
  missing = false;
  told.length = 0;
  await clock.advance(15_000);
  assert.deepEqual([view.problem, view.absence("HTTPRoute"), told], [undefined, undefined, ["a"]]);
  await view.stop();
});

test("a kind that the cluster lacks and no agent needs is asked for at most four times an hour", async () => {
  for (const code of ["NOT_FOUND", "FORBIDDEN"] as const) {
    const { server, clock, view } = setUp({ kinds: ["HTTPRoute"] });
    server.list = async (kind, query = {}) => {
      server.lists.push({ kind, query });
      throw new KubeError(code, "no httproutes", { status: 404 });
    };
    const started = view.start();
    await clock.advance(0);
    await started;
    await clock.advance(3_600_000);
    assert.ok(server.lists.length > 1 && server.lists.length <= 4, `${server.lists.length} lists`);
    await view.stop();
  }
});

test("where that kind is not needed, it is no problem that it is missing or may not be seen; otherwise a refusal ends the start", async () => {
  for (const [code, needed, refused] of [
    ["NOT_FOUND", [], false],
    ["FORBIDDEN", [], false],
    ["FORBIDDEN", ["HTTPRoute"], true],
  ] as const) {
    const { server, clock, view } = setUp({ kinds: ["HTTPRoute"], needed });
    server.listFaults.push(new KubeError(code, "httproutes may not be listed"));
    const started = view.start();
    const outcome = refused ? assert.rejects(started, /may not be listed/) : started;
    await clock.advance(0);
    await outcome;
    if (!refused) assert.equal(view.problem, undefined);
    await view.stop();
  }
});
