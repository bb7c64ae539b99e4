import assert from "node:assert/strict";
import pg from "pg";
import { expect, test, vi } from "vitest";
import { Feed, type FeedOptions } from "./feed.ts";
import type { Change, Replication, ReplicationOptions } from "./replication.ts";

test("changes that cannot be delivered are told as a gap, and the stream goes on", async () => {
  const late = Object.assign(new pg.DatabaseError("canceling statement", 0, "error"), { code: "57014" });
  const confirmed: bigint[] = [];
  const onGap = vi.fn();
  let stream: ReplicationOptions | undefined;
  const feed = new Feed({
    database: { feed: { query: async () => Promise.reject(late) } },
    replicate(options: ReplicationOptions) {
      stream = options;
      return { streaming: async () => true, confirm: (lsn) => confirmed.push(lsn) } as Partial<Replication>;
    },
    onGap,
    onLog() {},
  } as unknown as FeedOptions);
  assert.equal(await feed.listen(1), true);
  stream?.onChange({ relation: { schema: "public", table: "agent_logs" }, xid: 1 } as unknown as Change);
  stream?.onCommit(7n);
  await expect.poll(() => confirmed).toEqual([7n]);
  expect(onGap).toHaveBeenCalledOnce();
});
