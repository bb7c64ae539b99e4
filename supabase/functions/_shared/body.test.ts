// Bodies are bounded while they are read: who declares no length, or a false one, cannot make a function hold more.
import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { readBody, readBytes } from "./body.ts";

/** A body without an end, in pieces of 10 bytes; counts how many were taken, and whether it was given up. */
function endless() {
  const seen = { pieces: 0, cancelled: false };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        seen.pieces += 1;
        controller.enqueue(new Uint8Array(10));
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  const init: RequestInit & { duplex: "half" } = { method: "POST", body, duplex: "half" };
  return { seen, request: new Request("http://x.example", init) };
}

describe("a body without a declared length", () => {
  it("is given up where it grows beyond the limit", async () => {
    const { seen, request } = endless();
    assert.equal(await readBytes(request, 100), undefined);
    assert.equal(seen.cancelled, true);
    assert.ok(seen.pieces <= 13, `${seen.pieces} pieces of 10 bytes`);
  });

  it("is read whole within the limit", async () => {
    const text = "ä".repeat(50);
    const whole = () => new Request("http://x.example", { method: "POST", body: text });
    assert.deepEqual(await readBytes(whole(), 100), new TextEncoder().encode(text));
    assert.equal(await readBytes(whole(), 99), undefined);
    assert.deepEqual(await readBody(whole(), 99), { refusal: "too large" });
  });
});

it("a declared length above the limit is refused unread", async () => {
  const { seen, request } = endless();
  request.headers.set("content-length", "101");
  assert.equal(await readBytes(request, 100), undefined);
  assert.equal(seen.pieces, 0);
});

it("no body is an empty one", async () => {
  assert.deepEqual(await readBytes(new Request("http://x.example", { method: "POST" }), 0), new Uint8Array());
});
