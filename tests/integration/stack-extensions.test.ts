// pg_net, pg_cron and Vault as the embedded stack offers them: SQL, grants, and the workers that drive them.
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { startCronWorker } from "../../packages/local-supabase/src/workers/cron-worker.ts";
import { startNetWorker, type Worker } from "../../packages/local-supabase/src/workers/net-worker.ts";
import { useTestDatabase } from "../helpers/database.ts";

const db = useTestDatabase();

const value = async <T>(sql: string, args: unknown[] = []): Promise<T> =>
  (await db().pool.query<{ v: T }>(sql, args)).rows[0]?.v as T;

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${(error as { code: string }).code} ${(error as Error).message}`;
  }
  return assert.fail("expected an error");
}

/** Looks again each time something was written, until the answer is there. */
async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 3000; attempt++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return assert.fail("it did not happen");
}

describe("pg_net", () => {
  const arrived: { url: string; method: string; headers: IncomingMessage["headers"]; body: string }[] = [];
  let waiting: (() => void)[] = [];
  /** Answers of slow receivers, until the test gives them. */
  const held: (() => void)[] = [];
  const server = createServer((req, res) => {
    let body = "";
    req.on("data", (chunk) => {
      body += chunk;
    });
    req.on("end", () => {
      arrived.push({ url: req.url ?? "", method: req.method ?? "", headers: req.headers, body });
      const answer = () => res.writeHead(202, { "content-type": "text/plain" }).end("ok");
      if (req.url?.startsWith("/slow")) held.push(answer);
      else answer();
      for (const wake of waiting) wake();
      waiting = [];
    });
  });
  const arrivals = async (n: number) => {
    while (arrived.length < n) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  let url = "";
  let worker: Worker;

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    worker = startNetWorker({ url: db().url("supabase_admin") });
    await worker.ready;
  });
  afterAll(async () => {
    await worker.stop();
    server.closeAllConnections();
    server.close();
  });

  test("a request leaves after COMMIT, not before, and not after ROLLBACK", async () => {
    const client = await db().pool.connect();
    try {
      await client.query("begin");
      await client.query('select net.http_post($1, \'{"n": 1}\', headers := \'{"X-Lost": "1"}\')', [
        `${url}/rolled-back`,
      ]);
      await client.query("rollback");
      await client.query("begin");
      const { rows } = await client.query(
        'select net.http_post($1, \'{"n": 2}\', params := \'{"q": "a b&c"}\') as id',
        [`${url}/kept`],
      );
      // Another transaction's request goes out meanwhile, so the worker was awake and did not take ours.
      await db().pool.query("select net.http_get($1)", [`${url}/other`]);
      await arrivals(1);
      assert.deepEqual(
        arrived.map((a) => a.url),
        ["/other"],
      );
      await client.query("commit");
      await arrivals(2);
      const kept = arrived[1];
      assert.deepEqual([kept?.url, kept?.method, kept?.body], ["/kept?q=a%20b%26c", "POST", '{"n": 2}']);
      assert.equal(kept?.headers["content-type"], "application/json");
      const answer = await eventually(
        async () =>
          (await db().pool.query("select * from net._http_response where id = $1", [rows[0]?.id])).rows[0],
      );
      assert.deepEqual(
        [answer.status_code, answer.content, answer.timed_out, answer.error_msg],
        [202, "ok", false, null],
      );
      assert.equal(await value("select count(*)::int as v from net.http_request_queue"), 0);
    } finally {
      client.release();
    }
  });

  test("http_post takes JSON only; http_delete and every role may queue", async () => {
    assert.match(
      await refusal(
        db().pool.query("select net.http_post('http://x', headers := '{\"content-type\": \"text/plain\"}')"),
      ),
      /Content-Type header must be "application\/json"/,
    );
    const before = arrived.length;
    await db().asAnon((client) => client.query("select net.http_delete($1)", [`${url}/by-anon`]));
    await arrivals(before + 1);
    assert.equal(arrived[before]?.method, "DELETE");
  });

  test("a failed request is noted once and not repeated", async () => {
    const id = await value<string>(
      "select net.http_get('http://127.0.0.1:1/', timeout_milliseconds := 500) as v",
    );
    const answer = await eventually(
      async () => (await db().pool.query("select * from net._http_response where id = $1", [id])).rows[0],
    );
    assert.equal(answer.status_code, null);
    assert.ok(answer.error_msg);
  });

  const answerTo = (id: string) =>
    eventually(
      async () => (await db().pool.query("select * from net._http_response where id = $1", [id])).rows[0],
    );

  test("a slow receiver keeps no transaction open and holds up no other request", async () => {
    const before = arrived.length;
    const slow = await value<string>("select net.http_get($1) as v", [`${url}/slow`]);
    await arrivals(before + 1);
    const fast = await value<string>("select net.http_get($1) as v", [`${url}/fast`]);
    assert.equal((await answerTo(fast)).status_code, 202);
    // It is idle, not waiting within a transaction; its last commit may be seen a moment before it says so.
    await eventually(async () => {
      const { rows } = await db().superuser.query(
        `select from pg_stat_activity
         where datname = current_database() and application_name = 'pg_net' and state <> 'idle'`,
      );
      return rows.length === 0 ? true : undefined;
    });
    assert.equal(await value("select (net._http_collect_response($1)).status::text as v", [slow]), "PENDING");
    for (const answer of held.splice(0)) answer();
    assert.equal((await answerTo(slow)).status_code, 202);
    assert.equal(await value("select count(*)::int as v from net.http_request_queue"), 0);
  });

  test("a request that was under way when the worker stopped is sent again, and answered once", async () => {
    const before = arrived.length;
    const id = await value<string>("select net.http_get($1) as v", [`${url}/slow/again`]);
    await arrivals(before + 1);
    await worker.stop();
    worker = startNetWorker({ url: db().url("supabase_admin") });
    await arrivals(before + 2);
    for (const answer of held.splice(0)) answer();
    assert.equal((await answerTo(id)).status_code, 202);
    assert.equal(await value("select count(*)::int as v from net._http_response where id = $1", [id]), 1);
  });

  test("more requests than are sent at once all arrive, each once", async () => {
    const before = arrived.length;
    await db().pool.query("select net.http_get($1 || '/many/' || n) from generate_series(1, 450) n", [url]);
    await arrivals(before + 450);
    const seen = arrived.slice(before).map((a) => a.url);
    assert.equal(new Set(seen).size, 450);
    assert.equal(seen.length, 450);
  });

  test("what was queued while no worker ran is sent when one starts", async () => {
    await worker.stop();
    const before = arrived.length;
    await db().pool.query("select net.http_get($1 || '/' || n) from generate_series(1, 5) n", [url]);
    worker = startNetWorker({ url: db().url("supabase_admin") });
    await arrivals(before + 5);
  });
});

describe("pg_cron", () => {
  let worker: Worker;
  beforeAll(async () => {
    worker = startCronWorker({
      url: db().url("supabase_admin"),
      connectionFor: (role) =>
        role === "postgres" || role === "supabase_admin" ? db().url(role) : undefined,
    });
    await worker.ready;
  });
  afterAll(() => worker.stop());

  const runs = (id: string, n: number) =>
    eventually(async () => {
      const { rows } = await db().pool.query(
        "select * from cron.job_run_details where jobid = $1 and end_time is not null order by runid",
        [id],
      );
      return rows.length >= n ? rows : undefined;
    });

  test("refuses what is no schedule, before it is stored", async () => {
    for (const bad of [
      "61 * * * *",
      "* * * *",
      "60 seconds",
      "0 seconds",
      "every day",
      "* * * foo *",
      "5/15 * * * *",
      "*/0 * * * *",
      "1, * * * *",
      "1- * * * *",
      "0 0 $",
      "0 24 * * *",
      "0 0 * * 8",
      "0 0 0 * *",
      "*/5/ * * * fo",
      "0 0 * *\n*",
      "# nothing",
      "@never",
      "@Daily",
      "60seconds",
      "30 seconds please",
      `* * * * * ${"x".repeat(1000)}`,
    ]) {
      assert.match(
        await refusal(db().pool.query("select cron.schedule('bad', $1, 'select 1')", [bad])),
        /^22023 invalid schedule: /,
        bad,
      );
    }
    for (const good of [
      "5 4 * * *",
      "*/10 0-6,22 1,15 jan-mar mon",
      "0 0 $ * *",
      "59 seconds",
      "1 second",
      "30seconds",
      "@daily",
      "5-1 * * * *",
      "*/90 * * * *",
      "0 3 * * * # at night",
    ]) {
      await db().pool.query("select cron.schedule('good', $1, 'select 1')", [good]);
    }
    assert.equal(
      await value("select count(*)::int as v from cron.job where jobname = 'good'"),
      1,
      "a name is scheduled again, not twice",
    );
    assert.equal(await value("select cron.unschedule('good') as v"), true);
    assert.match(
      await refusal(db().pool.query("select cron.unschedule('good')")),
      /could not find valid entry for job 'good'/,
    );
  });

  // Read off the parser of pg_cron 1.6.7 (src/entry.c, src/job_metadata.c), which is Vixie cron's.
  test("reads schedules as pg_cron does", async () => {
    const parsed = (schedule: string) =>
      value<Record<string, unknown> | null>("select cron._parse_schedule($1) as v", [schedule]);
    const part = async (schedule: string, name: string) => (await parsed(schedule))?.[name];
    assert.deepEqual(await parsed("1 2 3 4 5"), {
      minute: [1],
      hour: [2],
      dom: [3],
      month: [4],
      dow: [5],
      both: false,
      lastDay: false,
    });
    assert.deepEqual(await part("*/20 * * * *", "minute"), [0, 20, 40]);
    assert.deepEqual(await part("*/90 * * * *", "minute"), [0], "a step beyond the range leaves its start");
    assert.deepEqual(await part("1-9/4,50 * * * *", "minute"), [1, 5, 9, 50]);
    assert.deepEqual(await part("0 0 * JAN-mar,12 *", "month"), [1, 2, 3, 12]);
    assert.deepEqual(await part("0 0 * * fri-SUN", "dow"), [], "SUN is 0: reversed, within one byte");
    assert.deepEqual(
      await part("0 22-6 * * *", "hour"),
      [0, 1, 2, 3, 4, 5, 6, 22, 23],
      "reversed, in two bytes",
    );
    assert.deepEqual(await part("0 22-6/2 * * *", "hour"), [], "reversed, with a step");
    assert.equal(await part("0 0 */2 * 1", "both"), true, "a field that begins with * makes both count");
    assert.equal(await part("0 0 1,*/2 * 1", "both"), false);
    assert.equal(await part("0 0 1 * *", "both"), true);
    assert.deepEqual(
      { ...(await parsed("0 0 $ * 1")), month: undefined },
      { minute: [0], hour: [0], dom: [], dow: [1], both: false, lastDay: true, month: undefined },
    );
    assert.deepEqual(await parsed(" 5\tSeconds"), { seconds: 5 });
    assert.deepEqual(await parsed("@reboot"), { reboot: true });
    assert.deepEqual(await parsed("# nightly\n 0 3 * * *  # really"), await parsed("0 3 * * * *"));
    assert.deepEqual(await parsed("@weekly"), await parsed("0 0 * * 0"));
    assert.deepEqual(await part("@yearly", "month"), [], "it never runs: warned of when it is scheduled");
  });

  test("runs a job every second as its user, and notes success and failure", async () => {
    await db().pool.query("create table public.ticks (who text default current_user)");
    const id = await value<string>(
      "select cron.schedule('tick', '1 second', 'insert into public.ticks default values') as v",
    );
    const failing = await value<string>("select cron.schedule('fail', '1 second', 'select 1/0') as v");
    const [first, second] = await runs(id, 2);
    assert.deepEqual(
      [first.status, first.return_message, first.username],
      ["succeeded", "INSERT 0 1", "postgres"],
    );
    assert.ok(second.start_time - first.start_time > 800);
    assert.equal(await value("select who as v from public.ticks limit 1"), "postgres");
    const [failed] = await runs(failing, 1);
    assert.deepEqual([failed.status, failed.return_message], ["failed", "ERROR: division by zero"]);
    await db().pool.query("select cron.unschedule(jobid) from cron.job where jobname in ('tick', 'fail')");
  });

  test("one run of a job at a time", async () => {
    await db().pool.query("create table public.spans (started timestamptz, ended timestamptz)");
    const id = await value<string>(
      `select cron.schedule('slow', '1 second', $$
        with s as (select clock_timestamp() as started), w as (select pg_sleep(1.3))
        insert into public.spans select s.started, clock_timestamp() from s, w $$) as v`,
    );
    await runs(id, 2);
    await db().pool.query("select cron.unschedule('slow')");
    assert.equal(
      await value(
        `select count(*)::int as v from cron.job_run_details a join cron.job_run_details b
         on a.jobid = b.jobid and a.runid < b.runid and b.start_time < a.end_time where a.jobid = $1`,
        [id],
      ),
      0,
    );
  });

  test("postgres schedules for itself alone, and cannot write the tables", async () => {
    const pool = db().pool;
    assert.match(
      await refusal(
        pool.query(
          "select cron.schedule_in_database('x', '1 second', 'select 1', 'postgres', 'supabase_admin')",
        ),
      ),
      /^42501/,
    );
    assert.match(
      await refusal(
        pool.query(
          "insert into cron._change (caller, action, schedule, command) values ('supabase_admin', 'schedule', '1 second', 'select 1')",
        ),
      ),
      /^42501/,
    );
    assert.match(
      await refusal(
        pool.query(
          "insert into cron.job (schedule, command, username) values ('1 second', 'select 1', 'supabase_admin')",
        ),
      ),
      /^42501/,
    );
    assert.match(await refusal(pool.query("update cron.job set username = 'supabase_admin'")), /^42501/);
    const theirs = (await db().superuser.query("select cron.schedule('theirs', '@yearly', 'select 1') as id"))
      .rows[0]?.id;
    assert.match(
      await refusal(pool.query("select cron.alter_job($1, command := 'select 2')", [theirs])),
      /^42501/,
    );
    assert.match(await refusal(pool.query("select cron.unschedule($1::bigint)", [theirs])), /^42501/);
  });

  test("an inactive job does not run; a changed one does", async () => {
    const id = await value<string>(
      "select cron.schedule_in_database('off', '1 second', 'select 1', current_database(), active := false) as v",
    );
    await db().pool.query("select cron.alter_job($1, command := 'select 1 union select 2', active := true)", [
      id,
    ]);
    const [run] = await runs(id, 1);
    assert.deepEqual([run.command, run.return_message], ["select 1 union select 2", "2 rows"]);
    await db().pool.query("select cron.unschedule($1::bigint)", [id]);
  });
});

describe("Vault", () => {
  const read = (id: string, pool: pg.Pool = db().pool) =>
    pool
      .query("select name, description, decrypted_secret from vault.decrypted_secrets where id = $1", [id])
      .then((r) => r.rows[0]);

  test("postgres stores, reads, renames and deletes a secret", async () => {
    const id = await value<string>("select vault.create_secret('s3cret ✓', 'one', 'for tests') as v");
    assert.deepEqual(await read(id), { name: "one", description: "for tests", decrypted_secret: "s3cret ✓" });
    await db().pool.query("select vault.update_secret($1, 'other')", [id]);
    assert.deepEqual(await read(id), { name: "one", description: "for tests", decrypted_secret: "other" });
    await db().pool.query("select vault.update_secret($1, new_name := 'two')", [id]);
    assert.equal((await read(id)).name, "two");
    assert.match(await refusal(db().pool.query("select vault.create_secret('x', 'two')")), /^23505/);
    assert.match(
      await refusal(db().pool.query("select vault.create_secret('x', 'three', null)")),
      /^23502/,
      "a null description fails, as on hosted",
    );
    await db().pool.query("delete from vault.secrets where id = $1", [id]);
    assert.equal(await read(id), undefined);
    assert.match(
      await refusal(db().pool.query("insert into vault.secrets (secret) values ('plain')")),
      /^42501/,
    );
    assert.match(await refusal(db().pool.query("update vault.secrets set name = 'x'")), /^42501/);
  });

  test("the stored text is encrypted, differs each time, and is bound to its row", async () => {
    const [a, b] = [
      await value<string>("select vault.create_secret('same') as v"),
      await value<string>("select vault.create_secret('same') as v"),
    ];
    const stored = (
      await db().pool.query("select id, secret, nonce from vault.secrets where id = any($1)", [[a, b]])
    ).rows;
    assert.notEqual(stored[0].secret, stored[1].secret);
    for (const row of stored)
      assert.ok(!Buffer.from(row.secret, "base64").toString("latin1").includes("same"));
    // A row that carries another row's ciphertext does not open.
    await db().superuser.query(
      "update vault.secrets s set secret = o.secret, nonce = o.nonce from vault.secrets o where s.id = $1 and o.id = $2",
      [a, b],
    );
    assert.match(await refusal(read(a)), /cannot be decrypted/);
    assert.equal((await read(b)).decrypted_secret, "same");
  });

  test("nobody but postgres gets near it, and nobody at all reads the key", async () => {
    for (const role of ["anon", "authenticated", "service_role"] as const) {
      for (const sql of [
        "select * from vault.decrypted_secrets",
        "select vault.create_secret('x')",
        "select vault._key('encrypt')",
      ]) {
        assert.match(
          await refusal(db().as({ role }, (client) => client.query(sql))),
          /^42501/,
          `${role}: ${sql}`,
        );
      }
    }
    for (const sql of [
      "select vault._key('encrypt')",
      "select pg_read_binary_file('../vault.key')",
      "select vault._crypto_aead_det_encrypt('x', 'x', 0, 'x', 'x')",
    ]) {
      assert.match(await refusal(db().pool.query(sql)), /^42501/, sql);
    }
  });
});
