import assert from "node:assert/strict";
import { test } from "vitest";
import { identityOfKey } from "./claims.ts";
import { LIMITS } from "./limits.ts";
import { ownerOf, SERVICE, Spending } from "./owners.ts";

test("a token answers for its user, a key for the address, the secret key for nothing", () => {
  const user = { ...identityOfKey("authenticated"), sub: "1" };
  assert.equal(ownerOf(user, "1.2.3.4"), "user:1");
  assert.equal(ownerOf(identityOfKey("anon"), "1.2.3.4"), "guest:1.2.3.4");
  assert.equal(ownerOf(identityOfKey("service_role"), "1.2.3.4"), SERVICE);
});

test("who spends more than a second's worth waits; others do not", () => {
  const spending = new Spending(LIMITS);
  spending.spend("user:1", { deliveries: LIMITS.deliveriesPerSecond, bytes: 0 }, 5000);
  assert.equal(spending.waitMs("user:1", 5000), 0);
  spending.spend("user:1", { deliveries: LIMITS.deliveriesPerSecond / 2, bytes: 0 }, 5000);
  assert.equal(spending.waitMs("user:1", 5000), 500);
  assert.equal(spending.waitMs("user:1", 5500), 0);
  assert.equal(spending.waitMs("user:2", 5000), 0);
});

test("bytes cost as much as messages, time at the database four times itself, and no wait is endless", () => {
  const spending = new Spending(LIMITS);
  spending.spend("user:1", { deliveries: 1, bytes: 2 * LIMITS.deliveredBytesPerSecond }, 5000);
  assert.equal(spending.waitMs("user:1", 5000), 1000);
  spending.spend("user:1", { deliveries: 1, bytes: 1e12 }, 5000);
  assert.equal(spending.waitMs("user:1", 5000), 10_000);
  for (let n = 0; n < 15; n++) spending.spendAtDatabase("user:2", 20, 5000);
  assert.equal(spending.waitMs("user:2", 5000), 200);
  spending.spend(SERVICE, { deliveries: 1e9, bytes: 1e12 }, 5000);
  assert.equal(spending.waitMs(SERVICE, 5000), 0);
});

test("joins and requests are counted by owner and second", () => {
  const spending = new Spending({ ...LIMITS, joinsPerSecond: 2, requestsPerSecond: 1 });
  const join = (now: number) => spending.join("guest:a", now);
  assert.deepEqual([join(0), join(10), join(20), join(1100)], [true, true, false, true]);
  assert.equal(spending.join("guest:b", 20), true);
  assert.deepEqual([spending.request("guest:a", 0), spending.request("guest:a", 1)], [true, false]);
  spending.sweep(60_000);
  assert.equal(spending.request("guest:a", 60_001), true);
});
