import assert from "node:assert/strict";
import { test } from "node:test";
import { PresenceState } from "./presence.ts";

function numbered(): PresenceState<string> {
  let n = 0;
  return new PresenceState<string>(() => `r${++n}`);
}

test("who tracks joins under a key, and leaves by untracking", () => {
  const state = numbered();
  assert.deepEqual(state.track("a", "alice", { at: 1 }), {
    joins: { alice: { metas: [{ at: 1, phx_ref: "r1" }] } },
    leaves: {},
  });
  assert.deepEqual(state.untrack("a"), {
    joins: {},
    leaves: { alice: { metas: [{ at: 1, phx_ref: "r1" }] } },
  });
  assert.equal(state.untrack("a"), undefined);
  assert.deepEqual(state.list(), {});
});

test("a change replaces the meta and names the one before", () => {
  const state = numbered();
  state.track("a", "alice", { at: 1 });
  assert.deepEqual(state.track("a", "alice", { at: 2 }), {
    joins: { alice: { metas: [{ at: 2, phx_ref: "r2", phx_ref_prev: "r1" }] } },
    leaves: { alice: { metas: [{ at: 1, phx_ref: "r1" }] } },
  });
});

test("one key may have several members; each leaves alone", () => {
  const state = numbered();
  state.track("phone", "alice", { on: "phone" });
  state.track("laptop", "alice", { on: "laptop" });
  assert.deepEqual(
    state.list().alice?.metas.map((meta) => meta.on),
    ["phone", "laptop"],
  );
  state.untrack("phone");
  assert.deepEqual(
    state.list().alice?.metas.map((meta) => meta.on),
    ["laptop"],
  );
});

test("a client cannot set its reference, nor break the list with its key", () => {
  const state = numbered();
  state.track("a", "__proto__", { phx_ref: "forged" });
  assert.deepEqual(
    JSON.parse(JSON.stringify(state.list())),
    JSON.parse('{"__proto__":{"metas":[{"phx_ref":"r1"}]}}'),
  );
});
