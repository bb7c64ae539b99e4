import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "vitest";
import { createStepLog } from "./abilities/step-log.ts";
import type { AgentError } from "./errors.ts";
import { createMeter, type Meter, type Reservation, type Wanted } from "./meter.ts";
import { createProject, type Project } from "./project.ts";
import { type Called, granting, MESSAGE_KEY, type ProjectStub, startProjectStub } from "./testing/project.ts";

const WANTED: Wanted = { model: "m", inputTokens: 100, outputTokens: 50 };
const USED = { inputTokens: 10, cachedInputTokens: 2, outputTokens: 5 };

let stub: ProjectStub;
let project: Project;
let meters: Meter[];
beforeEach(async () => {
  stub = await startProjectStub();
  project = createProject({ url: stub.url, key: "k" }, 500);
  meters = [];
});
afterEach(async () => {
  for (const meter of meters) await meter.close();
  project.close();
  await stub[Symbol.asyncDispose]();
});

const make = (more: Partial<Parameters<typeof createMeter>[0]> = {}) => {
  const meter = createMeter({
    agentId: "agent-a",
    project,
    messageKey: MESSAGE_KEY,
    messageTimeoutMs: 60_000,
    warn: () => undefined,
    ahead: false,
    ...more,
  });
  meters.push(meter);
  return meter;
};
const reserves = () => stub.calls.filter(({ rpc }) => rpc === "reserve_model_call");
/** Resolves when `holds` does: after each call of the project. */
async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + 60_000;
  while (!holds()) {
    assert.ok(Date.now() < end, "it never came to be");
    await delay(5);
  }
}
const refusing =
  (code: string, status: number, details = {}) =>
  (called: Called) =>
    called.rpc === "reserve_model_call"
      ? {
          status,
          body: { code, message: "no", details: JSON.stringify({ retryAfterSeconds: 7, ...details }) },
        }
      : granting(called);

