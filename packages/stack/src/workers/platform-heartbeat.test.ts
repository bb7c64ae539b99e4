import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "@agent-launchpad/local-supabase/postgres/server.ts";
import pg from "pg";
import { test } from "vitest";
import { startHeartbeat } from "./platform-heartbeat.ts";

const TABLE = `
  create schema private;
  create table private.platform_parts (
    part text primary key, status text not null, report jsonb not null, beat_at timestamptz not null);
  create function private.tell() returns trigger language plpgsql as
    $$ begin perform pg_notify('beats', new.status); return null; end $$;
  create trigger tell after insert or update on private.platform_parts
    for each row when (new.part = 'realtime') execute function private.tell();
  listen beats`;

test("a part that comes up after a beat is told as working long before the next one is due", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "launchpad-pulse-test-"));
  const server = await startPostgres({ dataDir, port: 0 });
  const client = new pg.Client({ connectionString: server.superuserUrl });
  await client.connect();
  await client.query(TABLE);
  const told: (string | undefined)[] = [];
  const twice = Promise.withResolvers<void>();
  client.on("notification", ({ payload }) => {
    if (told.push(payload) === 2) twice.resolve();
  });
  const late = setTimeout(() => twice.reject(new Error("no second beat")), 10_000);
  let asked = 0;
  const works = async () => ({ ok: true });
  const pulse = startHeartbeat({
    url: server.superuserUrl,
    beatMs: 600_000,
    probes: {
      auth: works,
      storage: works,
      edge_functions: works,
      realtime: async () => ({ ok: ++asked > 1 }),
    },
  });
  try {
    await twice.promise;
    assert.deepEqual(told, ["UNAVAILABLE", "HEALTHY"]);
  } finally {
    clearTimeout(late);
    await pulse.stop();
    await client.end();
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
});
