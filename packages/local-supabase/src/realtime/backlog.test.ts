import assert from "node:assert/strict";
import { test } from "vitest";
import { Backlog } from "./backlog.ts";

const MB = 1_000_000;
interface Reader {
  owner: string;
  waitingBytes: number;
}

function scene(): { backlog: Backlog<Reader>; cut: Reader[] } {
  const cut: Reader[] = [];
  const backlog = new Backlog<Reader>({ perOwner: 10 * MB, inAll: 25 * MB }, (reader) => cut.push(reader));
  return { backlog, cut };
}

test("of an owner whose readers hold too much the largest is cut off, and no other", () => {
  const { backlog, cut } = scene();
  const other = { owner: "b", waitingBytes: 9 * MB };
  const [small, large] = [
    { owner: "a", waitingBytes: 4 * MB },
    { owner: "a", waitingBytes: 7 * MB },
  ];
  for (const reader of [other, small, large]) backlog.note(reader);
  assert.deepEqual(cut, [large]);
});

test("of all together the largest is cut off", () => {
  const { backlog, cut } = scene();
  const readers = ["a", "b", "c", "d"].map((owner, n) => ({ owner, waitingBytes: (6 + n) * MB }));
  for (const reader of readers) backlog.note(reader);
  assert.deepEqual(cut, [readers[3]]);
});

test("what was read meanwhile does not count", () => {
  const { backlog, cut } = scene();
  const [one, two] = [
    { owner: "a", waitingBytes: 9 * MB },
    { owner: "a", waitingBytes: 9 * MB },
  ];
  backlog.note(one);
  one.waitingBytes = 0;
  backlog.note(two);
  assert.deepEqual(cut, []);
});
