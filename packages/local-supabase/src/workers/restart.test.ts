import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { test } from "vitest";
import { startPostgres } from "../postgres/server.ts";
import { startCronWorker } from "./cron-worker.ts";
import { startNetWorker } from "./net-worker.ts";

test("the workers wait for their extensions and find a crashed and restarted database again", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "launchpad-workers-test-"));
  const visits: string[] = [];
  let visited = Promise.withResolvers<void>();
  const web = createServer((req, res) => {
    visits.push(req.url ?? "");
    res.end();
    visited.resolve();
  });
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;

  const down = Promise.withResolvers<void>();
  let server = await startPostgres({ dataDir, port: 0, onExit: () => down.resolve() });
  const run = async (sql: string, args: unknown[] = []) => {
    const client = new pg.Client({ connectionString: server.url("postgres") });
    await client.connect();
    try {
      return (await client.query(sql, args)).rows;
    } finally {
      await client.end();
    }
  };
  const workers = [
    startNetWorker({ url: server.superuserUrl }),
    startCronWorker({
      url: server.superuserUrl,
      connectionFor: (_role, database) => server.url("postgres", database),
    }),
  ];
  try {
    await Promise.all(workers.map((worker) => worker.ready));
    await run("create extension pg_net with schema extensions");
    await run("create extension pg_cron");
    await run("select net.http_get($1)", [`${url}/before`]);
    await visited.promise;
    await run("create table public.starts (at timestamptz not null default clock_timestamp())");
    await run("select cron.schedule('start', '@reboot', 'insert into public.starts default values')");

    process.kill(server.pid, "SIGKILL");
    await down.promise;
    server = await startPostgres({ dataDir, port: server.port });
    visited = Promise.withResolvers<void>();
    await run("select cron.schedule('visit', '1 second', format('select net.http_get(%L)', $1::text))", [
      `${url}/after`,
    ]);
    await visited.promise;
    assert.deepEqual(visits.slice(0, 2), ["/before", "/after"]);
    // The run that began with the start may still be under way.
    while (
      (await run("select from cron.job_run_details where command ~ 'starts' and end_time is not null"))
        .length === 0
    ) {
      await delay(20);
    }
    assert.equal((await run("select from public.starts")).length, 1, "@reboot runs once a start");
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await server.stop();
    web.closeAllConnections();
    web.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
});