describe("the meter", () => {
  it("tells again what could not be told because too many calls were under way", async () => {
    let refused = false;
    stub.answer = (called) => {
      if (called.rpc !== "settle_model_calls" || refused) return granting(called);
      refused = true;
      return {
        status: 429,
        body: { code: "RATE_LIMIT_EXCEEDED", message: "Too many of your requests are under way" },
      };
    };
    const meter = make();
    await meter.run({ source: "address" }, async () => (await meter.reserve(WANTED)).settle(USED));
    await until(() => stub.calls.filter(({ rpc }) => rpc === "settle_model_calls").length === 2);
    const [first, second] = stub.calls.filter(({ rpc }) => rpc === "settle_model_calls");
    assert.deepEqual(second?.args.settled, first?.args.settled);
  });

  it("reserves before a call, by the agent's credential and never its key, and settles after", async () => {
    const meter = make();
    await meter.run({ source: "address" }, async () => {
      const call = await meter.reserve(WANTED);
      assert.equal(call.outputTokens, 50);
      call.settle(USED);
      call.settle({ ...USED, outputTokens: 0 });
      call.release();
    });
    const [reserved] = reserves();
    const { credential, agent_id, call } = reserved?.args ?? {};
    assert.equal(credential, createHmac("sha256", MESSAGE_KEY).update("runtime").digest("hex"));
    assert.equal(agent_id, "agent-a");
    assert.deepEqual([call.source, call.leaseSeconds, call.inputTokens], ["address", 120, 100]);
    assert.equal(JSON.stringify(stub.calls).includes(MESSAGE_KEY), false);
    await until(() => stub.settled().size === 1);
    assert.deepEqual(stub.settled().get(call.id), { id: call.id, ...USED, answered: true });
  });

  it("settles a step of an answer with the reserve of the next, in one call", async () => {
    const meter = make();
    await meter.run({ source: "address" }, async () => {
      for (let step = 0; step < 3; step++) (await meter.reserve(WANTED)).settle(USED);
    });
    await until(() => stub.settled().size === 3);
    assert.deepEqual(
      stub.calls.map(({ rpc, args }) => [rpc, args.settled.length]),
      [
        ["reserve_model_call", 0],
        ["reserve_model_call", 1],
        ["reserve_model_call", 1],
        ["settle_model_calls", 1],
      ],
    );
    const answered = [...stub.settled().values()].filter((item) => item.answered);
    assert.equal(answered.length, 1, "one answer, whatever it took");
  });

  it("counts what begins without a message too", async () => {
    const meter = make();
    (await meter.reserve(WANTED)).settle(USED);
    await until(() => stub.settled().size === 1);
  });

  it("gives less output where a limit leaves less", async () => {
    stub.answer = (called) =>
      called.rpc === "reserve_model_call"
        ? { body: { id: called.args.call.id, inputTokens: 100, outputTokens: 9 } }
        : granting(called);
    assert.equal((await make().reserve(WANTED)).outputTokens, 9);
  });

  for (const [code, status] of [
    ["BUDGET_EXHAUSTED", 402],
    ["RESOURCE_LIMIT_EXCEEDED", 429],
    ["MODEL_PRICE_MISSING", 422],
  ] as const) {
    it(`passes ${code} on with its status, its cure and when to come again`, async () => {
      stub.answer = refusing(code, status, { statement: "insert …" });
      const error = await make()
        .reserve(WANTED)
        .catch((thrown: AgentError) => thrown);
      assert.ok("code" in error);
      assert.deepEqual([error.code, error.status, error.retryAfterSeconds], [code, status, 7]);
      assert.deepEqual(error.details, { statement: "insert …" });
    });
  }

  it("makes no call without the database, without a project, or with a credential that is refused", async () => {
    const closed = { code: "SUPABASE_CONNECTION_ERROR", status: 503, retryAfterSeconds: 5 };
    await assert.rejects(make({ project: undefined }).reserve(WANTED), closed);
    await assert.rejects(make({ messageKey: undefined }).reserve(WANTED), closed);
    stub.answer = () => ({ status: 403, body: { code: "INSUFFICIENT_PERMISSIONS", message: "no" } });
    await assert.rejects(make().reserve(WANTED), closed);
    stub.answer = () => ({ status: 503, body: {} });
    await assert.rejects(make().reserve(WANTED), closed);
    const away = createProject({ url: "http://127.0.0.1:9", key: "k" }, 500);
    await assert.rejects(make({ project: away }).reserve(WANTED), closed);
    away.close();
  });

  it("keeps what could not be told, and tells it when the database is back", async () => {
    const meter = make();
    const call = await meter.reserve(WANTED);
    let down = true;
    stub.answer = (called) => (down ? { status: 503, body: {} } : granting(called));
    call.settle(USED);
    await until(() => stub.calls.filter(({ rpc }) => rpc === "settle_model_calls").length > 0);
    await assert.rejects(meter.reserve(WANTED));
    down = false;
    stub.calls.length = 0;
    await until(() => stub.settled().size === 2);
    const items = [...stub.settled().values()];
    assert.deepEqual(items.map((item) => item.unused ?? item.outputTokens).sort(), [5, true]);
  });

  it("gives back what a caller who hangs up had asked for", async () => {
    const meter = make();
    const gone = new AbortController();
    const answer = Promise.withResolvers<void>();
    stub.answer = (called) => ({ ...granting(called), after: answer.promise });
    const reserving = meter.reserve(WANTED, gone.signal);
    await until(() => stub.calls.length === 1);
    gone.abort(new Error("gone"));
    await assert.rejects(reserving, /gone/);
    answer.resolve();
    const id = reserves()[0]?.args.call.id;
    await until(() => stub.settled().get(id)?.unused === true);
  });
});

describe("the platform's reservation", () => {
  let reservation: Reservation;
  beforeEach(() => {
    reservation = { id: randomUUID(), inputTokens: 100, outputTokens: 50 };
  });

  it("pays for one call: a message that is sent again reserves its own", async () => {
    const meter = make();
    for (let time = 0; time < 3; time++) {
      await meter.run({ source: "message", reservation }, async () =>
        (await meter.reserve(WANTED)).settle(USED),
      );
    }
    assert.deepEqual(
      reserves().map(({ args }) => args.call.parent),
      [reservation.id, reservation.id],
    );
  });

  it("is used first, without a call of the database; later calls belong to it", async () => {
    const meter = make({ ahead: true });
    await meter.run({ source: "message", reservation }, async () => {
      (await meter.reserve(WANTED)).settle(USED);
      assert.equal(stub.calls.length, 0);
      (await meter.reserve(WANTED)).settle(USED);
    });
    assert.deepEqual(
      [reserves()[0]?.args.call.parent, reserves()[0]?.args.settled],
      [reservation.id, [{ id: reservation.id, ...USED }]],
    );
    await until(() => stub.settled().size === 2);
    assert.ok(![...stub.settled().values()].some((item) => item.answered), "the platform counts its answers");
  });

  it("that is too small is given back for one that fits; that no call took is given back", async () => {
    const meter = make();
    await meter.run({ source: "message", reservation }, async () => {
      (await meter.reserve({ ...WANTED, inputTokens: 101 })).settle(USED);
    });
    assert.deepEqual(reserves()[0]?.args.settled, [{ id: reservation.id, unused: true }]);
    stub.calls.length = 0;
    const another = { ...reservation, id: randomUUID() };
    await meter.run({ source: "message", reservation: another }, async () => undefined);
    await until(() => stub.settled().get(another.id)?.unused === true);
  });

  it("is left to who began the message, with what it used", async () => {
    const metering = make().open({ source: "message", reservation });
    (await metering.reserve(WANTED)).settle(USED);
    assert.deepEqual(metering.end(true), [{ id: reservation.id, ...USED }]);
    assert.deepEqual(make().open({ source: "message", reservation }).end(false), [
      { id: reservation.id, unused: true },
    ]);
    assert.equal(stub.calls.length, 0);
  });
});

