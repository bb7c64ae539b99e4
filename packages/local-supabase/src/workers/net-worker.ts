// Keeps pg_net's queue moving: an outbox on a connection that listens.

import { reasonOf } from "../errors.ts";
import { type Outbox, openOutbox } from "./outbox.ts";
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

const RETENTION = "6 hours"; // as in pg_net
const CLEAN_EVERY_MS = 60 * 60 * 1000;

/**
 * Sends what net.http_get/post/delete queued. PostgreSQL delivers the queue's NOTIFY when a transaction commits, so a
 * request leaves after its transaction and only then; nothing is polled. A request that fails is not repeated; one whose
 * answer could not be stored is.
 */
export function startNetWorker(options: NetWorkerOptions): Worker {
  let outbox: Outbox | undefined;

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
    onConnect: (client) => {
      // What the lost connection had under way is still queued.
      void outbox?.close();
      outbox = openOutbox(client, (error) => options.onLog?.(`pg_net: ${reasonOf(error)}`));
      clean();
      outbox.wake();
    },
    onNotify: () => outbox?.wake(),
    onLog: options.onLog,
  });
  const cleaning = setInterval(clean, CLEAN_EVERY_MS);
  cleaning.unref();

  return {
    ready: session.ready,
    async stop() {
      clearInterval(cleaning);
      await outbox?.close();
      await session.stop();
    },
  };
}
