import assert from "node:assert/strict";
import { test } from "vitest";
import { silentLog } from "../log.ts";
import { SimulatedClock } from "../testing/simulated-clock.ts";
import { type Caller, caller, STRANGER } from "./caller.ts";
import { Door, type DoorLimits, type Verdict, type Wake } from "./door.ts";

const OWNER = caller("token", "owner");
const NOT_ITS_KEY: Wake = {
  state: "refused",
  ofCaller: true,
  status: 401,
  code: "INVALID_API_KEY",
  message: "Show a key.",
};

/** A door whose database answers what the test says. */
function rig(limits: Partial<DoorLimits> = {}) {
  const clock = new SimulatedClock();
  const asked: { agentId: string; caller: Caller; at: number }[] = [];
  const ended: string[] = [];
  const ready = new Set<string>();
  let answer: (agentId: string, from: Caller) => Wake | Promise<Wake> = () => ({ state: "waking" });
  const started = clock.now();
  const door = new Door({
    wake: async (agentId, from) => {
      asked.push({ agentId, caller: from, at: clock.now() - started });
      return await answer(agentId, from);
    },
    isReady: (agentId) => ready.has(agentId),
    clock,
    log: silentLog,
    limits,
    onHeld: (outcome) => ended.push(outcome),
  });
  const hold = (agentId = "a", from = OWNER, since?: number) => {
    const held: { verdict?: Verdict; decided: number; leave(): void; since: number } = {
      decided: 0,
      leave: () => {},
      since: 0,
    };
    const wait = door.hold(
      agentId,
      from,
      (verdict) => {
        held.decided += 1;
        held.verdict = verdict;
      },
      since,
    );
    return Object.assign(held, wait);
  };
  return {
    clock,
    asked,
    ended,
    ready,
    door,
    hold,
    answers: (next: typeof answer) => {
      answer = next;
    },
  };
}

test("a thousand callers of one sleeping agent are one wake, and all go on when it is ready", async () => {
  const { asked, clock, door, ended, hold } = rig();
  const held = Array.from({ length: 1000 }, () => hold());
  await clock.advance(900);
  assert.equal(asked.length, 1);
  assert.equal(door.held, 1000);
  door.ready("a");
  assert.ok(held.every(({ decided, verdict }) => decided === 1 && verdict === undefined));
  assert.equal(door.held, 0);
  assert.deepEqual([...new Set(ended)], ["passed"]);
  await clock.advance(60_000);
  assert.equal(asked.length, 1);
});

test("after 30 seconds a caller gets 503 and when to try again, and the next one waits again", async () => {
  const { asked, clock, door, ended, hold } = rig();
  const held = hold();
  await clock.advance(29_999);
  assert.equal(held.decided, 0);
  await clock.advance(1);
  assert.deepEqual(
    [held.verdict?.status, held.verdict?.code, held.verdict?.retryAfterSeconds],
    [503, "AGENT_WAKING", 5],
  );
  assert.deepEqual(ended, ["late"]);
  const before = asked.length;
  const next = hold();
  await clock.advance(10);
  assert.equal(asked.length, before + 1);
  door.ready("a");
  assert.deepEqual([next.decided, next.verdict], [1, undefined]);
});

test("a wait that begins again keeps its time", async () => {
  const { clock, hold } = rig();
  const first = hold();
  await clock.advance(20_000);
  first.leave();
  const again = hold("a", OWNER, first.since);
  await clock.advance(10_000);
  assert.equal(again.verdict?.code, "AGENT_WAKING");
});

test("a refused wake is every held caller's answer, and stands for a second", async () => {
  const { answers, asked, clock, hold } = rig();
  answers(() => ({ state: "refused", status: 409, code: "CONFLICT", message: "This agent is stopped." }));
  const held = [hold(), hold()];
  await clock.advance(1);
  for (const one of held) {
    assert.deepEqual(one.verdict, { status: 409, code: "CONFLICT", message: "This agent is stopped." });
  }
  const soon = hold();
  await clock.advance(1);
  assert.equal(soon.verdict?.code, "CONFLICT");
  assert.equal(asked.length, 1);
  answers(() => ({ state: "waking" }));
  await clock.advance(1000);
  const later = hold();
  await clock.advance(1);
  assert.equal(later.decided, 0);
  assert.equal(asked.length, 2);
});

test("a launch that fails while callers wait is their answer", async () => {
  const { answers, clock, hold } = rig();
  const held = hold();
  await clock.advance(1500);
  answers(() => ({ state: "refused", status: 503, code: "DEPLOYMENT_FAILED", message: "OOMKilled" }));
  await clock.advance(1000);
  assert.deepEqual([held.verdict?.status, held.verdict?.message], [503, "OOMKilled"]);
});

