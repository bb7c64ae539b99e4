import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { decode, formatLsn, parseLsn, parsePacket, statusUpdate } from "./pgoutput.ts";

const int16 = (n: number) => Buffer.from([n >> 8, n & 255]);
const int32 = (n: number) => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(n);
  return buffer;
};
const int64 = (n: bigint) => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(n);
  return buffer;
};
const tuple = (...values: (string | null | undefined)[]) =>
  Buffer.concat([
    int16(values.length),
    ...values.map((value) =>
      value === null
        ? Buffer.from("n")
        : value === undefined
          ? Buffer.from("u")
          : Buffer.concat([Buffer.from("t"), int32(Buffer.byteLength(value)), Buffer.from(value)]),
    ),
  ]);
const message = (...parts: (string | Buffer)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));

test("begin and commit carry position and time", () => {
  const micros = BigInt(Date.UTC(2026, 0, 1) - Date.UTC(2000, 0, 1)) * 1000n;
  assert.deepEqual(decode(message("B", int64(9n), int64(micros), int32(1))), {
    kind: "begin",
    finalLsn: 9n,
    committedAt: new Date(Date.UTC(2026, 0, 1)),
    xid: 1,
  });
  assert.deepEqual(decode(message("C\0", int64(9n), int64(12n), int64(micros))), {
    kind: "commit",
    endLsn: 12n,
  });
});

test("a relation names its columns and its identity", () => {
  const data = message(
    "R",
    int32(7),
    "public\0",
    "t\0",
    "d",
    int16(2),
    Buffer.from([1]),
    "id\0",
    int32(20),
    int32(0),
    Buffer.from([0]),
    "note\0",
    int32(25),
    int32(0),
  );
  assert.deepEqual(decode(data), {
    kind: "relation",
    relation: {
      oid: 7,
      schema: "public",
      table: "t",
      columns: [
        { name: "id", typeOid: 20, isIdentity: true },
        { name: "note", typeOid: 25, isIdentity: false },
      ],
    },
  });
});

test("rows: null, unchanged and text; the old row as key or whole", () => {
  assert.deepEqual(decode(message("I", int32(7), "N", tuple("1", null))), {
    kind: "insert",
    relationOid: 7,
    row: ["1", null],
    old: undefined,
    oldIsKey: false,
  });
  assert.deepEqual(decode(message("U", int32(7), "N", tuple("1", undefined))), {
    kind: "update",
    relationOid: 7,
    row: ["1", undefined],
    old: undefined,
    oldIsKey: false,
  });
  assert.deepEqual(decode(message("U", int32(7), "O", tuple("1", "a"), "N", tuple("1", "é"))), {
    kind: "update",
    relationOid: 7,
    row: ["1", "é"],
    old: ["1", "a"],
    oldIsKey: false,
  });
  assert.deepEqual(decode(message("D", int32(7), "K", tuple("1", null))), {
    kind: "delete",
    relationOid: 7,
    row: undefined,
    old: ["1", null],
    oldIsKey: true,
  });
});

test("other messages are passed over; a cut one throws a RangeError", () => {
  assert.deepEqual(decode(message("T", int32(1))), { kind: "other" });
  const whole = message("I", int32(7), "N", tuple("hello", "world"));
  for (let length = 1; length < whole.length; length++) {
    assert.throws(() => decode(whole.subarray(0, length)), RangeError, `${length} bytes`);
  }
});

test("no bytes make it fail otherwise", () => {
  fc.assert(
    fc.property(fc.constantFrom(..."BCRIUDTX"), fc.uint8Array({ maxLength: 80 }), (kind, bytes) => {
      try {
        decode(message(kind, Buffer.from(bytes)));
      } catch (error) {
        assert.ok(error instanceof RangeError);
      }
    }),
    { numRuns: 5000 },
  );
});

test("positions and packets", () => {
  assert.equal(formatLsn(parseLsn("16/B374D848")), "16/B374D848");
  assert.throws(() => parseLsn("16"));
  assert.deepEqual(parsePacket(message("k", int64(5n), int64(0n), Buffer.from([1]))), {
    kind: "keepalive",
    walEnd: 5n,
    replyNow: true,
  });
  const status = statusUpdate(5n, Date.now());
  assert.deepEqual([status[0], status.readBigUInt64BE(9), status.length], [0x72, 5n, 34]);
});
