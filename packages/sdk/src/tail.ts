/** Log lines as they come, for `for await`. */
import type { Agents } from "./agents.ts";
import type { AgentLogsQuery, LogEntry } from "./contract.ts";
import type { AgentLaunchpadError } from "./errors.ts";
import type { AgentLog } from "./rows.ts";
import { deferred } from "./wait.ts";
import type { AgentUpdate, ConnectionState, Watching } from "./watching.ts";

export interface TailOptions extends AgentLogsQuery {
  signal?: AbortSignal | undefined;
  onConnection?: ((state: ConnectionState) => void) | undefined;
}

/** See `Agents.tailLogs`. */
export async function* tailLogs(
  agents: Agents,
  watching: Watching,
  agentId: string,
  { signal, onConnection, ...query }: TailOptions,
): AsyncGenerator<LogEntry, void, undefined> {
  if (signal?.aborted) return;
  const lines = new Inbox<LogEntry>();
  const begun = deferred<void>();
  const level = query.level?.toUpperCase();
  const text = query.text?.toLowerCase();
  const take = (update: AgentUpdate) => {
    if (update.type === "error" && update.final) {
      begun.reject(update.error);
      lines.fail(update.error);
    } else if (update.type === "error" && update.error.code === "INVALID_JWT_TOKEN") {
      begun.reject(update.error);
      lines.fail(update.error);
    } else if (update.type === "log") {
      if (level !== undefined && update.log.level !== level) return;
      if (text !== undefined && !update.log.message.toLowerCase().includes(text)) return;
      lines.push(entryOf(update.log));
    }
  };
  const unsubscribe = watching.agent(agentId, take, {
    include: ["log"],
    onConnection: (state) => {
      onConnection?.(state);
      if (state === "closed") lines.end();
    },
    onBegun: () => begun.resolve(),
  });
  const abort = () => {
    begun.resolve();
    lines.end();
  };
  signal?.addEventListener("abort", abort, { once: true });
  try {
    // First know where the subscription begins, then read what was: a line between the two comes twice, not never.
    await begun.promise;
    if (signal?.aborted) return;
    const { logs } = await agents.getLogs(agentId, query, { signal });
    const shown = new Set(logs.map(({ id }) => id));
    yield* logs;
    for await (const line of lines) {
      if (!shown.delete(line.id)) yield line;
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    unsubscribe();
  }
}

/** A row as `getLogs` tells it. */
const entryOf = ({ id, timestamp, level, message, source, metadata, replica }: AgentLog): LogEntry => ({
  id,
  timestamp: new Date(timestamp).toISOString(),
  level,
  message,
  source,
  metadata: { ...metadata, pod: replica },
});

/** What was pushed, in order, to one reader. */
export class Inbox<T> implements AsyncIterable<T> {
  readonly #waiting: T[] = [];
  #ended = false;
  #error: AgentLaunchpadError | undefined;
  #wake = deferred<void>();

  push(item: T): void {
    this.#waiting.push(item);
    this.#wake.resolve();
  }

  end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }

  fail(error: AgentLaunchpadError): void {
    this.#error = error;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      yield* this.#waiting.splice(0);
      if (this.#waiting.length > 0) continue;
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return;
      await this.#wake.promise;
      this.#wake = deferred();
    }
  }
}