test("an agent that does not sleep and has no ready replica is 503 at once, with one question a second", async () => {
  const { answers, asked, clock, hold } = rig();
  answers(() => ({ state: "awake" }));
  const held = hold();
  await clock.advance(200);
  assert.deepEqual([held.verdict?.status, held.verdict?.code], [503, "AGENT_NOT_READY"]);
  const before = asked.length;
  for (let time = 0; time < 50; time += 1) {
    const next = hold();
    await clock.advance(1);
    assert.equal(next.verdict?.code, "AGENT_NOT_READY");
  }
  assert.equal(asked.length, before);
});

test("an agent that woke elsewhere a moment before it is seen to be ready here is waited for", async () => {
  const { answers, clock, door, hold } = rig();
  const held = hold();
  await clock.advance(1);
  answers(() => ({ state: "awake" }));
  await clock.advance(1100);
  assert.equal(held.decided, 0);
  door.ready("a");
  assert.deepEqual([held.decided, held.verdict], [1, undefined]);
});

test("while the database is down callers wait, and go on when it answers", async () => {
  const { answers, asked, clock, door, hold } = rig();
  answers(() => Promise.reject(new Error("down")));
  const held = hold();
  await clock.advance(10_000);
  assert.equal(held.decided, 0);
  assert.ok(asked.length < 20, `${asked.length} questions in ten seconds`);
  answers(() => ({ state: "waking" }));
  await clock.advance(1000);
  door.ready("a");
  assert.deepEqual([held.decided, held.verdict], [1, undefined]);
});

test("a database that stays down is told as such when the time is up", async () => {
  const { answers, clock, hold } = rig();
  answers(() => Promise.reject(new Error("down")));
  const held = hold();
  await clock.advance(30_000);
  assert.deepEqual([held.verdict?.status, held.verdict?.code], [503, "SUPABASE_CONNECTION_ERROR"]);
});

test("a client that leaves is let go, and without any the database is asked no more", async () => {
  const { asked, clock, door, ended, hold } = rig();
  const held = hold();
  await clock.advance(1);
  held.leave();
  held.leave();
  assert.equal(door.held, 0);
  await clock.advance(60_000);
  assert.equal(asked.length, 1);
  assert.deepEqual([held.decided, ended], [0, ["left"]]);
});

test("a client that leaves while its refusal is on the way is not answered", async () => {
  const { answers, clock, hold } = rig();
  answers(() => ({ state: "refused", status: 409, code: "CONFLICT", message: "stopped" }));
  hold();
  await clock.advance(1);
  const held = hold();
  held.leave();
  await clock.advance(1);
  assert.equal(held.decided, 0);
});

test("a caller who may not wake it is refused alone, and the next one is asked for", async () => {
  const { answers, asked, clock, door, hold } = rig();
  answers((_, { shows }) => (shows === "token" ? { state: "waking" } : NOT_ITS_KEY));
  const [stranger, known] = [hold("a", STRANGER), hold()];
  await clock.advance(1);
  assert.deepEqual(
    asked.map(({ caller: { shows } }) => shows),
    ["nothing", "token"],
  );
  assert.deepEqual(
    [stranger.verdict, known.decided],
    [{ status: 401, code: "INVALID_API_KEY", message: "Show a key." }, 0],
  );
  answers(() => ({ state: "waking" }));
  await clock.advance(1000);
  const visitor = hold("a", STRANGER);
  await clock.advance(1);
  door.ready("a");
  assert.deepEqual([known.decided, visitor.decided, visitor.verdict], [1, 1, undefined]);
});

test("what a stranger shows is judged once a second, and a key that is good is held meanwhile", async () => {
  const { answers, asked, clock, door, hold } = rig();
  answers((_, { proof }) => (proof === "good" ? { state: "waking" } : NOT_ITS_KEY));
  const strangers = Array.from({ length: 200 }, (_, index) =>
    hold("a", caller("key", `wrong ${index % 20}`)),
  );
  const good = hold("a", caller("key", "good"));
  await clock.advance(1);
  assert.ok(strangers.every(({ decided, verdict }) => decided === 1 && verdict?.status === 401));
  assert.equal(asked.length, 21, "one question for each of them");
  assert.equal(good.decided, 0);
  const again = hold("a", caller("key", "wrong 0"));
  await clock.advance(1);
  assert.deepEqual([again.verdict?.status, asked.length], [401, 21]);
  door.ready("a");
  assert.deepEqual([good.decided, good.verdict], [1, undefined]);
  assert.equal(door.held, 0);
});

test("an agent that does not start is refused to everybody, whatever they show", async () => {
  const { answers, asked, clock, hold } = rig();
  answers(() => ({ state: "refused", status: 404, code: "AGENT_NOT_FOUND", message: "No agent." }));
  const all = [hold("a", STRANGER), hold("a", caller("key", "one")), hold()];
  await clock.advance(1);
  assert.ok(all.every(({ verdict }) => verdict?.code === "AGENT_NOT_FOUND"));
  assert.equal(asked.length, 1);
});

