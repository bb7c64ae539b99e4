// Reads committed changes from the database's replication stream.

import type { Socket } from "node:net";
import pg from "pg";
import { reasonOf } from "../errors.ts";
import {
  decode,
  formatLsn,
  type Message,
  parsePacket,
  type Relation,
  statusUpdate,
  type Value,
} from "./pgoutput.ts";
import { ensureSlot } from "./slot.ts";

/** A committed change, in the order of commits. */
export interface Change {
  action: "INSERT" | "UPDATE" | "DELETE";
  relation: Relation;
  row: Value[] | undefined;
  old: Value[] | undefined;
  oldIsKey: boolean;
  committedAt: Date;
  /** The transaction's number. */
  xid: number;
}

export interface ReplicationOptions {
  /** A connection URL of the replication role. */
  url: string;
  slot: string;
  publications: string[];
  onChange(change: Change): void;
  /** A transaction has been handed over whole; confirm(lsn) when it has been dealt with. */
  onCommit(lsn: bigint): void;
  /** The slot was lost (it held more log than allowed): changes are missing from here on. */
  onGap(): void;
  onLog(line: string): void;
}

export interface Replication {
  /** Resolves with true when changes flow, with false after `timeoutMs` or a stop. */
  streaming(timeoutMs: number): Promise<boolean>;
  /** Everything up to `lsn` has been dealt with; the server may forget it. */
  confirm(lsn: bigint): void;
  /** Stops reading until resume(): the server waits. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

/** What pg's connection does in replication mode and its types do not tell. */
interface CopyConnection {
  once(event: "replicationStart", listener: () => void): void;
  on(event: "copyData", listener: (message: { chunk: Uint8Array }) => void): void;
  sendCopyFromChunk(chunk: Buffer): void;
  stream: Socket;
}

const STATUS_EVERY_MS = 10_000;

/**
 * Streams the changes of publications from a replication slot, and finds the server again when it restarts.
 * Each change is handed over once while this process lives: a new connection begins after the last change received,
 * in the middle of a transaction where need be.
 */
export function startReplication(options: ReplicationOptions): Replication {
  const relations = new Map<number, Relation>();
  let client: pg.Client | undefined;
  let flowing = Promise.withResolvers<true>();
  /** Whether `flowing` is resolved. */
  let begun = false;
  let stopped = false;
  let paused = false;
  let failures = 0;
  let retry: NodeJS.Timeout | undefined;
  /** The end of the last transaction received whole, and how much of the next one. */
  let received = 0n;
  let open: { finalLsn: bigint; changes: number; committedAt: Date; xid: number } | undefined;
  let toSkip = 0;
  let ignoring = false;
  /** Transactions handed over and not confirmed. */
  let unconfirmed = 0;
  let confirmed = 0n;

  const connection = () => (client as unknown as { connection: CopyConnection } | undefined)?.connection;
  const sendStatus = () => {
    if (confirmed > 0n) connection()?.sendCopyFromChunk(statusUpdate(confirmed, Date.now()));
  };
  const status = setInterval(sendStatus, STATUS_EVERY_MS);
  status.unref();
  void connect();

  return {
    async streaming(timeoutMs) {
      const { promise: late, resolve } = Promise.withResolvers<false>();
      const timer = setTimeout(() => resolve(false), timeoutMs);
      try {
        return await Promise.race([flowing.promise, late]);
      } finally {
        clearTimeout(timer);
      }
    },
    confirm(lsn) {
      unconfirmed = Math.max(0, unconfirmed - 1);
      if (lsn > confirmed) confirmed = lsn;
    },
    pause() {
      paused = true;
      connection()?.stream.pause();
    },
    resume() {
      paused = false;
      connection()?.stream.resume();
    },
    async stop() {
      stopped = true;
      clearTimeout(retry);
      clearInterval(status);
      sendStatus();
      // The server would wait for our half of the copy to end: the connection is cut instead.
      connection()?.stream.destroy();
    },
  };

  async function connect(): Promise<void> {
    let lost = false;
    let mine: pg.Client | undefined;
    const lose = (error?: unknown) => {
      if (lost) return;
      lost = true;
      if (client === mine) client = undefined;
      (mine as unknown as { connection: CopyConnection } | undefined)?.connection.stream.destroy();
      if (stopped) return;
      // Whoever waits for a stream that did not begin waits for the next one.
      if (begun) flowing = Promise.withResolvers<true>();
      begun = false;
      if (error) options.onLog(`replication: ${reasonOf(error)}`);
      retry = setTimeout(() => void connect(), Math.min(50 * 2 ** failures++, 2000));
    };
    try {
      const slot = await ensureSlot(options.url, options.slot, received === 0n);
      if (stopped) return;
      if (slot === "lost") {
        options.onGap();
        received = 0n;
        open = undefined;
      }
      mine = new pg.Client({
        connectionString: `${options.url}&replication=database`,
        application_name: "realtime",
        keepAlive: true,
        options:
          "-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=1",
      });
      mine.on("error", lose);
      mine.on("end", () => lose());
      await mine.connect();
      if (stopped) return void mine.end();
      client = mine;
      const copy = connection();
      copy?.once("replicationStart", () => {
        failures = 0;
        if (paused) copy.stream.pause();
        begun = true;
        flowing.resolve(true);
      });
      copy?.on("copyData", ({ chunk }) => {
        if (lost || stopped) return;
        try {
          take(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
        } catch (error) {
          lose(error);
        }
      });
      toSkip = open?.changes ?? 0;
      const from = formatLsn(received);
      const names = options.publications.join(",");
      mine
        .query(
          `START_REPLICATION SLOT ${options.slot} LOGICAL ${from} (proto_version '1', publication_names '${names}')`,
        )
        .then(() => lose(), lose);
    } catch (error) {
      lose(error);
    }
  }

  function take(chunk: Buffer): void {
    const packet = parsePacket(chunk);
    if (packet?.kind === "data") handle(decode(packet.message));
    if (packet?.kind !== "keepalive") return;
    // With nothing under way, what lies before the server's position is no business of ours.
    if (!open && unconfirmed === 0 && packet.walEnd > confirmed) {
      confirmed = packet.walEnd;
      if (confirmed > received) received = confirmed;
    }
    if (packet.replyNow) sendStatus();
  }

  function handle(message: Message): void {
    switch (message.kind) {
      case "begin":
        ignoring = message.finalLsn < received;
        if (ignoring) return;
        if (open?.finalLsn === message.finalLsn) return; // resumed: `toSkip` of its changes are known already
        toSkip = 0;
        open = { finalLsn: message.finalLsn, changes: 0, committedAt: message.committedAt, xid: message.xid };
        return;
      case "commit":
        if (ignoring) return;
        open = undefined;
        received = message.endLsn;
        unconfirmed += 1;
        options.onCommit(message.endLsn);
        return;
      case "relation":
        relations.set(message.relation.oid, message.relation);
        return;
      case "insert":
      case "update":
      case "delete": {
        if (ignoring || !open) return;
        if (toSkip > 0) {
          toSkip -= 1;
          return;
        }
        open.changes += 1;
        const relation = relations.get(message.relationOid);
        if (!relation) return;
        options.onChange({
          action: message.kind === "insert" ? "INSERT" : message.kind === "update" ? "UPDATE" : "DELETE",
          relation,
          row: message.row,
          old: message.old,
          oldIsKey: message.oldIsKey,
          committedAt: open.committedAt,
          xid: open.xid,
        });
        return;
      }
      default:
        return;
    }
  }
}
