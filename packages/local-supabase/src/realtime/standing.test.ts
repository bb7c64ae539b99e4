// Accounts behind sockets: a permission that was revoked is noticed at the next look, whatever joins in between.
import assert from "node:assert/strict";
import { test } from "vitest";
import type { Channel } from "./channel.ts";
import { Connections } from "./connections.ts";
import { LIMITS } from "./limits.ts";
import type { RealtimeSocket } from "./socket.ts";
import { Standing, type StandingOptions } from "./standing.ts";

const ALICE = "0f8fad5b-d9cb-469f-a165-70867728950e";
const EVERY_MS = 5000;

/** A standing over one account, whose state and permissions a test sets, with one socket and one topic. */
function rig() {
  let now = 0;
  const account = { state: "active", permissions: "{agents:read}" };
  let judged = 0;
  const dismissed: string[] = [];
  const channel = {
    judgeAgain: async () => {
      judged += 1;
    },
  } as Partial<Channel> as Channel;
  const socket = {
    address: "127.0.0.1",
    channels: [channel],
    dismiss: (reason: string) => void dismissed.push(reason),
    terminate: () => {},
  } as Partial<RealtimeSocket> as RealtimeSocket;
  const connections = new Connections<RealtimeSocket>(LIMITS);
  const query = async ({ values: [users] }: { values: [string[]] }) => ({
    rows: users.map((id) => ({ id, ...account })),
  });
  const standing = new Standing({
    pool: { query } as unknown as StandingOptions["pool"],
    connections,
    sockets: [socket],
    everyMs: EVERY_MS,
    rejudgeMs: Number.POSITIVE_INFINITY,
    now: () => now,
    log: assert.fail,
  });
  connections.open(socket);
  return {
    account,
    connect: () => connections.join(socket, `user:${ALICE}`),
    dismissed,
    judged: () => judged,
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    standing,
  };
}

test("a permission revoked right after the join is judged at the next look, once", async () => {
  const { account, connect, judged, standing } = rig();
  assert.equal(await standing.refusal(ALICE), undefined);
  connect();
  account.permissions = "{}";
  await standing.tick();
  await standing.tick();
  assert.equal(judged(), 1);
});

test("nothing is judged while nothing changes", async () => {
  const { connect, judged, standing } = rig();
  await standing.refusal(ALICE);
  connect();
  await standing.tick();
  await standing.tick();
  assert.equal(judged(), 0);
});

test("another join of the same user, whose look comes first, hides no revoked permission", async () => {
  const { account, connect, judged, pass, standing } = rig();
  await standing.refusal(ALICE);
  connect();
  await standing.tick();
  account.permissions = "{}";
  pass(EVERY_MS);
  await standing.refusal(ALICE);
  await standing.tick();
  assert.equal(judged(), 1);
});

test("a look between a join's question and its socket hides no revoked permission either", async () => {
  const { account, connect, judged, standing } = rig();
  await standing.refusal(ALICE);
  await standing.tick();
  account.permissions = "{}";
  connect();
  await standing.tick();
  assert.equal(judged(), 1);
});

test("a banned account's sockets close at the next look, and it joins nothing", async () => {
  const { account, connect, dismissed, pass, standing } = rig();
  await standing.refusal(ALICE);
  connect();
  account.state = "banned";
  await standing.tick();
  assert.deepEqual(dismissed, ["This account is banned"]);
  pass(EVERY_MS);
  assert.match((await standing.refusal(ALICE)) ?? "", /banned/);
});

test("a project that does not judge accounts lets every user join", async () => {
  const missing = Object.assign(new Error('schema "private" does not exist'), { code: "3F000" });
  const standing = new Standing({
    pool: { query: () => Promise.reject(missing) } as unknown as StandingOptions["pool"],
    connections: new Connections<RealtimeSocket>(LIMITS),
    sockets: [],
    everyMs: EVERY_MS,
    rejudgeMs: Number.POSITIVE_INFINITY,
    now: () => 0,
    log: assert.fail,
  });
  assert.equal(await standing.refusal(ALICE), undefined);
  assert.equal(await standing.refusal("a subject of another issuer"), undefined);
});

test("a database that is not reachable lets no user join", async () => {
  const standing = new Standing({
    pool: { query: () => Promise.reject(new Error("ECONNREFUSED")) } as unknown as StandingOptions["pool"],
    connections: new Connections<RealtimeSocket>(LIMITS),
    sockets: [],
    everyMs: EVERY_MS,
    rejudgeMs: Number.POSITIVE_INFINITY,
    now: () => 0,
    log: assert.fail,
  });
  await assert.rejects(standing.refusal(ALICE), /ECONNREFUSED/);
});
