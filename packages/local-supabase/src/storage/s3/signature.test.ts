// What a signature of S3 must say before it is even compared.
import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { test } from "vitest";
import type { Call } from "../call.ts";
import { signedOf } from "./signature.ts";

const dateOf = (ms: number) => new Date(ms).toISOString().replace(/[-:]|\.\d+/g, "");
const CREDENTIAL = "key/20261201/local/s3/aws4_request";
const MINUTE = 60_000;

function callOf(headers: Record<string, string>, query: Record<string, string> = {}): Call {
  const request = new IncomingMessage(new Socket());
  request.headers = headers;
  return {
    request,
    response: new ServerResponse(request),
    method: "PUT",
    parts: ["s3", "b", "k"],
    query: new URLSearchParams(query),
    rawPath: "/s3/b/k",
    origin: "http://localhost",
    jwt: "",
    claims: {},
    role: "anon",
    isAuthenticated: false,
    plain: (token) => token,
  };
}

const byHeader = (age: number, more: Record<string, string> = {}, names = "host;x-amz-date") =>
  callOf({
    authorization: `AWS4-HMAC-SHA256 Credential=${CREDENTIAL},SignedHeaders=${names},Signature=00`,
    "x-amz-date": dateOf(Date.now() - age),
    ...more,
  });
const byQuery = (age: number, seconds: string | undefined, headers: Record<string, string> = {}) =>
  callOf(headers, {
    "X-Amz-Credential": CREDENTIAL,
    "X-Amz-Date": dateOf(Date.now() - age),
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Signature": "00",
    ...(seconds === undefined ? {} : { "X-Amz-Expires": seconds }),
  });

test("a link for an upload cannot be turned into a copy by a header that is not signed", () => {
  const copy = { "x-amz-copy-source": "/private/secret" };
  assert.throws(() => signedOf(byQuery(0, "60", copy)), /not signed: x-amz-copy-source/);
  assert.throws(() => signedOf(byHeader(0, copy)), /not signed: x-amz-copy-source/);
  signedOf(byHeader(0, copy, "host;x-amz-copy-source;x-amz-date"));
});

test("a signed request is accepted for 15 minutes, before and after", () => {
  signedOf(byHeader(14 * MINUTE));
  signedOf(byHeader(-14 * MINUTE));
  for (const age of [16 * MINUTE, -16 * MINUTE]) assert.throws(() => signedOf(byHeader(age)), /request time/);
});

test("a link ends, begins by its date, and lasts for a week at most", () => {
  signedOf(byQuery(MINUTE, "604800"));
  assert.throws(() => signedOf(byQuery(2 * MINUTE, "60")));
  assert.throws(() => signedOf(byQuery(-60 * MINUTE, "60")), /not valid yet/);
  for (const seconds of [undefined, "604801", "-1", "1e9"])
    assert.throws(() => signedOf(byQuery(0, seconds)), /expiration/);
});
