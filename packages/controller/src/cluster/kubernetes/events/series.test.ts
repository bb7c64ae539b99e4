import assert from "node:assert/strict";
import { test } from "vitest";
import { type Note, SeriesBook } from "./series.ts";

const note = (text: string, part: Partial<Note> = {}): Note => ({
  type: "Warning",
  reason: "Corrected",
  action: "Correct",
  text,
  ...part,
});
const LIMITS = { quietMs: 10_000, writeMs: 1000, burst: 3, refillMs: 5000 };

test("the first sight is written, what follows is counted and written once a second", () => {
  const book = new SeriesBook(LIMITS);
  assert.equal(book.see("a", note("x"), 0).do, "write");
  const second = book.see("a", note("x"), 100);
  assert.ok(second.do === "wait" && second.until === 1000 && second.series.count === 2);
  assert.equal(book.see("a", note("x"), 200).do, "count");
  book.due(second.series, 1000);
  assert.equal(second.series.count, 3);
  const later = book.see("a", note("x"), 3000);
  assert.ok(later.do === "write" && later.series.count === 4 && later.series.since === 0);
});

test("after ten quiet seconds the same thing is a new Event", () => {
  const book = new SeriesBook(LIMITS);
  book.see("a", note("x"), 0);
  const again = book.see("a", note("x"), 10_000);
  assert.ok(again.do === "write" && again.series.count === 1 && again.series.since === 10_000);
});

test("another object, reason or text is another Event", () => {
  const book = new SeriesBook(LIMITS);
  for (const [about, one] of [
    ["a", note("x")],
    ["b", note("x")],
    ["a", note("y")],
    ["a", note("x", { reason: "Refused" })],
  ] as const) {
    assert.equal(book.see(about, one, 0).do, "write");
  }
});

test("an object with too many new Events is silent until its time comes; others are not", () => {
  const book = new SeriesBook(LIMITS);
  const verdicts = [0, 1, 2, 3, 4].map((index) => book.see("a", note(`${index}`), 0).do);
  assert.deepEqual(verdicts, ["write", "write", "write", "drop", "drop"]);
  assert.equal(book.see("b", note("0"), 0).do, "write");
  assert.equal(book.see("a", note("later"), 5000).do, "write");
  assert.equal(book.see("a", note("too soon"), 5000).do, "drop");
});

test("all objects together get a bounded number of new Events", () => {
  const book = new SeriesBook({ ...LIMITS, burstOfAll: 50, refillAllMs: 1000 });
  const written = (now: number) =>
    Array.from({ length: 200 }, (_, index) => book.see(`${now}-${index}`, note("x"), now).do).filter(
      (one) => one === "write",
    ).length;
  assert.equal(written(0), 50);
  assert.equal(written(7000), 7);
});

test("what is remembered is bounded", () => {
  const book = new SeriesBook({ ...LIMITS, most: 100, burstOfAll: 100_000, refillAllMs: 1 });
  for (let index = 0; index < 10_000; index += 1) book.see(`object-${index}`, note("x"), index);
  assert.equal(book.size, 100);
});
