// Keeps one database connection that listens for notifications.

import pg from "pg";
import { reasonOf } from "../errors.ts";

export interface SessionOptions {
  url: string;
  /** Shown in pg_stat_activity. */
  name: string;
  channels: string[];
  /** Runs after every (re)connect, when the channels are heard: look at everything, notifications were missed before. */
  onConnect: (client: pg.Client) => void;
  onNotify: (channel: string) => void;
  onLog?: ((line: string) => void) | undefined;
}

export interface Session {
  /** The connection, or undefined when absent. */
  client(): pg.Client | undefined;
  /** Resolves at the first connect. */
  ready: Promise<void>;
  stop(): Promise<void>;
}

/** Keeps one listening connection; a database that restarts is found again, after 0.1 s at first and 3 s at most. */
export function keepSession(options: SessionOptions): Session {
  let current: pg.Client | undefined;
  let stopped = false;
  let failures = 0;
  let retry: NodeJS.Timeout | undefined;
  const ready = Promise.withResolvers<void>();

  const connect = async (): Promise<void> => {
    const client = new pg.Client({
      connectionString: options.url,
      application_name: options.name,
      keepAlive: true,
    });
    let lost = false;
    const lose = () => {
      if (lost) return;
      lost = true;
      if (current === client) current = undefined;
      client.end().catch(() => undefined);
      if (stopped) return;
      retry = setTimeout(() => void connect(), Math.min(100 * 2 ** failures++, 3000));
    };
    client.on("error", lose);
    client.on("end", lose);
    client.on("notification", (message) => options.onNotify(message.channel));
    try {
      await client.connect();
      for (const channel of options.channels) await client.query(`listen ${pg.escapeIdentifier(channel)}`);
    } catch (error) {
      options.onLog?.(`${options.name}: ${reasonOf(error)}`);
      lose();
      return;
    }
    if (stopped) return lose();
    failures = 0;
    current = client;
    ready.resolve();
    options.onConnect(client);
  };
  void connect();

  return {
    client: () => current,
    ready: ready.promise,
    async stop() {
      stopped = true;
      clearTimeout(retry);
      ready.resolve();
      await current?.end().catch(() => undefined);
    },
  };
}
