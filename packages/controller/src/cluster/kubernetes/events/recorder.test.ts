import assert from "node:assert/strict";
import { test } from "vitest";
import { silentLog } from "../../../log.ts";
import { SimulatedClock } from "../../../testing/simulated-clock.ts";
import { KubeError, type KubeObject } from "../api.ts";
import { Warnings } from "../observe/warning-events.ts";
import { EventRecorder, eventOf, REPORTER } from "./recorder.ts";
import type { Note } from "./series.ts";

const DEPLOYMENT = { apiVersion: "apps/v1", kind: "Deployment", namespace: "agents-u", name: "a", uid: "1" };
const note = (text: string): Note => ({ type: "Warning", reason: "Refused", action: "Apply", text });

function setUp(record: (event: KubeObject) => Promise<void> = async () => {}) {
  const clock = new SimulatedClock();
  const written: KubeObject[] = [];
  const outcomes: string[] = [];
  const recorder = new EventRecorder({
    api: {
      record: async (event) => {
        await record(event);
        written.push(structuredClone(event));
      },
    },
    clock,
    log: silentLog,
    namespace: "launchpad-system",
    instance: "launchpad-0",
    onOutcome: (outcome) => outcomes.push(outcome),
  });
  return { clock, written, outcomes, recorder };
}

test("every write of an Event is the same but for its series", async () => {
  const { clock, recorder, written } = setUp();
  for (let times = 0; times < 5; times += 1) {
    recorder.note(DEPLOYMENT, note("no"));
    await clock.advance(1000);
  }
  await clock.advance(60_000);
  const [first, second] = written;
  assert.equal(written.length, 2);
  assert.equal(first?.series, undefined);
  const { series, ...rest } = second as KubeObject;
  assert.deepEqual(rest, first);
  assert.equal((series as { count: number }).count, 5);
});

test("a text is cut to 1024 bytes without a broken character, a name to 253 characters", async () => {
  const { clock, recorder, written } = setUp();
  recorder.note({ ...DEPLOYMENT, name: "a".repeat(300) }, note(`a${"ä".repeat(2000)}`));
  await clock.advance(0);
  const [event] = written;
  const text = event?.note as string;
  assert.ok(Buffer.byteLength(text) <= 1024 && Buffer.byteLength(text) > 1000);
  assert.match(text, /^aä+…$/);
  assert.ok((event?.metadata.name.length ?? 0) <= 253);
});

test("an Event that cannot be written is counted; nothing is thrown and nothing waits for it", async () => {
  const { clock, outcomes, recorder } = setUp(async () => {
    throw new KubeError("TERMINATING", "the namespace is being deleted");
  });
  recorder.note(DEPLOYMENT, note("no"));
  await clock.advance(0);
  assert.deepEqual(outcomes, ["failed"]);
});

test("while the API server hangs, a bounded number waits and the rest is dropped", async () => {
  const { clock, outcomes, recorder } = setUp(() => new Promise(() => {}));
  for (let index = 0; index < 500; index += 1) {
    recorder.note({ ...DEPLOYMENT, uid: `${index}` }, note("no"));
    await clock.advance(1000);
  }
  assert.equal(outcomes.filter((one) => one === "dropped").length, 400);
});

test("a controller outside of the cluster writes nothing about itself", async () => {
  const written: KubeObject[] = [];
  const clock = new SimulatedClock();
  const api = { record: async (event: KubeObject) => void written.push(event) };
  const recorder = new EventRecorder({ api, clock, log: silentLog });
  recorder.noteOwn(note("held"));
  await clock.advance(0);
  assert.deepEqual(written, []);
});

test("its own Events are no warnings about the agent", () => {
  const warnings = new Warnings("agents-");
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "a.1", namespace: "agents-u" },
    type: "Warning",
    reason: "Refused",
    message: "no",
    involvedObject: DEPLOYMENT,
  };
  assert.equal(warnings.take({ ...event, reportingComponent: REPORTER }), undefined);
  assert.ok(warnings.take({ ...event, reportingComponent: "kubelet" }));
});

test("two controllers that note the same in the same millisecond name their Events apart", () => {
  const series = { since: 1, lastSeen: 1, count: 1, writtenAt: 1 };
  const names = ["launchpad-0", "launchpad-1"].map(
    (instance) => eventOf(DEPLOYMENT, note("no"), series, instance).metadata.name,
  );
  assert.notEqual(names[0], names[1]);
});
