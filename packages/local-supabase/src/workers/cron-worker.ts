// Runs pg_cron's jobs.

import pg from "pg";
import { codeOf, reasonOf } from "../errors.ts";
import type { Worker } from "./net-worker.ts";
import { dueAfter, type Schedule } from "./schedule.ts";
import { keepSession } from "./session.ts";

export interface CronWorkerOptions {
  /** A connection URL of supabase_admin, for reading jobs and noting their runs. */
  url: string;
  /** The connection URL of a job's user and database; undefined for a role that cannot log in. */
  connectionFor: (role: string, database: string) => string | undefined;
  onLog?: (line: string) => void;
}

interface JobRow {
  jobid: string;
  schedule: string;
  /** Null where the row was written past cron.schedule, with a text that is no schedule. */
  plan: Schedule | null;
  command: string;
  database: string;
  username: string;
}

interface Job extends JobRow {
  plan: Schedule;
  due: number;
  running: boolean;
  /** It came due while it ran: runs once more as soon as it ends. */
  missed: boolean;
}

/** Supabase's advice for pg_cron; further jobs wait for their turn. */
const MAX_RUNNING = 8;
/** A timer may be at most 2^31 ms; waking hourly also corrects for a clock that was set or a machine that slept. */
const LONGEST_SLEEP_MS = 60 * 60 * 1000;

/**
 * Runs the jobs of cron.job as their users, at most one run of a job at a time, and notes each run in
 * cron.job_run_details. Hears of changed jobs through NOTIFY; between runs there is one timer and no query.
 */
export function startCronWorker(options: CronWorkerOptions): Worker {
  const jobs = new Map<string, Job>();
  const waiting: Job[] = [];
  const runs = new Map<Promise<void>, pg.Client>();
  let timer: NodeJS.Timeout | undefined;
  let reloading: Promise<void> | undefined;
  let reloadAgain = false;
  let loaded = false;
  let stopped = false;
  // The worker's own connection has one query at a time: pg deprecates a second before the first is answered.
  let lastQuery: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(query: () => Promise<T>): Promise<T> => {
    const result = lastQuery.then(query);
    lastQuery = result.catch(() => undefined);
    return result;
  };

  const sleep = (): void => {
    clearTimeout(timer);
    if (stopped) return;
    const next = Math.min(...[...jobs.values()].map((job) => job.due));
    if (next === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(tick, Math.min(Math.max(next - Date.now(), 0), LONGEST_SLEEP_MS));
  };

  const tick = (): void => {
    const now = Date.now();
    for (const job of jobs.values()) {
      if (job.due > now) continue;
      job.due = dueAfter(job.plan, now);
      if (job.running || waiting.includes(job)) job.missed = job.running;
      else waiting.push(job);
    }
    startWaiting();
    sleep();
  };

  const startWaiting = (): void => {
    while (!stopped && waiting.length > 0 && runs.size < MAX_RUNNING) {
      const job = waiting.shift();
      if (!job) return;
      job.running = true;
      job.missed = false;
      const client = jobClient(job, options);
      const own = session.client();
      const books: Books | undefined = own && ((text, values) => inTurn(() => own.query(text, values)));
      const run = runJob(books, job, client)
        .catch((error: unknown) => options.onLog?.(`pg_cron: job ${job.jobid}: ${reasonOf(error)}`))
        .finally(() => {
          job.running = false;
          runs.delete(run);
          if (job.missed && jobs.get(job.jobid) === job) waiting.push(job);
          startWaiting();
        });
      runs.set(run, client ?? new pg.Client());
    }
  };

  const reload = async (client: pg.Client): Promise<void> => {
    const rows = await inTurn(() => readJobs(client));
    const now = Date.now();
    const known = new Set(rows.map((row) => row.jobid));
    for (const id of jobs.keys()) if (!known.has(id)) jobs.delete(id);
    for (const row of rows) {
      const before = jobs.get(row.jobid);
      const { plan } = row;
      // What is to run when the database starts runs with the first reading of the jobs.
      const starts = plan !== null && "reboot" in plan && !loaded;
      if (before && before.schedule === row.schedule && !starts) {
        Object.assign(before, row); // keeps when it is due
        continue;
      }
      if (plan === null) {
        jobs.delete(row.jobid);
        options.onLog?.(`pg_cron: job ${row.jobid} has no valid schedule: ${row.schedule}`);
        continue;
      }
      const due = starts ? now : dueAfter(plan, now);
      if (before) Object.assign(before, row, { plan, due });
      else jobs.set(row.jobid, { ...row, plan, due, running: false, missed: false });
    }
    loaded = true;
    sleep();
  };

  const changed = (): void => {
    const client = session.client();
    if (!client || stopped) return;
    if (reloading) {
      reloadAgain = true;
      return;
    }
    reloading = reload(client)
      .catch((error: unknown) => options.onLog?.(`pg_cron: ${reasonOf(error)}`))
      .finally(() => {
        reloading = undefined;
        if (reloadAgain) {
          reloadAgain = false;
          changed();
        }
      });
  };

  const session = keepSession({
    url: options.url,
    name: "pg_cron",
    channels: ["pg_cron"],
    onConnect: (client) => {
      client
        .query(
          "update cron.job_run_details set status = 'failed', return_message = 'server restarted', end_time = now() where status = 'running'",
        )
        .catch(() => undefined); // the extension is not there yet
      loaded = false;
      changed();
    },
    onNotify: changed,
    onLog: options.onLog,
  });

  return {
    ready: session.ready,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      waiting.length = 0;
      await reloading;
      // A backend notices a closed connection only after its statement; tell it.
      const pids = [...runs.values()].flatMap((client) => processId(client) ?? []);
      if (pids.length > 0)
        await session
          .client()
          ?.query("select pg_terminate_backend(p) from unnest($1::int[]) p", [pids])
          .catch(() => undefined);
      await Promise.all(runs.keys());
      await session.stop();
    },
  };
}

