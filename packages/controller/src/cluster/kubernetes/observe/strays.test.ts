// Objects that carry the installation's labels where they do not belong: of each kind, as if they were not there.
import assert from "node:assert/strict";
import { test } from "vitest";
import { createLog } from "../../../log.ts";
import { SimulatedClock, seededRandom } from "../../../testing/simulated-clock.ts";
import { KINDS, type Kind } from "../api.ts";
import { DOOR_KEEPER, LABELS } from "../names.ts";
import { FakeServer, labelsOf } from "./testing.ts";
import { ClusterView, OBSERVED_KINDS } from "./view.ts";

async function setUp(owner: (agentId: string) => string | undefined = () => undefined) {
  const server = new FakeServer();
  const clock = new SimulatedClock();
  const lines: string[] = [];
  const view = new ClusterView({
    api: server,
    installation: "test",
    namespacePrefix: "agents-",
    clock,
    random: seededRandom(1),
    log: createLog((line) => lines.push(line), "info"),
    resyncSeconds: 600,
    owner,
  });
  const told: string[] = [];
  view.onChange((agentId) => told.push(agentId));
  const started = view.start();
  await clock.advance(0);
  await started;
  return { server, clock, view, told, lines };
}

const copied = OBSERVED_KINDS.filter((kind) => kind !== "Event" && KINDS[kind].namespaced);

/** Of slices only those are watched that are the controllers' own. */
const watched = (kind: Kind, labels: Record<string, string>) =>
  kind === "EndpointSlice" ? { ...labels, [LABELS.sliceKeeper]: DOOR_KEEPER } : labels;

for (const kind of copied) {
  test(`a ${kind} with a victim's labels in a namespace that is no user's is not the victim's`, async () => {
    const { server, view, told } = await setUp();
    server.put("Deployment", { metadata: { name: "a", namespace: "agents-u1", labels: labelsOf("a") } });
    told.length = 0;
    server.put(kind, {
      metadata: { name: "copy", namespace: "team-x", labels: watched(kind, labelsOf("a")) },
    });
    assert.deepEqual(
      view.objects("a").all.map(({ metadata }) => metadata.name),
      ["a"],
    );
    assert.equal(view.find(kind, "team-x", "copy"), undefined);
    assert.deepEqual([told, view.strays], [[], 1]);
    server.remove(kind, "team-x", "copy");
    assert.equal(view.strays, 0);
    await view.stop();
  });

  test(`a ${kind} with a victim's labels in another user's namespace is not the victim's`, async () => {
    const { server, view, told } = await setUp((agentId) => (agentId === "a" ? "u1" : undefined));
    server.put("Deployment", { metadata: { name: "a", namespace: "agents-u1", labels: labelsOf("a") } });
    told.length = 0;
    for (const user of ["u1", "u2"]) {
      const labels = watched(kind, labelsOf("a", user));
      server.put(kind, { metadata: { name: `copy-${user}`, namespace: "agents-u2", labels } });
    }
    assert.deepEqual(
      view.objects("a").all.map(({ metadata }) => metadata.name),
      ["a"],
    );
    assert.deepEqual([told, view.strays], [[], 2]);
    await view.stop();
  });
}

test("a namespace with our labels and a name that is no user's is not the installation's", async () => {
  const { server, view } = await setUp();
  const { "agent-launchpad.dev/agent": _, ...labels } = labelsOf("a");
  server.put("Namespace", { metadata: { name: "team-x", labels } });
  server.put("Namespace", { metadata: { name: "agents-u1", labels } });
  assert.deepEqual(
    view.namespaces().map(({ metadata }) => metadata.name),
    ["agents-u1"],
  );
  await view.stop();
});

test("a flood of strays is one warning a minute", async () => {
  const { server, clock, view, lines } = await setUp();
  const put = (index: number, kind: Kind = "Pod") =>
    server.put(kind, { metadata: { name: `p-${index}`, namespace: "team-x", labels: labelsOf("a") } });
  for (let index = 0; index < 100; index += 1) put(index);
  assert.equal(lines.filter((line) => line.includes("left alone")).length, 1);
  await clock.advance(61_000);
  put(100);
  assert.equal(lines.filter((line) => line.includes("left alone")).length, 2);
  assert.equal(view.strays, 101);
  await view.stop();
});
