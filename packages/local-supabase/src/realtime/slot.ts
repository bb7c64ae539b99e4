// Creates and drops the replication slot.

import pg from "pg";

/**
 * Makes sure that the slot is there and usable. Takes a connection URL of the replication role; `fresh` when this process
 * has received nothing yet: what an earlier one left is dropped, nobody waits for its changes.
 * Returns "lost" when changes are missing: the server had given the slot up, or it is gone.
 */
export async function ensureSlot(
  url: string,
  name: string,
  fresh: boolean,
): Promise<"ready" | "made" | "lost"> {
  return await withClient(url, async (client) => {
    const { rows } = await client.query<{ active_pid: number | null; wal_status: string | null }>(
      "select active_pid, wal_status from pg_replication_slots where slot_name = $1",
      [name],
    );
    const slot = rows[0];
    if (slot && !fresh && slot.wal_status !== "lost") {
      // Our own former connection: the server may not have noticed its end.
      if (slot.active_pid !== null)
        await client.query("select pg_terminate_backend($1, 2000)", [slot.active_pid]);
      return "ready";
    }
    if (slot) await drop(client, name, slot.active_pid);
    await client.query("select pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
    return fresh ? "made" : "lost";
  });
}

/** Drops the slot where it is there, so that the server keeps no log for nobody. */
export async function dropSlot(url: string, name: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query<{ active_pid: number | null }>(
      "select active_pid from pg_replication_slots where slot_name = $1",
      [name],
    );
    if (rows[0]) await drop(client, name, rows[0].active_pid);
  });
}

async function drop(client: pg.Client, name: string, activePid: number | null): Promise<void> {
  if (activePid !== null) await client.query("select pg_terminate_backend($1, 2000)", [activePid]);
  await client.query(
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1",
    [name],
  );
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: "realtime",
    connectionTimeoutMillis: 5000,
  });
  client.on("error", () => undefined); // the query under way reports it
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
