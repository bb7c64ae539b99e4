import assert from "node:assert/strict";
import pg from "pg";
import { test } from "vitest";
import { Judge, type Questions } from "./judging.ts";

/** A database that answers true, and is too slow for statements with `slow` in them. */
function scene() {
  const statements: string[] = [];
  const pool = {
    async query(text: string) {
      statements.push(text);
      if (text.includes("broken")) throw new pg.DatabaseError("no", 2, "error");
      if (text.includes("slow")) {
        const error = new pg.DatabaseError("canceling statement due to statement timeout", 52, "error");
        error.code = "57014";
        throw error;
      }
      return { rows: [{ answers: [...text.matchAll(/good|bad/g)].map(([word]) => word === "good") }] };
    },
  };
  let now = 0;
  const judge = new Judge(pool as unknown as pg.Pool, { judgingMs: 50, judgingStrikes: 3 }, () => now);
  const log: string[] = [];
  const ask = (owner: string, ...sql: string[]): Questions => ({
    owner,
    targets: new Set([
      {
        deliver() {},
        flows() {},
        warn: () => void log.push(`${owner} warned`),
        end: () => void log.push(`${owner} closed`),
      },
    ]),
    asked: sql.map((each) => ({ sql: each, fails: () => void log.push(`${owner} fails ${each}`) })),
  });
  return { judge, statements, log, ask, later: (ms: number) => (now += ms) };
}

test("each owner's filters are one statement; what is not true fails", async () => {
  const { judge, statements, log, ask } = scene();
  await judge.judge([ask("a", "good", "bad"), ask("b", "good")]);
  assert.equal(statements.length, 2);
  assert.deepEqual(log, ["a fails bad"]);
});

test("a statement that is late is not asked again; its owner alone misses the changes and is told so", async () => {
  const { judge, statements, log, ask } = scene();
  await judge.judge([ask("slow one", "slow", "good"), ask("b", "good")]);
  assert.equal(statements.length, 2);
  assert.deepEqual(log, ["slow one fails slow", "slow one fails good", "slow one warned"]);
});

test("an owner that was late is judged after the others, and its channels close at the third time", async () => {
  const { judge, statements, log, ask, later } = scene();
  for (let n = 0; n < 2; n++) await judge.judge([ask("x", "slow")]);
  await judge.judge([ask("x", "slow"), ask("b", "good")]);
  assert.match(statements.at(-1) ?? "", /slow/);
  assert.deepEqual(
    log.filter((line) => line.endsWith("closed")),
    ["x closed"],
  );
  later(61_000);
  log.length = 0;
  await judge.judge([ask("x", "slow")]);
  assert.deepEqual(log, ["x fails slow", "x warned"], "strikes are forgotten after a minute");
});

test("a filter that fails is asked alone, and then counts as not true", async () => {
  const { judge, log, ask } = scene();
  await judge.judge([ask("a", "broken", "good")]);
  assert.deepEqual(log, ["a fails broken"]);
});
