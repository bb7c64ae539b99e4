// Decodes what PostgreSQL's output plugin `pgoutput` (protocol version 1, text values) sends; the forms are those of
// the manual's chapters "Logical Replication Message Formats" and "Streaming Replication Protocol".

/** A value as text; null; or undefined for an unchanged TOASTed one, which the log does not carry. */
export type Value = string | null | undefined;

export interface Column {
  name: string;
  typeOid: number;
  /** Part of the replica identity: the only columns that the log holds of an old row (unless it holds all). */
  isIdentity: boolean;
}

export interface Relation {
  oid: number;
  schema: string;
  table: string;
  columns: Column[];
}

export type Message =
  | { kind: "begin"; finalLsn: bigint; committedAt: Date; xid: number }
  | { kind: "commit"; endLsn: bigint }
  | { kind: "relation"; relation: Relation }
  | {
      kind: "insert" | "update" | "delete";
      relationOid: number;
      /** The new row; absent for a delete. */
      row: Value[] | undefined;
      /** What the log holds of the old row: all of it (replica identity full), its key, or nothing. */
      old: Value[] | undefined;
      oldIsKey: boolean;
    }
  | { kind: "other" };

export type Packet =
  | { kind: "data"; message: Buffer }
  | { kind: "keepalive"; walEnd: bigint; replyNow: boolean };

// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH_MS = Date.UTC(2000, 0, 1);

/** Reads one CopyData of the replication stream; undefined for what is neither data nor keepalive. */
export function parsePacket(chunk: Buffer): Packet | undefined {
  if (chunk[0] === 0x77) return { kind: "data", message: chunk.subarray(25) };
  if (chunk[0] === 0x6b)
    return { kind: "keepalive", walEnd: chunk.readBigUInt64BE(1), replyNow: chunk[17] === 1 };
  return undefined;
}

/** The standby status update: everything up to `lsn` has been handed on. */
export function statusUpdate(lsn: bigint, now: number): Buffer {
  const buffer = Buffer.alloc(34);
  buffer[0] = 0x72;
  for (const at of [1, 9, 17]) buffer.writeBigUInt64BE(lsn, at);
  buffer.writeBigInt64BE(BigInt(now - EPOCH_MS) * 1000n, 25);
  return buffer;
}

/** `16/B374D848` as a number. Throws on anything else. */
export function parseLsn(text: string): bigint {
  const [high, low, ...rest] = text.split("/");
  if (!high || !low || rest.length > 0) throw new Error(`${text} is no log position`);
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/** The text form of a log position. */
export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}

/** Decodes one message. Throws a RangeError on a message that ends early. */
export function decode(data: Buffer): Message {
  const reader = new Reader(data);
  switch (reader.char()) {
    case "B":
      return { kind: "begin", finalLsn: reader.int64(), committedAt: reader.time(), xid: reader.int32() };
    case "C":
      reader.skip(1 + 8);
      return { kind: "commit", endLsn: reader.int64() };
    case "R":
      return { kind: "relation", relation: reader.relation() };
    case "I": {
      const relationOid = reader.int32();
      reader.skip(1);
      return { kind: "insert", relationOid, row: reader.tuple(), old: undefined, oldIsKey: false };
    }
    case "U": {
      const relationOid = reader.int32();
      const mark = reader.char();
      const old = mark === "N" ? undefined : reader.tuple();
      if (old) reader.skip(1);
      return { kind: "update", relationOid, row: reader.tuple(), old, oldIsKey: mark === "K" };
    }
    case "D": {
      const relationOid = reader.int32();
      const mark = reader.char();
      return { kind: "delete", relationOid, row: undefined, old: reader.tuple(), oldIsKey: mark === "K" };
    }
    default:
      return { kind: "other" };
  }
}

class Reader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  char(): string {
    return String.fromCharCode(this.#data.readUInt8(this.#at++));
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  int16(): number {
    this.#at += 2;
    return this.#data.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#data.readUInt32BE(this.#at - 4);
  }

  int64(): bigint {
    this.#at += 8;
    return this.#data.readBigUInt64BE(this.#at - 8);
  }

  time(): Date {
    return new Date(Number(this.int64() / 1000n) + EPOCH_MS);
  }

  text(): string {
    const end = this.#data.indexOf(0, this.#at);
    if (end < 0) throw new RangeError("a text without end");
    const text = this.#data.toString("utf8", this.#at, end);
    this.#at = end + 1;
    return text;
  }

  relation(): Relation {
    const oid = this.int32();
    const schema = this.text() || "pg_catalog";
    const table = this.text();
    this.skip(1); // replica identity
    const columns: Column[] = [];
    for (let left = this.int16(); left > 0; left--) {
      const isIdentity = (this.char().charCodeAt(0) & 1) === 1;
      const name = this.text();
      columns.push({ name, typeOid: this.int32(), isIdentity });
      this.skip(4); // type modifier
    }
    return { oid, schema, table, columns };
  }

  tuple(): Value[] {
    const values: Value[] = [];
    for (let left = this.int16(); left > 0; left--) {
      switch (this.char()) {
        case "n":
          values.push(null);
          break;
        case "u":
          values.push(undefined);
          break;
        default: {
          const length = this.int32();
          if (this.#at + length > this.#data.length) throw new RangeError("a value without end");
          values.push(this.#data.toString("utf8", this.#at, this.#at + length));
          this.#at += length;
        }
      }
    }
    return values;
  }
}