test("callers go on in the order in which they came, whatever they show", async () => {
  const { clock, door } = rig();
  const order: number[] = [];
  for (let index = 0; index < 6; index += 1)
    door.hold("a", index % 2 === 0 ? OWNER : STRANGER, () => order.push(index));
  await clock.advance(10);
  door.ready("a");
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
});

test("a clock that is set back makes no wait longer than 30 seconds", async () => {
  const { clock, hold } = rig();
  const again = hold("a", OWNER, clock.now() + 3_600_000);
  await clock.advance(30_000);
  assert.equal(again.verdict?.code, "AGENT_WAKING");
});

test("a flood of one agent leaves room for another's callers, and there is a bound for all", async () => {
  const { clock, door, hold } = rig({ total: 10, perAgent: 6 });
  for (let time = 0; time < 6; time += 1) hold("a");
  const over = hold("a");
  await clock.advance(1);
  assert.deepEqual([over.verdict?.status, over.verdict?.code], [503, "AGENT_BUSY"]);
  const others = Array.from({ length: 4 }, () => hold("b"));
  const last = hold("c");
  await clock.advance(1);
  assert.ok(others.every(({ decided }) => decided === 0));
  assert.equal(last.verdict?.code, "AGENT_BUSY");
  assert.equal(door.held, 10);
});

test("a flood of one agent leaves room for another's callers, whatever it shows", async () => {
  const { clock, door, hold } = rig({ total: 10, perAgent: 6 });
  for (let time = 0; time < 6; time += 1) {
    hold("a", caller("key", String(time)));
    hold("a", STRANGER);
  }
  const other = hold("b");
  await clock.advance(1);
  assert.deepEqual([door.held, other.decided], [7, 0]);
});

test("whoever waits when the process ends is answered", async () => {
  const { clock, door, hold } = rig();
  const held = hold();
  await clock.advance(1);
  door.stop();
  assert.deepEqual([held.verdict?.status, held.verdict?.retryAfterSeconds], [503, 1]);
  const late = hold();
  await clock.advance(1);
  assert.equal(late.verdict?.status, 503);
  assert.equal(door.held, 0);
});

test("a replica that is ready before the database has answered is enough", async () => {
  const { answers, clock, hold, ready } = rig();
  answers(() => ({ state: "awake" }));
  ready.add("a");
  const held = hold();
  await clock.advance(1);
  assert.deepEqual([held.decided, held.verdict], [1, undefined]);
});

test("a flood of false keys from one address costs another address no wait", async () => {
  const { answers, asked, clock, hold } = rig();
  answers(async (_, { proof }) => {
    await new Promise<void>((resolve) => clock.after(3, resolve));
    return proof === "good" ? { state: "waking" } : NOT_ITS_KEY;
  });
  const from = (address: string, key: string): Caller => ({ ...caller("key", key), address });
  for (let index = 0; index < 200; index += 1) hold("a", from("6.6.6.6", `false ${index}`));
  await clock.advance(4);
  const owner = hold("a", from("7.7.7.7", "good"));
  await clock.advance(4);
  assert.equal(asked.find(({ caller: { proof } }) => proof === "good")?.at, 4);
  assert.ok(asked.length <= 4, `${asked.length} questions`);
  await clock.advance(100);
  assert.equal(owner.decided, 0);
  assert.ok(asked.length <= 4, "the agent wakes: who waits is asked about no more");
});

test("of many addresses that flood, four are asked about at once, and each takes turns", async () => {
  const { answers, clock, hold } = rig();
  let open = 0;
  let most = 0;
  const order: string[] = [];
  answers(async (_, { address = "" }) => {
    order.push(address);
    open += 1;
    most = Math.max(most, open);
    await new Promise<void>((resolve) => clock.after(3, resolve));
    open -= 1;
    return NOT_ITS_KEY;
  });
  const held = Array.from({ length: 60 }, (_, index) =>
    hold("a", { ...caller("key", `false ${index}`), address: `6.6.6.${index % 6}` }),
  );
  await clock.advance(60);
  assert.equal(most, 4);
  assert.deepEqual([...new Set(order.slice(0, 6))].length, 6);
  assert.ok(held.every(({ verdict }) => verdict?.code === "INVALID_API_KEY"));
});

test("one address fills its share of the room, and others still come in", async () => {
  const { answers, clock, door, hold } = rig({ perAddress: 3 });
  answers(() => new Promise(() => {}));
  const from = (address: string, key: string): Caller => ({ ...caller("key", key), address });
  const flood = Array.from({ length: 10 }, (_, index) => hold("a", from("6.6.6.6", `false ${index}`)));
  const owner = hold("a", from("7.7.7.7", "good"));
  const again = hold("a", from("7.7.7.7", "good"));
  await clock.advance(10);
  const refused = flood.filter(({ verdict }) => verdict?.code === "AGENT_BUSY");
  assert.equal(refused.length, 7);
  assert.deepEqual([owner.decided, again.decided, door.held], [0, 0, 5]);
});
