import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { readAnswer } from "./http-answer.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const text = (body: Uint8Array) => Buffer.from(body).toString("latin1");

const whole: [what: string, answer: string, status: number, body: string, reusable: boolean][] = [
  ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", 200, "[]", true],
  [
    "chunks",
    "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1;x=y\r\n]\r\n0\r\n\r\n",
    201,
    "[1]",
    true,
  ],
  [
    "a trailer",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0A\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    200,
    "0123456789",
    true,
  ],
  ["no body", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true],
  [
    "an announcement before",
    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1",
    200,
    "1",
    true,
  ],
  [
    "connection: close",
    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1",
    200,
    "1",
    false,
  ],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n1", 200, "1", false],
];

describe("an answer", () => {
  for (const [what, answer, status, body, reusable] of whole) {
    it(`with ${what} is read once it is whole`, () => {
      const all = bytes(answer);
      for (let end = 0; end < all.length; end++)
        assert.equal(readAnswer(all.subarray(0, end), false), undefined, `after ${end} bytes`);
      const read = readAnswer(all, false);
      assert.deepEqual([read?.status, text(read!.body), read?.reusable], [status, body, reusable]);
    });

    it(`with ${what} that breaks off is an error`, () => {
      const all = bytes(answer);
      for (let end = 0; end < all.length; end++)
        assert.throws(() => readAnswer(all.subarray(0, end), true), `after ${end} bytes`);
    });
  }

  it("without a length ends with its connection", () => {
    const all = bytes("HTTP/1.1 200 OK\r\n\r\nall of it");
    assert.equal(readAnswer(all, false), undefined);
    const read = readAnswer(all, true);
    assert.deepEqual([text(read!.body), read?.reusable], ["all of it", false]);
  });

  it("followed by more is not one to go on after", () => {
    const read = readAnswer(bytes("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK"), false);
    assert.equal(read?.reusable, false);
  });

  it("gives header values by lower-case name, bytes above ASCII as they are, repeated ones joined", () => {
    const { headers } = readAnswer(
      bytes("HTTP/1.1 204 No Content\r\nX-A:  \x80\xe9 \r\nx-b: 1\r\nX-B: 2\r\n\r\n"),
      false,
    )!;
    assert.deepEqual(
      ["x-a", "x-b", "x-c"].map((name) => headers.get(name)),
      ["\x80\xe9", "1, 2", undefined],
    );
  });

  it("that is not HTTP/1.1, or malformed, is an error", () => {
    for (const wrong of [
      "SSH-2.0-x\r\n\r\n",
      "HTTP/2 200 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
      "x".repeat(70_000),
    ])
      assert.throws(() => readAnswer(bytes(wrong), false), wrong.slice(0, 40));
  });
});
