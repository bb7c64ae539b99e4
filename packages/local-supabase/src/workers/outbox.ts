// Sends what waits in net.http_request_queue over one database connection.

import { setTimeout as delay } from "node:timers/promises";
import type pg from "pg";
import { codeOf } from "../errors.ts";
import { type Answer, type QueuedRequest, sendRequest } from "./request.ts";

// pg_net's own figures: so many at once, and a pause before the next when more wait.
const MOST = 200;
const PAUSE_MS = 1000;

export interface Outbox {
  /** Looks at the queue, now or when the look that is under way has ended. */
  wake(): void;
  /** Breaks off what is under way; it stays queued. */
  close(): Promise<void>;
}

/**
 * Sends queued requests, oldest first. A request stays in the queue until its answer is stored, in one statement with its
 * removal, so that a death in between sends it again. No transaction is open while a request is under way: a slow receiver
 * keeps neither the other requests nor vacuum waiting.
 * @param onFailure what went wrong with the database; requests that fail are answers
 */
export function openOutbox(client: pg.Client, onFailure: (error: unknown) => void): Outbox {
  const closing = new AbortController();
  const { signal } = closing;
  const sending = new Map<string, Promise<void>>();
  let answers: Answer[] = [];
  let storing: Promise<void> | undefined;
  let draining: Promise<void> | undefined;
  let again = false;

  const fail = (error: unknown): void => {
    // Undefined table or schema: the extension is not installed, so there is nothing to send.
    if (!signal.aborted && !["42P01", "3F000"].includes(codeOf(error) ?? "")) onFailure(error);
  };

  /** All answers that have come meanwhile, in one statement. */
  const storeAll = async (): Promise<void> => {
    while (answers.length > 0) {
      const batch = answers;
      answers = [];
      await storeAnswers(client, batch).catch(fail);
      for (const { id } of batch) sending.delete(id);
    }
  };

  const send = async (request: QueuedRequest): Promise<void> => {
    const answer = await sendRequest(request, signal);
    if (signal.aborted) return;
    answers.push(answer);
    storing ??= storeAll().finally(() => {
      storing = undefined;
      if (again) wake();
    });
    await storing;
  };

  const drain = async (): Promise<void> => {
    do {
      const free = MOST - sending.size;
      if (free === 0) return; // the next answer wakes
      again = false;
      const requests = await takeRequests(client, [...sending.keys()], free);
      for (const request of requests) sending.set(request.id, send(request));
      if (requests.length === free) {
        again = true;
        await delay(PAUSE_MS, undefined, { signal });
      }
    } while (again && !signal.aborted);
  };

  const wake = (): void => {
    again = true;
    if (signal.aborted) return;
    draining ??= drain()
      .catch(fail)
      .finally(() => {
        draining = undefined;
        if (again && sending.size < MOST) wake();
      });
  };

  return {
    wake,
    async close() {
      closing.abort();
      await Promise.all([draining, ...sending.values()]);
    },
  };
}

async function takeRequests(
  client: pg.Client,
  but: readonly string[],
  most: number,
): Promise<QueuedRequest[]> {
  const { rows } = await client.query<QueuedRequest>(
    `select id, method, url, headers, body, timeout_milliseconds from net.http_request_queue
     where id <> all ($1::bigint[]) order by id limit $2`,
    [but, most],
  );
  return rows;
}

async function storeAnswers(client: pg.Client, answers: readonly Answer[]): Promise<void> {
  await client.query(
    `with sent as (delete from net.http_request_queue where id = any ($2::bigint[]))
     insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg)
     select id, status_code, content_type, headers, content, timed_out, error_msg
     from jsonb_populate_recordset(null::net._http_response, $1)`,
    [JSON.stringify(answers), answers.map(({ id }) => id)],
  );
}
