// Sends pg_net's queued requests.

import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { codeOf, reasonOf } from "../errors.ts";
import { type Answer, type QueuedRequest, sendRequest } from "./request.ts";
import { keepSession } from "./session.ts";

export interface Worker {
  /** Resolves when the worker listens for the first time. */
  ready: Promise<void>;
  stop(): Promise<void>;
}

export interface NetWorkerOptions {
  /** A connection URL of supabase_admin. */
  url: string;
  onLog?: (line: string) => void;
}

// pg_net's own figures.
const BATCH = 200;
const PAUSE_MS = 1000;
const RETENTION = "6 hours";

const CLEAN_EVERY_MS = 60 * 60 * 1000;

/**
 * Sends what net.http_get/post/delete queued. PostgreSQL delivers the queue's NOTIFY when a transaction commits, so a
 * request leaves after its transaction and only then; nothing is polled.
 *
 * As in pg_net: a batch of at most 200 by id, a pause of 1 s before the next when more wait, no retries. The batch, its
 * requests and their responses are one transaction: when that fails, its rows are back in the queue and are sent again.
 */
export function startNetWorker(options: NetWorkerOptions): Worker {
  const stopping = new AbortController();
  let draining: Promise<void> | undefined;
  let again = false;

  const drain = async (client: pg.Client): Promise<void> => {
    do {
      again = false;
      while (!stopping.signal.aborted && (await sendBatch(client, stopping.signal)) === BATCH) {
        await delay(PAUSE_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    } while (again && !stopping.signal.aborted);
  };

  const wake = (): void => {
    const client = session.client();
    if (draining || !client || stopping.signal.aborted) {
      again = true;
      return;
    }
    draining = drain(client)
      .catch((error: unknown) => options.onLog?.(`pg_net: ${reasonOf(error)}`))
      .finally(() => {
        draining = undefined;
      });
  };

  const clean = (): void => {
    session
      .client()
      ?.query(`delete from net._http_response where created < now() - interval '${RETENTION}'`)
      .catch(() => undefined); // the extension is not there yet
  };

  const session = keepSession({
    url: options.url,
    name: "pg_net",
    channels: ["pg_net"],
    onConnect: () => {
      clean();
      wake();
    },
    onNotify: wake,
    onLog: options.onLog,
  });
  const cleaning = setInterval(clean, CLEAN_EVERY_MS);
  cleaning.unref();

  return {
    ready: session.ready,
    async stop() {
      clearInterval(cleaning);
      stopping.abort();
      await draining;
      await session.stop();
    },
  };
}

/** @returns how many requests were sent. */
async function sendBatch(client: pg.Client, stop: AbortSignal): Promise<number> {
  await client.query("begin");
  try {
    const { rows } = await client.query<QueuedRequest>(
      `delete from net.http_request_queue
       where ctid = any(array(select ctid from net.http_request_queue order by id limit ${BATCH} for update skip locked))
       returning id, method, url, headers, body, timeout_milliseconds`,
    );
    if (rows.length > 0) {
      const answers = await Promise.all(rows.map((request) => sendRequest(request, stop)));
      if (stop.aborted) throw new Error("stopped"); // the batch stays queued for the next start
      await storeAnswers(client, answers);
    }
    await client.query("commit");
    return rows.length;
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    // Undefined table or schema: the extension is not installed, so there is nothing to send.
    if (["42P01", "3F000"].includes(codeOf(error) ?? "") || stop.aborted) return 0;
    throw error;
  }
}

async function storeAnswers(client: pg.Client, answers: Answer[]): Promise<void> {
  await client.query(
    `insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg)
     select id, status_code, content_type, headers, content, timed_out, error_msg
     from jsonb_populate_recordset(null::net._http_response, $1)`,
    [JSON.stringify(answers)],
  );
}