describe("steps of answers", () => {
  const STEP = { id: "s", kind: "model", name: "m", status: "ok", startedAt: 1, milliseconds: 1 } as const;
  const warnings: string[] = [];
  const makeWithSteps = (more: { flushMs?: number } = {}) => {
    const steps = createStepLog({ connected: true, warn: (message) => warnings.push(message) });
    const meter = make({ ahead: true, steps, ...more });
    const say = async (id: string) => {
      const trace = steps.open(id);
      await meter.run({ source: "address" }, async () => (await meter.reserve(WANTED)).settle(USED));
      trace.trace(STEP);
      trace.end();
    };
    return { meter, say };
  };

  it("go with the next message's reservation: one call of the project a message", async () => {
    const { meter, say } = makeWithSteps({ flushMs: 60_000 });
    await say("m0");
    await until(() => reserves().length === 2);
    for (let message = 1; message <= 5; message++) {
      const before = stub.calls.length;
      await say(`m${message}`);
      await until(() => reserves().length === message + 2);
      assert.equal(stub.calls.length - before, 1, "the reserve alone");
    }
    await meter.close();
    assert.deepEqual(
      stub.steps().map(({ messageId }) => messageId),
      ["m0", "m1", "m2", "m3", "m4", "m5"],
    );
  });

  it("are told once more when the project was down, and dropped with a warning when it stays so", async () => {
    const { meter, say } = makeWithSteps();
    await say("first");
    await until(() => stub.steps().length === 1);
    stub.answer = () => ({ status: 503, body: {} });
    await say("second");
    await until(() => stub.calls.filter(({ args }) => args.steps?.[0]?.messageId === "second").length >= 2);
    stub.answer = granting;
    stub.calls.length = 0;
    await until(() => stub.steps().length === 1);
    assert.equal(warnings.filter((message) => message.startsWith("Steps")).length, 0);
    stub.answer = (called) =>
      called.args.steps === undefined
        ? granting(called)
        : { status: 403, body: { code: "X", message: "no" } };
    await say("third");
    await meter.close();
    await until(() => warnings.some((message) => message === "Steps of an answer could not be kept"));
  });
});

describe("a spare", () => {
  const say = (meter: Meter, wanted = WANTED) =>
    meter.run({ source: "address" }, async () => (await meter.reserve(wanted)).settle(USED));

  it("is reserved while a call is made, so that the next need not wait; each is settled once", async () => {
    const meter = make({ ahead: true });
    for (let message = 0; message < 4; message++) {
      const before = reserves().filter(({ args }) => !args.call.spare).length;
      await say(meter);
      if (message > 0) assert.equal(reserves().filter(({ args }) => !args.call.spare).length, before);
      await until(() => reserves().length === message + 2);
    }
    await meter.close();
    const told = stub.calls.flatMap(({ args }) => args.settled.map(({ id }: { id: string }) => id));
    assert.deepEqual(
      told.sort(),
      reserves()
        .map(({ args }) => args.call.id)
        .sort(),
      "none is lost, none told twice",
    );
    const items = [...stub.settled().values()];
    assert.equal(items.filter((item) => item.answered).length, 4);
    assert.equal(items.filter((item) => item.unused).length, 1, "the last spare goes back");
  });

  it("that is refused or too small only costs the wait", async () => {
    const meter = make({ ahead: true });
    stub.answer = (called) =>
      called.args.call?.spare ? refusing("RESOURCE_LIMIT_EXCEEDED", 429)(called) : granting(called);
    await say(meter);
    await say(meter);
    assert.equal(reserves().filter(({ args }) => !args.call.spare).length, 2);
    stub.answer = granting;
    await until(() => reserves().length >= 3);
    await say(meter);
    await say(meter, { ...WANTED, inputTokens: 1_000_000 });
    await meter.close();
    const told = stub.calls.flatMap(({ args }) => args.settled.map(({ id }: { id: string }) => id));
    assert.equal(new Set(told).size, told.length);
  });
});