async function readJobs(client: pg.Client): Promise<JobRow[]> {
  try {
    const { rows } = await client.query<JobRow>(
      "select jobid, schedule, cron._parse_schedule(schedule) as plan, command, database, username from cron.job where active",
    );
    return rows;
  } catch (error) {
    if (["42P01", "3F000"].includes(codeOf(error) ?? "")) return []; // the extension is not installed
    throw error;
  }
}

function jobClient(job: Job, options: CronWorkerOptions): pg.Client | undefined {
  const url = options.connectionFor(job.username, job.database);
  if (url === undefined) return undefined;
  const client = new pg.Client({ connectionString: url, application_name: "pg_cron" });
  client.on("error", () => undefined); // the running query rejects
  return client;
}

function processId(client: pg.Client): number | undefined {
  return "processID" in client && typeof client.processID === "number" ? client.processID : undefined;
}

/** What job_run_details says of a result: rows for a query, else the command's own words. */
function returnMessage(result: pg.QueryResult | pg.QueryResult[]): string {
  const last = Array.isArray(result) ? result.at(-1) : result;
  if (!last?.command) return "";
  if (last.fields.length > 0) return last.rows.length === 1 ? "1 row" : `${last.rows.length} rows`;
  if (last.rowCount === null) return last.command;
  return last.command === "INSERT" ? `INSERT 0 ${last.rowCount}` : `${last.command} ${last.rowCount}`;
}

/** A query on the worker's own connection. */
type Books = (text: string, values: unknown[]) => Promise<pg.QueryResult>;

/** One run of a job, noted from its start to its end. */
async function runJob(books: Books | undefined, job: Job, client: pg.Client | undefined): Promise<void> {
  if (!books) return; // the database is down; the next due run comes
  const begin = async (status: string, message: string | null) => {
    const { rows } = await books(
      `insert into cron.job_run_details (jobid, job_pid, database, username, command, status, return_message, start_time, end_time)
       values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), case when $6 = 'failed' then clock_timestamp() end) returning runid`,
      [
        job.jobid,
        client ? processId(client) : null,
        job.database,
        job.username,
        job.command,
        status,
        message,
      ],
    );
    return rows[0]?.runid;
  };
  try {
    if (!client) throw new Error(`role "${job.username}" has no password here`);
    await client.connect();
  } catch (error) {
    await begin("failed", `connection failed: ${reasonOf(error)}`);
    return;
  }
  const runid = await begin("running", null);
  let status = "succeeded";
  let message: string;
  try {
    message = returnMessage(await client.query(job.command));
  } catch (error) {
    status = "failed";
    message = `ERROR: ${reasonOf(error)}`;
  } finally {
    await client.end().catch(() => undefined);
  }
  await books(
    "update cron.job_run_details set status = $2, return_message = $3, end_time = clock_timestamp() where runid = $1",
    [runid, status, message],
  );
}
