import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test, vi } from "vitest";
import type { Http, Request } from "../http.ts";
import type { SupabaseClientLike } from "../supabase.ts";
import { ReplicaRows } from "./cursors.ts";
import { Feed } from "./feed.ts";

interface Row {
  replica: string;
  sequence: number;
  timestamp: string;
}

type Callback = (...values: unknown[]) => void;

/** A table of one replica's rows, and a Realtime channel that says what a test tells it to. */
class Backend {
  readonly table: Row[] = [];
  readonly heard = new Map<string, Callback>();
  /** Called when the rows for a read are taken, before it is answered. */
  onRead: () => void = () => {};
  reads = 0;
  readonly supabase = {
    accessToken: async () => "token",
    realtime: { setAuth: async () => {}, connect() {}, disconnect() {} },
    getChannels: () => [],
    removeChannel: async () => "ok",
    channel: () => {
      const channel = {
        on: (kind: string, _filter: unknown, callback: Callback) => {
          this.heard.set(kind, callback);
          return channel;
        },
        subscribe: (callback: Callback) => {
          this.heard.set("status", callback);
          return channel;
        },
      };
      return channel;
    },
  } as unknown as SupabaseClientLike;
  readonly http = {
    send: async ({ query = {} }: Request) => {
      const after = /sequence\.gt\.(\d+)/.exec(String(query.and))?.[1];
      const rows = this.table.filter(({ sequence }) => sequence > Number(after ?? 0));
      this.reads += 1;
      this.onRead();
      return rows;
    },
  } as unknown as Http;

  /** Stores the next row; it is not delivered. */
  commit(): Row {
    const sequence = this.table.length + 1;
    const row = { replica: "r", sequence, timestamp: `2026-01-01T00:00:0${sequence}Z` };
    this.table.push(row);
    return row;
  }

  deliver = (row: Row) => this.heard.get("postgres_changes")?.({ new: row });
  status = (status: string) => this.heard.get("status")?.(status, undefined);
  system = (status: string, message = "") =>
    this.heard.get("system")?.({ extension: "postgres_changes", status, message });
}

/** A feed that has begun, and whose channel is ready to be told what it hears. */
async function started(backend: Backend) {
  const shown: number[] = [];
  const states: string[] = [];
  const feed = new Feed({
    supabase: backend.supabase,
    http: backend.http,
    name: () => "feed",
    follows: [
      {
        cursor: new ReplicaRows<Row>("agent_logs", {}),
        changes: [{ event: "INSERT" }],
        show: ({ sequence }: Row) => shown.push(sequence),
      },
    ],
    onError: () => {},
    onConnection: (state) => states.push(state),
  });
  feed.start();
  await settled();
  assert.ok(backend.heard.has("status"));
  return { feed, shown, states };
}

/** Everything that waits for no timer is done. */
const settled = () => vi.advanceTimersByTimeAsync(0);

describe("a feed shows each row once, in order", () => {
  let backend: Backend;
  beforeEach(() => {
    vi.useFakeTimers();
    backend = new Backend();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("where changes begin to flow while it reads", async () => {
    const { feed, shown, states } = await started(backend);
    backend.status("CHANNEL_ERROR");
    backend.onRead = () => {
      backend.onRead = () => {};
      backend.commit(); // not read any more, and not yet delivered
      backend.status("SUBSCRIBED");
      backend.system("ok");
      backend.deliver(backend.commit());
    };
    await vi.advanceTimersByTimeAsync(5_000); // it asks
    assert.deepEqual(shown, [1, 2]);
    assert.equal(states.at(-1), "live");
    feed.stop();
  });

  test("where the server delivers before it says that changes flow", async () => {
    const { feed, shown } = await started(backend);
    backend.status("SUBSCRIBED");
    await settled();
    backend.commit(); // the server does not listen yet
    backend.deliver(backend.commit());
    backend.system("ok");
    backend.deliver(backend.commit());
    await settled();
    backend.deliver(backend.commit());
    assert.deepEqual(shown, [1, 2, 3, 4]);
    feed.stop();
  });

  test("where the server never says that changes flow", async () => {
    const { feed, shown } = await started(backend);
    backend.status("SUBSCRIBED");
    await settled();
    backend.deliver(backend.commit());
    backend.deliver(backend.commit());
    await settled();
    assert.deepEqual(shown, [1, 2]);
    feed.stop();
  });

  test("by asking while the server cannot deliver, until it can", async () => {
    const { feed, shown, states } = await started(backend);
    backend.status("SUBSCRIBED");
    backend.system("error", "Realtime was unable to connect to the project database");
    await settled();
    assert.deepEqual(states, ["connecting"]);
    backend.commit();
    await vi.advanceTimersByTimeAsync(5_000);
    assert.deepEqual(shown, [1]);
    backend.commit();
    backend.system("ok");
    await settled();
    assert.deepEqual(shown, [1, 2]);
    assert.deepEqual(states, ["connecting", "live"]);
    const { reads } = backend;
    await vi.advanceTimersByTimeAsync(60_000);
    assert.equal(backend.reads, reads);
    feed.stop();
  });

  test("by asking while a connection that was there is lost", async () => {
    const { feed, shown, states } = await started(backend);
    backend.status("SUBSCRIBED");
    backend.system("ok");
    await settled();
    backend.status("CHANNEL_ERROR");
    backend.status("CHANNEL_ERROR");
    backend.commit();
    await vi.advanceTimersByTimeAsync(5_000);
    backend.commit();
    await vi.advanceTimersByTimeAsync(5_000);
    assert.deepEqual(shown, [1, 2]);
    assert.deepEqual(states, ["connecting", "live", "interrupted"]);
    feed.stop();
    const { reads } = backend;
    await vi.advanceTimersByTimeAsync(60_000);
    assert.equal(backend.reads, reads);
  });
});
