import assert from "node:assert/strict";
import { test } from "vitest";
import type { Exit } from "./child.ts";
import { type ServiceSpec, Supervisor } from "./supervisor.ts";

interface Fake extends ServiceSpec {
  /** Ends the current life as a crash would. */
  crash: (exit?: Exit) => void;
}

/** A world whose time stands still: sleeps return at once and are written down. */
function world(options: { failStarts?: Record<string, number> } = {}) {
  const events: string[] = [];
  const logs: string[] = [];
  const sleeps: number[] = [];
  let now = 0;
  const waiters: { text: string; resolve: () => void }[] = [];
  const note = (event: string) => {
    events.push(event);
    for (const waiter of waiters) if (waiter.text === event) waiter.resolve();
  };
  const supervisor = new Supervisor({
    log: (message) => void logs.push(message),
    onState: (name, state) => note(`${name} ${state}`),
    now: () => now,
    sleep: async (ms, signal) => {
      sleeps.push(ms);
      signal.throwIfAborted();
    },
  });
  const service = (name: string, needs: string[] = []): Fake => {
    let failures = options.failStarts?.[name] ?? 0;
    let end: (exit: Exit) => void = () => {};
    let lives = 0;
    return {
      name,
      needs,
      async start() {
        lives += 1;
        if (lives > 1 && failures-- > 0) throw new Error(`${name} cannot start`);
        const { promise, resolve } = Promise.withResolvers<Exit>();
        end = resolve;
        return { exited: promise, stop: async () => note(`${name} stop`) };
      },
      crash: (exit = { code: null, signal: "SIGKILL" }) => end(exit),
    };
  };
  const nth = async (event: string, count: number) => {
    while (events.filter((each) => each === event).length < count) {
      await new Promise<void>((resolve) => waiters.push({ text: event, resolve }));
    }
  };
  return { supervisor, service, events, logs, sleeps, nth, pass: (ms: number) => (now += ms) };
}

test("services start after what they need and stop before it", async () => {
  const { supervisor, service, events } = world();
  await supervisor.start([service("api", ["db", "rest"]), service("rest", ["db"]), service("db")]);
  assert.deepEqual(
    events.filter((event) => event.endsWith("running")),
    ["db running", "rest running", "api running"],
  );
  await supervisor.stop();
  assert.deepEqual(
    events.filter((event) => event.endsWith("stop")),
    ["api stop", "rest stop", "db stop"],
  );
});

test("a service that dies is started again, with its name and the reason in the log", async () => {
  const { supervisor, service, logs, sleeps, nth } = world();
  const rest = service("rest");
  await supervisor.start([rest]);
  rest.crash();
  await nth("rest running", 2);
  assert.deepEqual(sleeps, [250]);
  assert.equal(logs[0], "rest ended (SIGKILL); starting it again in 0.25 s");
  await supervisor.stop();
});

test("starts that fail are spaced further and further", async () => {
  const { supervisor, service, sleeps, nth } = world({ failStarts: { rest: 3 } });
  const rest = service("rest");
  await supervisor.start([rest]);
  rest.crash({ code: 1, signal: null });
  await nth("rest running", 2);
  assert.deepEqual(sleeps, [250, 500, 1000, 2000]);
  await supervisor.stop();
});

test("after a long life the first delay counts again", async () => {
  const { supervisor, service, sleeps, nth, pass } = world();
  const rest = service("rest");
  await supervisor.start([rest]);
  rest.crash();
  await nth("rest running", 2);
  pass(60_000);
  rest.crash();
  await nth("rest running", 3);
  assert.deepEqual(sleeps, [250, 250]);
  await supervisor.stop();
});

test("a first start that fails is reported, and what had started is stopped", async () => {
  const { supervisor, service, events } = world();
  const bad: ServiceSpec = {
    name: "bad",
    needs: ["db"],
    start: async () => await Promise.reject(new Error("no")),
  };
  await assert.rejects(supervisor.start([service("db"), bad]), /^Error: no$/);
  await supervisor.stop();
  assert.ok(events.includes("db stop"));
});

test("nothing is restarted while the stack stops", async () => {
  const { supervisor, service, sleeps } = world();
  const rest = service("rest");
  await supervisor.start([rest]);
  const stopped = supervisor.stop();
  rest.crash();
  await stopped;
  assert.deepEqual(sleeps, []);
  assert.deepEqual(supervisor.states(), { rest: "stopped" });
});
