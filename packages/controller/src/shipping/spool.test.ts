import assert from "node:assert/strict";
import { appendFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { temporaryFolder } from "../testing/temporary.ts";
import { Spool } from "./spool.ts";

const row = (number: number) => JSON.stringify({ number, text: "x".repeat(80) });
const rows = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => row(from + index));

function drain(spool: Spool): string[] {
  const all: string[] = [];
  for (let taken = spool.take(7, 1_000_000); taken !== undefined; taken = spool.take(7, 1_000_000)) {
    all.push(...taken.rows);
    taken.commit();
  }
  return all;
}

test("rows come out as they went in, and leave no file", (context) => {
  const directory = temporaryFolder(context);
  const spool = new Spool({ directory, maxBytes: 1_000_000, segmentBytes: 500 });
  spool.append(rows(0, 10));
  spool.append(rows(10, 25));
  assert.equal(spool.rows, 25);
  const first = spool.take(3, 1_000_000);
  assert.deepEqual(first?.rows, rows(0, 3));
  spool.append(rows(25, 30));
  assert.deepEqual(spool.take(3, 1_000_000)?.rows, rows(0, 3), "not committed: the same again");
  first?.commit();
  assert.deepEqual(drain(spool), rows(3, 30));
  assert.ok(spool.empty);
  assert.equal(spool.bytes, 0);
  assert.deepEqual(readdirSync(directory), []);
});

test("a new life goes on where the old one was, at most again, never short", (context) => {
  const directory = temporaryFolder(context);
  const options = { directory, maxBytes: 1_000_000, segmentBytes: 1000 };
  const before = new Spool(options);
  before.append(rows(0, 30));
  before.take(5, 1_000_000)?.commit();
  // Dies while writing a line.
  const last = readdirSync(directory).sort().at(-1) ?? "";
  appendFileSync(join(directory, last), '{"number":30,"te');
  const after = new Spool(options);
  after.append(rows(31, 35));
  const out = drain(after);
  assert.deepEqual([...new Set(out)].slice(-29), [...rows(5, 30), ...rows(31, 35)]);
});

test("beyond the bound the oldest go, and are counted", (context) => {
  const spool = new Spool({ directory: temporaryFolder(context), maxBytes: 5000, segmentBytes: 1000 });
  for (let number = 0; number < 100; number += 1) spool.append([row(number)]);
  assert.ok(spool.bytes <= 5000);
  const out = drain(spool);
  assert.equal(out.length + spool.dropped, 100);
  assert.deepEqual(out, rows(100 - out.length, 100));
});

test("what is dropped while it is being delivered is not committed twice", (context) => {
  const spool = new Spool({ directory: temporaryFolder(context), maxBytes: 3000, segmentBytes: 1000 });
  spool.append(rows(0, 10));
  const taken = spool.take(5, 1_000_000);
  for (let number = 10; number < 60; number += 1) spool.append([row(number)]);
  const kept = spool.rows;
  taken?.commit();
  assert.equal(spool.rows, kept);
});
