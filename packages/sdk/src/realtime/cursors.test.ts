import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { NumberedRows, RecentRows, ReplicaRows } from "./cursors.ts";
import { StatusRows } from "./status.ts";

const at = (minute: number) => `2026-01-01T00:${String(minute).padStart(2, "0")}:00.000001+00:00`;

describe("rows numbered without a gap", () => {
  test("begin after the newest, or where they are told to", () => {
    const rows = new NumberedRows("agent_events", { agent_id: "eq.a" }, undefined);
    rows.begin([{ seq: 7 }]);
    assert.equal(rows.next().seq, "gt.7");
    assert.ok(rows.atNewest);
    const replayed = new NumberedRows("agent_events", {}, 0);
    replayed.begin([{ seq: 7 }]);
    assert.equal(replayed.next().seq, "gt.0");
    assert.ok(!replayed.atNewest);
  });

  test("show each once, and notice what is missing", () => {
    const rows = new NumberedRows("agent_events", {}, 3);
    assert.deepEqual(
      [4, 4, 6, 3].map((seq) => rows.judge({ seq }, true)),
      ["new", "known", "gap", "known"],
    );
    assert.equal(rows.next().seq, "gt.4");
    assert.deepEqual(
      [5, 6].map((seq) => rows.judge({ seq }, false)),
      ["new", "new"],
    );
  });
});

describe("rows numbered by replica", () => {
  const row = (replica: string, sequence: number, minute: number) => ({
    replica,
    sequence,
    timestamp: at(minute),
  });

  test("ask for what follows the last of each replica, and for new replicas' rows since the beginning", () => {
    const rows = new ReplicaRows("agent_logs", { agent_id: "eq.a" });
    rows.begin([row("b", 4, 30), row('a"\\', 9, 20), row("b", 3, 10)]);
    const { and, order } = rows.next();
    assert.equal(order, "replica,sequence");
    assert.equal(
      and,
      '(timestamp.gte."2025-12-31T23:30:00.000Z",or(' +
        'and(replica.eq."b",sequence.gt.4),and(replica.eq."a\\"\\\\",sequence.gt.9),' +
        `and(replica.not.in.("b","a\\"\\\\"),timestamp.gt."${at(30)}")))`,
    );
  });

  test("ask for everything where there was nothing", () => {
    const rows = new ReplicaRows("agent_logs", { agent_id: "eq.a" });
    rows.begin([]);
    assert.equal(rows.next().and, undefined);
    assert.equal(rows.judge(row("a", 1, 0)), "new");
  });

  test("show each once, whatever the order of the replicas", () => {
    const rows = new ReplicaRows("agent_logs", {});
    rows.begin([]);
    assert.deepEqual(
      [row("a", 1, 1), row("b", 1, 0), row("a", 1, 1), row("a", 3, 2), row("a", 2, 2)].map((next) =>
        rows.judge(next),
      ),
      ["new", "new", "known", "new", "known"],
    );
  });

  test("forget replicas whose rows are too old to be asked for", () => {
    const rows = new ReplicaRows("agent_logs", {});
    rows.begin([]);
    for (let count = 0; count < 60; count += 1) {
      const hour = String(Math.floor(count / 3)).padStart(2, "0");
      rows.judge({ replica: `r-${count}`, sequence: 1, timestamp: `2026-01-01T${hour}:00:00Z` });
    }
    const and = String(rows.next().and);
    assert.ok(!and.includes('"r-0"'));
    assert.ok(and.includes('"r-59"'));
  });
});

describe("rows with an id and a time", () => {
  test("read the last minute again, and show each once", () => {
    const rows = new RecentRows<{ id: string; created_at: string }>("messages", {}, "created_at");
    rows.begin([
      { id: "b", created_at: at(5) },
      { id: "a", created_at: at(4) },
    ]);
    assert.equal(rows.next().created_at, "gte.2026-01-01T00:04:00.000Z");
    assert.equal(rows.judge({ id: "a", created_at: at(4) }), "known");
    assert.equal(rows.judge({ id: "c", created_at: at(3) }), "new");
    assert.equal(rows.next().created_at, "gte.2026-01-01T00:04:00.000Z");
  });

  test("go on after a full page, also where all of it was known", () => {
    const rows = new RecentRows<{ id: string; created_at: string }>("messages", { or: "(x)" }, "created_at");
    const last = { id: "c", created_at: at(5) };
    rows.begin([last]);
    assert.deepEqual(rows.next(last), {
      or: "(x)",
      order: "created_at,id",
      limit: 1000,
      and: `(created_at.gte."${at(5)}",or(created_at.gt."${at(5)}",id.gt."c"))`,
    });
  });
});

describe("the status of an agent", () => {
  test("is news when it differs, and not when it is older than what was shown", () => {
    const status = new StatusRows("a");
    const row = (shown: string, minute: number) => ({ id: "a", status: shown, updated_at: at(minute) });
    assert.deepEqual(
      [row("queued", 1), row("queued", 2), row("deployed", 3), row("queued", 1)].map((next) =>
        status.judge(next),
      ),
      ["new", "known", "new", "known"],
    );
  });
});
