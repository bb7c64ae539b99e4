import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import {
  encodeEnd,
  encodePush,
  encodeReply,
  encodeUserBroadcast,
  parseFrame,
  type UserBroadcast,
  type Version,
} from "./frames.ts";

const text = (version: Version, value: unknown) =>
  parseFrame(version, Buffer.from(JSON.stringify(value)), false);

/** A broadcast as supabase-js encodes it: kind 3. */
function binaryPush(parts: [string, string, string, string, string], encoding: number, body: Buffer): Buffer {
  const buffers = parts.map((part) => Buffer.from(part));
  return Buffer.concat([Buffer.from([3, ...buffers.map((b) => b.length), encoding]), ...buffers, body]);
}

test("both text forms name the same frame", () => {
  const frame = { joinRef: "1", ref: "2", topic: "realtime:a", event: "phx_join", payload: { config: {} } };
  assert.deepEqual(text("2.0.0", ["1", "2", "realtime:a", "phx_join", { config: {} }]), frame);
  assert.deepEqual(
    text("1.0.0", {
      join_ref: "1",
      ref: "2",
      topic: "realtime:a",
      event: "phx_join",
      payload: { config: {} },
    }),
    frame,
  );
  assert.equal(text("1.0.0", { ref: "2", topic: "phoenix", event: "heartbeat", payload: {} })?.joinRef, null);
});

test("what is no frame is refused", () => {
  for (const value of [
    null,
    1,
    "x",
    [],
    ["1", "2", "t", "e"],
    [null, null, 5, "e", {}],
    [{}, null, "t", "e", {}],
    {},
  ]) {
    assert.equal(text("2.0.0", value), undefined, JSON.stringify(value));
  }
  for (const value of [null, 1, [], ["1", "2", "t", "e", {}], { topic: "t" }, { topic: 1, event: "e" }]) {
    assert.equal(text("1.0.0", value), undefined, JSON.stringify(value));
  }
  assert.equal(parseFrame("2.0.0", Buffer.from("{"), false), undefined);
});

test("a binary broadcast carries its event, encoding and body", () => {
  const body = Buffer.from('{"x":1}');
  const frame = parseFrame("2.0.0", binaryPush(["1", "7", "realtime:é", "move", ""], 1, body), true);
  assert.deepEqual(
    { ...frame, broadcast: { ...frame?.broadcast, body: frame?.broadcast?.body.toString() } },
    {
      joinRef: "1",
      ref: "7",
      topic: "realtime:é",
      event: "broadcast",
      payload: undefined,
      broadcast: { event: "move", encoding: "json", body: '{"x":1}' },
    },
  );
  const bytes = parseFrame(
    "2.0.0",
    binaryPush(["", "", "realtime:a", "b", ""], 0, Buffer.from([0, 255])),
    true,
  );
  assert.deepEqual([...(bytes?.broadcast?.body ?? [])], [0, 255]);
});

test("a binary frame that lies about its lengths, its JSON or its version is refused", () => {
  const good = binaryPush(["1", "7", "realtime:a", "move", ""], 1, Buffer.from("{}"));
  assert.equal(parseFrame("1.0.0", good, true), undefined);
  assert.equal(parseFrame("2.0.0", good.subarray(0, 12), true), undefined);
  assert.equal(parseFrame("2.0.0", Buffer.alloc(0), true), undefined);
  assert.equal(parseFrame("2.0.0", Buffer.from([9, 1, 1]), true), undefined);
  assert.equal(
    parseFrame("2.0.0", binaryPush(["1", "7", "t", "e", ""], 1, Buffer.from('{}],["injected"')), true),
    undefined,
  );
  assert.equal(
    parseFrame("2.0.0", binaryPush(["1", "7", "t", "e", "{"], 1, Buffer.from("{}")), true),
    undefined,
  );
});

test("no bytes make the parser throw", () => {
  const version = fc.constantFrom<Version>("1.0.0", "2.0.0");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), version, fc.boolean(), (bytes, v, isBinary) => {
      parseFrame(v, Buffer.from(bytes), isBinary);
    }),
    { numRuns: 5000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      parseFrame("2.0.0", Buffer.concat([Buffer.from([3]), bytes]), true);
    }),
    { numRuns: 5000 },
  );
  fc.assert(
    fc.property(fc.json(), version, (json, v) => {
      parseFrame(v, Buffer.from(json), false);
    }),
    { numRuns: 2000 },
  );
});

test("what a 2.0.0 client sends in binary is what others read, in either version", () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 60, unit: "grapheme" }),
      fc.string({ maxLength: 60, unit: "grapheme" }),
      fc.jsonValue(),
      (topic, event, payload) => {
        const body = Buffer.from(JSON.stringify(payload));
        if (Buffer.byteLength(topic) > 255 || Buffer.byteLength(event) > 255) return;
        const sent = parseFrame("2.0.0", binaryPush(["1", "2", topic, event, ""], 1, body), true);
        assert.ok(sent?.broadcast);
        assert.equal(sent.broadcast.event, event);
        const asText = encodeUserBroadcast("1.0.0", topic, sent.broadcast, { id: "m" });
        const read = JSON.parse(String(asText));
        assert.deepEqual(read, {
          ref: null,
          topic,
          event: "broadcast",
          payload: { event, payload: JSON.parse(body.toString()), type: "broadcast", meta: { id: "m" } },
        });
        const binary = encodeUserBroadcast("2.0.0", topic, sent.broadcast);
        assert.ok(Buffer.isBuffer(binary));
        const [kind, topicSize = 0, eventSize = 0, metaSize, encoding] = binary;
        assert.deepEqual([kind, metaSize, encoding], [4, 0, 1]);
        assert.equal(binary.toString("utf8", 5, 5 + topicSize), topic);
        assert.deepEqual(binary.subarray(5 + topicSize + eventSize), body);
      },
    ),
  );
});

test("names too long for a binary header go as text; bytes cannot go to 1.0.0", () => {
  const message: UserBroadcast = { event: "e", encoding: "json", body: Buffer.from("{}") };
  assert.equal(typeof encodeUserBroadcast("2.0.0", "x".repeat(300), message), "string");
  const bytes: UserBroadcast = { event: "e", encoding: "binary", body: Buffer.from([1]) };
  assert.equal(encodeUserBroadcast("1.0.0", "t", bytes), undefined);
});

test("replies, pushes and endings have the form of their version", () => {
  const to = { joinRef: "1", ref: "2", topic: "t" };
  assert.equal(encodeReply("2.0.0", to, "ok", {}), '["1","2","t","phx_reply",{"status":"ok","response":{}}]');
  assert.deepEqual(JSON.parse(encodeReply("1.0.0", to, "error", { reason: "r" })), {
    ref: "2",
    topic: "t",
    event: "phx_reply",
    payload: { status: "error", response: { reason: "r" } },
  });
  assert.equal(encodePush("2.0.0", "t", "system", "{}", "1"), '["1",null,"t","system",{}]');
  assert.equal(
    encodePush("1.0.0", "t", "system", "{}"),
    '{"ref":null,"topic":"t","event":"system","payload":{}}',
  );
  assert.equal(encodeEnd("2.0.0", "t", "phx_close", "1"), '["1","1","t","phx_close",{}]');
});
