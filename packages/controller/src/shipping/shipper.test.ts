import assert from "node:assert/strict";
import { type TestContext, test } from "vitest";
import { DatabaseError } from "../database.ts";
import { silentLog } from "../log.ts";
import { SimulatedClock, seededRandom } from "../testing/simulated-clock.ts";
import { temporaryFolder } from "../testing/temporary.ts";
import { Shipper } from "./shipper.ts";
import { Spool } from "./spool.ts";

const away = () => new DatabaseError("unreachable", "no answer");
const row = (sequence: number) => JSON.stringify({ replica: "r", sequence });

function rig(context: TestContext, directory = temporaryFolder(context)) {
  const clock = new SimulatedClock();
  const received: number[] = [];
  const batches: number[] = [];
  const database = { behave: async (_rows: readonly string[]): Promise<void> => {} };
  const spool = new Spool({ directory, maxBytes: 1_000_000 });
  const shipper = new Shipper({
    name: "logs",
    clock,
    random: seededRandom(1),
    log: silentLog,
    spool,
    maxRows: 10,
    send: async (rows) => {
      await database.behave(rows);
      batches.push(rows.length);
      received.push(...rows.map((text) => (JSON.parse(text) as { sequence: number }).sequence));
    },
  });
  return { batches, clock, database, directory, received, shipper, spool };
}

const count = (to: number) => Array.from({ length: to }, (_, index) => index + 1);

test("a batch leaves when it is full, or when it is old enough", async (context) => {
  const { batches, clock, shipper } = rig(context);
  for (const sequence of count(23)) shipper.add(row(sequence));
  await clock.advance(0);
  assert.deepEqual(batches, [10, 10]);
  await clock.advance(250);
  assert.deepEqual(batches, [10, 10, 3]);
});

test("away, then back: nothing is lost, the order is kept, memory stays small", async (context) => {
  const { clock, database, received, shipper, spool } = rig(context);
  database.behave = async () => {
    throw away();
  };
  for (const sequence of count(500)) {
    shipper.add(row(sequence));
    await clock.advance(20);
  }
  assert.deepEqual(received, []);
  assert.ok(spool.rows >= 480, "they wait on disk");
  database.behave = async () => {};
  await clock.advance(20_000);
  assert.deepEqual(received, count(500));
  assert.equal(shipper.waiting, 0);
});

test("an answer that is lost leads to duplicates, which the receiver knows by their sequence", async (context) => {
  const { clock, database, shipper } = rig(context);
  const taken: number[] = [];
  const random = seededRandom(7);
  database.behave = async (rows) => {
    if (random() < 0.3) throw away();
    taken.push(...rows.map((text) => (JSON.parse(text) as { sequence: number }).sequence));
    if (random() < 0.3) throw away();
  };
  for (const sequence of count(300)) {
    shipper.add(row(sequence));
    await clock.advance(10);
  }
  await clock.advance(120_000);
  assert.deepEqual([...new Set(taken)], count(300));
});

test("a sudden death loses only what is younger than a quarter of a second", async (context) => {
  const first = rig(context);
  first.database.behave = async () => {
    throw away();
  };
  for (const sequence of count(95)) first.shipper.add(row(sequence));
  await first.clock.advance(300);
  // No stop(): the process is gone.
  const second = rig(context, first.directory);
  await second.clock.advance(1000);
  assert.deepEqual(second.received, count(95));
});

test("stop delivers what it can and keeps the rest for the next start", async (context) => {
  const first = rig(context);
  for (const sequence of count(5)) first.shipper.add(row(sequence));
  const stopping = first.shipper.stop(1000);
  await first.clock.advance(2000);
  await stopping;
  assert.deepEqual(first.received, count(5));

  const second = rig(context);
  second.database.behave = () => new Promise(() => {});
  for (const sequence of count(5)) second.shipper.add(row(sequence));
  const waiting = second.shipper.stop(1000);
  await second.clock.advance(2000);
  await waiting;
  second.shipper.add(row(6));
  const third = rig(context, second.directory);
  await third.clock.advance(1000);
  assert.deepEqual(third.received, count(6));
});

test("a row that is refused for good is found, counted, and holds nobody up", async (context) => {
  const { clock, database, received, shipper } = rig(context);
  database.behave = async (rows) => {
    if (rows.some((text) => text === row(13))) throw new DatabaseError("refused", "22P05 bad text");
  };
  for (const sequence of count(30)) shipper.add(row(sequence));
  await clock.advance(1000);
  assert.deepEqual(
    received,
    count(30).filter((sequence) => sequence !== 13),
  );
  assert.equal(shipper.refused, 1);
});

test("a disk that takes nothing: rows go out from memory", async (context) => {
  const { clock, received, shipper, spool } = rig(context);
  spool.append = () => {
    throw new Error("ENOSPC");
  };
  for (const sequence of count(15)) shipper.add(row(sequence));
  await clock.advance(1000);
  assert.deepEqual(received, count(15));
  assert.equal(shipper.waiting, 0);
});
