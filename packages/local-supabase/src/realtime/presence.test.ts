import assert from "node:assert/strict";
import { test } from "vitest";
import { PresenceState } from "./presence.ts";

function numbered(): PresenceState<string> {
  let n = 0;
  return new PresenceState<string>(() => `r${++n}`);
}

test("a member that tracks joins under its key, and leaves by untracking", () => {
  const state = numbered();
  state.track("a", "alice", { at: 1 }, 8);
  assert.deepEqual(state.nextDiff(), {
    joins: { alice: { metas: [{ at: 1, phx_ref: "r1" }] } },
    leaves: {},
  });
  assert.equal(state.untrack("a"), true);
  assert.deepEqual(state.nextDiff(), {
    joins: {},
    leaves: { alice: { metas: [{ at: 1, phx_ref: "r1" }] } },
  });
  assert.equal(state.untrack("a"), false);
  assert.equal(state.nextDiff(), undefined);
  assert.deepEqual(state.list(), {});
});

test("a change replaces the meta and names the one before", () => {
  const state = numbered();
  state.track("a", "alice", { at: 1 }, 8);
  state.nextDiff();
  state.track("a", "alice", { at: 2 }, 8);
  assert.deepEqual(state.nextDiff(), {
    joins: { alice: { metas: [{ at: 2, phx_ref: "r2", phx_ref_prev: "r1" }] } },
    leaves: { alice: { metas: [{ at: 1, phx_ref: "r1" }] } },
  });
});

test("many changes between two diffs are one change; who came and went is not in it", () => {
  const state = numbered();
  state.track("a", "alice", { at: 0 }, 8);
  state.nextDiff();
  for (let at = 1; at <= 100; at++) state.track("a", "alice", { at }, 8);
  state.track("b", "bob", {}, 2);
  state.untrack("b");
  const diff = state.nextDiff();
  assert.deepEqual(
    [diff?.joins.alice?.metas.map(({ at }) => at), diff?.leaves.alice?.metas.map(({ at }) => at)],
    [[100], [0]],
  );
  assert.deepEqual([Object.keys(diff?.joins ?? {}), Object.keys(diff?.leaves ?? {})], [["alice"], ["alice"]]);
});

test("a newcomer's list and the next diff add up to who is there", () => {
  const state = numbered();
  state.track("a", "alice", {}, 2);
  state.nextDiff();
  state.track("b", "bob", {}, 2);
  state.untrack("a");
  assert.deepEqual(Object.keys(state.list()), ["alice"]);
  const diff = state.nextDiff();
  assert.deepEqual([Object.keys(diff?.joins ?? {}), Object.keys(diff?.leaves ?? {})], [["bob"], ["alice"]]);
  assert.deepEqual(Object.keys(state.list()), ["bob"]);
});

test("one key may have several members; each leaves alone", () => {
  const state = numbered();
  state.track("phone", "alice", { on: "phone" }, 8);
  state.track("laptop", "alice", { on: "laptop" }, 8);
  state.nextDiff();
  const on = () => state.list().alice?.metas.map((meta) => meta.on);
  assert.deepEqual(on(), ["phone", "laptop"]);
  state.untrack("phone");
  state.nextDiff();
  assert.deepEqual(on(), ["laptop"]);
});

test("a client cannot set its reference, nor break the list with its key", () => {
  const state = numbered();
  state.track("a", "__proto__", { phx_ref: "forged" }, 8);
  state.nextDiff();
  assert.deepEqual(
    JSON.parse(JSON.stringify(state.list())),
    JSON.parse('{"__proto__":{"metas":[{"phx_ref":"r1"}]}}'),
  );
});

test("bytes count each member's payload once", () => {
  const state = numbered();
  state.track("a", "alice", {}, 100);
  state.track("a", "alice", {}, 30);
  state.track("b", "bob", {}, 5);
  assert.equal(state.bytes, 35);
  state.untrack("a");
  assert.equal(state.bytes, 5);
});
