import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { setImmediate as soon } from "node:timers/promises";
import { test } from "vitest";
import type { Call } from "../call.ts";
import { payloadOf } from "./payload.ts";

/** Gives what comes of a body that is sent in chunks with a trailer, read only after it has arrived. */
async function read(body: string, length: number): Promise<string> {
  const request = new IncomingMessage(new Socket());
  request.headers = {
    "x-amz-decoded-content-length": String(length),
    "x-amz-trailer": "x-amz-checksum-crc32",
  };
  request.push(body);
  request.push(null);
  request.complete = true;
  const call: Call = {
    request,
    response: new ServerResponse(request),
    method: "PUT",
    parts: ["s3", "b", "k"],
    query: new URLSearchParams(),
    rawPath: "/s3/b/k",
    origin: "http://localhost",
    jwt: "",
    claims: {},
    role: "service_role",
    isAuthenticated: true,
    plain: (token) => token,
  };
  const payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
  const signed = {
    accessKey: "a",
    scope: "d/r/s3/aws4_request",
    date: "",
    headers: [],
    signature: "",
    payload,
  };
  const source = payloadOf(call, signed, "secret");
  for (let turn = 0; turn < 10; turn++) await soon(); // a fault of a small body is there before its reader
  let text = "";
  for await (const chunk of source) text += Buffer.from(chunk).toString();
  return text;
}

test("chunks become the bytes that they carry", async () => {
  assert.equal(await read("3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:hYfYZQ==\r\n\r\n", 5), "abcde");
});

test("a body that is cut off, too long, or has another sum fails for its reader alone", async () => {
  const bodies = {
    "without its trailer": "5\r\nabcde\r\n0\r\n",
    "without its last chunk": "5\r\nabcde\r\n",
    "with another sum": "5\r\nabcde\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
    "longer than it says": "6\r\nabcdef\r\n0\r\n\r\n",
    "with something behind it": "5\r\nabcde\r\n0\r\n\r\nmore",
    "without a size": "x\r\nabcde\r\n",
  };
  for (const [name, body] of Object.entries(bodies))
    await assert.rejects(read(body, 5), /body|chunk|checksum|Something/, name);
});
