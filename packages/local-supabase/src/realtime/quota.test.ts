import assert from "node:assert/strict";
import { test } from "vitest";
import { SERVICE } from "./owners.ts";
import { ChangeQuota } from "./quota.ts";

test("an owner listens to so many changes; what is released can be taken again", () => {
  const quota = new ChangeQuota({ changesPerUser: 3, scannedChangesPerUser: 1 });
  assert.equal(quota.take("user:1", { all: 2, scanned: 1 }), undefined);
  assert.match(quota.take("user:1", { all: 2, scanned: 0 }) ?? "", /at most 3 per user/);
  assert.match(quota.take("user:1", { all: 1, scanned: 1 }) ?? "", /without an eq filter: at most 1/);
  assert.equal(quota.take("user:2", { all: 3, scanned: 1 }), undefined);
  assert.equal(quota.take(SERVICE, { all: 100, scanned: 100 }), undefined);
  quota.release("user:1", { all: 2, scanned: 1 });
  assert.equal(quota.take("user:1", { all: 3, scanned: 1 }), undefined);
});
