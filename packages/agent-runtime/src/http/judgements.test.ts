import assert from "node:assert/strict";
import { test } from "vitest";
import { callerAddress } from "./caller-address.ts";
import { FRESH_MS, type Judgement, Judgements, Overrun, STALE_MS } from "./judgements.ts";

const good: Judgement = { caller: "key:1" };

test("a judgement is asked for again once it is not fresh, and not used once it is stale", async () => {
  let now = 0;
  let asked = 0;
  const judgements = new Judgements(undefined, () => now);
  const ask = async (): Promise<Judgement> => ({ caller: `key:${++asked}` });
  assert.deepEqual(await judgements.judge("a", ask), { caller: "key:1" });
  now = FRESH_MS - 1;
  await judgements.judge("a", ask);
  assert.equal(asked, 1);
  now = FRESH_MS;
  assert.deepEqual(await judgements.judge("a", ask), { caller: "key:1" }, "used while it is asked for");
  assert.equal(asked, 2);
  await new Promise((done) => setImmediate(done));
  now = FRESH_MS + STALE_MS;
  assert.deepEqual(await judgements.judge("a", ask), { caller: "key:3" }, "waited for");
});

test("an age is counted from the question, not from its answer", async () => {
  let now = 0;
  const judgements = new Judgements(undefined, () => now);
  await judgements.judge("a", async () => {
    now = STALE_MS;
    return good;
  });
  await assert.rejects(
    judgements.judge("a", () => Promise.reject(new Error("away"))),
    /away/,
  );
});

test("who was let in is asked for again while strangers' questions fill every place", async () => {
  let now = 0;
  const judgements = new Judgements({ kept: 10, underway: 2 }, () => now);
  await judgements.judge("known", async () => good);
  const { promise, resolve } = Promise.withResolvers<Judgement>();
  const strangers = ["x", "y"].map((key) => judgements.judge(key, () => promise));
  await assert.rejects(
    judgements.judge("z", async () => good),
    Overrun,
  );
  now = STALE_MS;
  assert.equal(await judgements.again("known", async () => good), good, "its open answer goes on");
  now = 2 * STALE_MS;
  assert.equal(await judgements.judge("known", async () => good), good, "it comes in again");
  resolve(good);
  await Promise.all(strangers);
  assert.equal(await judgements.judge("z", async () => good), good, "the places are free again");
});

test("callers and questions are bounded, and strangers push nobody out", async () => {
  const judgements = new Judgements({ kept: 2, underway: 2 });
  let asked = 0;
  const ask = async () => {
    asked += 1;
    return good;
  };
  await judgements.judge("mine", ask);
  const refusal = { refusal: new Error("no") } as unknown as Judgement;
  for (let n = 0; n < 10; n += 1) await judgements.judge(`stranger ${n}`, async () => refusal);
  await judgements.judge("mine", ask);
  assert.deepEqual([asked, judgements.size], [1, 3]);
  const never = () => new Promise<Judgement>(() => undefined);
  void judgements.judge("x", never);
  void judgements.judge("y", never);
  await assert.rejects(judgements.judge("z", never), Overrun);
});

for (const [forwarded, peer, hops, expected] of [
  [undefined, "127.0.0.1", 1, "127.0.0.1"],
  ["203.0.113.9", "127.0.0.1", 1, "203.0.113.9"],
  ["6.6.6.6, 203.0.113.9", "127.0.0.1", 1, "203.0.113.9"],
  ["6.6.6.6, 203.0.113.9, 127.0.0.1", "127.0.0.1", 2, "203.0.113.9"],
  ["6.6.6.6", "203.0.113.9", 0, "203.0.113.9"],
  ["::ffff:203.0.113.9", "::1", 1, "203.0.113.9"],
  ["2001:db8:1:2:3:4:5:6", "::1", 1, "2001:db8:1:2::/64"],
  ["2001:DB8::9", "::1", 1, "2001:db8:0:0::/64"],
] as const) {
  test(`${forwarded} from ${peer} behind ${hops} proxies is ${expected}`, () => {
    assert.equal(callerAddress(forwarded, peer, hops), expected);
  });
}
