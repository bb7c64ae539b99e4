import assert from "node:assert/strict";
import { beforeEach, test, vi } from "vitest";
import { LIMITS } from "./limits.ts";
import { Hub, type Member } from "./topics.ts";

let now = 0;
let sent: { to: number; data: string | Buffer }[] = [];
beforeEach(() => {
  now = 1000;
  sent = [];
});

function memberOf(to: number): Member {
  return {
    version: "2.0.0",
    topic: "realtime:t",
    maySeeBroadcasts: true,
    maySeePresence: true,
    send: (data) => void sent.push({ to, data }),
  };
}

function crowd(size: number, limits: Partial<typeof LIMITS> = {}): { hub: Hub; members: Member[] } {
  const hub = new Hub({ ...LIMITS, ...limits }, () => now);
  const members = Array.from({ length: size }, (_, n) => memberOf(n));
  for (const member of members) hub.join("t", false, member);
  return { hub, members };
}

const track = (hub: Hub, member: Member | undefined, bytes = 100, key = "k") =>
  hub.track("t", false, member as Member, { key, payload: { x: "x".repeat(bytes - 8) }, bytes });

test("a broadcast is encoded once: all members get the same buffer", () => {
  const { hub, members } = crowd(3);
  const cost = hub.broadcastText("t", false, '{"event":"e"}', members[0]);
  assert.deepEqual(
    sent.map(({ to }) => to),
    [1, 2],
  );
  assert.ok(Buffer.isBuffer(sent[0]?.data));
  assert.equal(sent[0]?.data, sent[1]?.data);
  assert.deepEqual(cost, { deliveries: 2, bytes: 2 * Buffer.byteLength(sent[0]?.data ?? "") });
});

test("the first change of presence is sent at once, those right after it as one diff", (t) => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  t.onTestFinished(() => void vi.useRealTimers());
  const { hub, members } = crowd(2);
  track(hub, members[0]);
  assert.equal(sent.length, 2);
  for (let n = 0; n < 50; n++) track(hub, members[1], 100 + n, "other");
  assert.equal(sent.length, 2);
  now += 2;
  vi.advanceTimersByTime(2);
  assert.equal(sent.length, 4);
  const diff = JSON.parse(String(sent[3]?.data))[4];
  assert.deepEqual([diff.joins.other.metas.length, diff.leaves], [1, {}]);
});

test("a diff that costs much delays the next one: a topic's fan-out is bounded", (t) => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  t.onTestFinished(() => void vi.useRealTimers());
  const { hub, members } = crowd(100);
  track(hub, members[0], 10_000);
  const bytes = sent.reduce((sum, { data }) => sum + data.length, 0);
  const wait = Math.ceil((bytes / LIMITS.presenceDeliveredBytesPerSecond) * 1000);
  assert.ok(wait > 100, `${wait} ms`);
  sent = [];
  track(hub, members[1], 10_000, "other");
  now += wait - 2;
  vi.advanceTimersByTime(wait - 2);
  assert.equal(sent.length, 0);
  now += 3;
  vi.advanceTimersByTime(3);
  assert.equal(sent.length, 100);
});

test("a topic whose presences are full takes no more, and takes again when somebody leaves", () => {
  const { hub, members } = crowd(3, { presenceBytesPerTopic: 250 });
  assert.ok(track(hub, members[0]));
  assert.ok(track(hub, members[1], 100, "b"));
  assert.equal(track(hub, members[2], 100, "c"), undefined);
  assert.ok(track(hub, members[0], 120), "a change counts by the difference");
  hub.untrack("t", false, members[1] as Member);
  assert.ok(track(hub, members[2], 100, "c"));
});

test("a topic that everyone left is forgotten with its presences", () => {
  const { hub, members } = crowd(1);
  track(hub, members[0]);
  hub.leave("t", false, members[0] as Member);
  const newcomer = memberOf(9);
  hub.join("t", false, newcomer);
  sent = [];
  hub.sendPresences("t", false, newcomer);
  assert.deepEqual(JSON.parse(String(sent[0]?.data))[4], {});
});
