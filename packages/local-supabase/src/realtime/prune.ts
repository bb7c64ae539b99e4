// Deletes old stored broadcasts.

import type pg from "pg";

const BATCH = 5000;

/**
 * Deletes stored broadcasts after three days, as long as hosted keeps them (realtime/messages.ex drops partitions older
 * than 72 hours). In batches, so that none of them locks or logs much.
 */
export async function pruneMessages(pool: pg.Pool): Promise<void> {
  for (;;) {
    const { rowCount } = await pool.query(
      `delete from realtime.messages m where (m.id, m.inserted_at) in (
         select o.id, o.inserted_at from realtime.messages o where o.inserted_at < (now() at time zone 'utc') - interval '72 hours' limit ${BATCH})`,
    );
    if ((rowCount ?? 0) < BATCH) return;
  }
}
