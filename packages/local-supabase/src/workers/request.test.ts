import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "vitest";
import { MAX_RESPONSE_BYTES, type QueuedRequest, sendRequest } from "./request.ts";

const never = new AbortController().signal;

async function withServer<T>(answer: RequestListener, fn: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await fn(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const request = (url: string, rest: Partial<QueuedRequest> = {}): QueuedRequest => ({
  id: "1",
  method: "GET",
  url,
  headers: null,
  body: null,
  timeout_milliseconds: 2000,
  ...rest,
});

describe("a queued request", () => {
  test("sends method, headers and the exact body, and keeps the answer", async () => {
    await withServer(
      (req, res) => {
        let body = "";
        req.on("data", (chunk) => {
          body += chunk;
        });
        req.on("end", () => {
          res.writeHead(201, { "content-type": "application/json", "x-seen": String(req.headers["x-mine"]) });
          res.end(JSON.stringify({ method: req.method, body, agent: req.headers["user-agent"] }));
        });
      },
      async (url) => {
        const body = Uint8Array.from(Buffer.from('{"a": 1}'));
        const answer = await sendRequest(
          request(url, { method: "POST", headers: { "X-Mine": 5 }, body }),
          never,
        );
        assert.equal(answer.status_code, 201);
        assert.equal(answer.content_type, "application/json");
        assert.equal(answer.headers?.["x-seen"], "5");
        assert.deepEqual(JSON.parse(answer.content ?? ""), {
          method: "POST",
          body: '{"a": 1}',
          agent: "pg_net/0.20.0",
        });
        assert.deepEqual([answer.timed_out, answer.error_msg], [false, null]);
      },
    );
  });

  test("follows redirects", async () => {
    await withServer(
      (req, res) => {
        if (req.url === "/there") res.end("arrived\0");
        else res.writeHead(302, { location: "/there" }).end();
      },
      async (url) => {
        const answer = await sendRequest(request(url), never);
        assert.deepEqual([answer.status_code, answer.content], [200, "arrived"]);
      },
    );
  });

  test("notes a timeout", async () => {
    await withServer(
      () => undefined,
      async (url) => {
        const answer = await sendRequest(request(url, { timeout_milliseconds: 30 }), never);
        assert.deepEqual(
          [answer.status_code, answer.timed_out, answer.error_msg],
          [null, true, "Timeout of 30 ms reached."],
        );
      },
    );
  });

  test("notes what went wrong, and never throws", async () => {
    for (const url of ["http://127.0.0.1:1/", "not a url", "ftp://127.0.0.1/"]) {
      const answer = await sendRequest(request(url), never);
      assert.equal(answer.status_code, null);
      assert.equal(answer.timed_out, false);
      assert.ok(answer.error_msg, url);
    }
    const badHeader = await sendRequest(
      request("http://127.0.0.1:1/", { headers: { "bad name": "x" } }),
      never,
    );
    assert.ok(badHeader.error_msg);
  });

  test("an endless answer is refused", async () => {
    await withServer(
      (_req, res) => res.end(Buffer.alloc(MAX_RESPONSE_BYTES + 1)),
      async (url) => {
        const answer = await sendRequest(request(url), never);
        assert.match(answer.error_msg ?? "", /larger than/);
      },
    );
  });
});
