import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { onTestFinished, test } from "vitest";
import { AuthError } from "../errors.ts";
import { callHttpHook } from "./http-hook.ts";

const SECRET = `whsec_${randomBytes(32).toString("base64")}`;
const LIMITS = { timeoutMs: 2000, backoffMs: 1, tries: 3, mostBytes: 100 };
const PAYLOAD = JSON.stringify({ user_id: "u", name: "Zoë" });

async function serve(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
  const seen: { headers: Record<string, string>; body: string }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      seen.push({ headers: request.headers as Record<string, string>, body });
      answer(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const hook = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    secrets: [`v1,${SECRET}`],
  };
  return { hook, seen };
}

const json =
  (text: string, status = 200) =>
  (_: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(text);

async function refusal(hook: { url: string; secrets: string[] }): Promise<string> {
  try {
    await callHttpHook(hook, PAYLOAD, LIMITS);
    return "none";
  } catch (error) {
    assert.ok(error instanceof AuthError, String(error));
    return `${error.status} ${error.code}: ${error.message}`;
  }
}

test("a hook gets the payload with a signature that Standard Webhooks' library verifies", async () => {
  const { hook, seen } = await serve(json('{"decision":"continue"}'));
  const other = `whsec_${randomBytes(32).toString("base64")}`;
  const both = { ...hook, secrets: [`v1,${other}`, `v1,${SECRET}`] };
  assert.equal(await callHttpHook(both, PAYLOAD, LIMITS), '{"decision":"continue"}');
  const [{ headers, body }] = seen as [{ headers: Record<string, string>; body: string }];
  assert.equal(body, PAYLOAD);
  // The two are separated by ", " as supabase/auth does it; the library separates by spaces alone.
  const signatures = { ...headers, "webhook-signature": headers["webhook-signature"]!.replace(", ", " ") };
  for (const secret of [SECRET, other])
    assert.deepEqual(new Webhook(secret).verify(body, signatures), JSON.parse(PAYLOAD));
  assert.throws(() => new Webhook(SECRET).verify(`${body} `, signatures));
});

test("an empty answer means nothing to change", async () => {
  const { hook } = await serve((_, response) => void response.writeHead(204).end());
  assert.equal(await callHttpHook(hook, PAYLOAD, LIMITS), undefined);
});

test("a hook that asks for a later try gets it, and no more than three", async () => {
  let calls = 0;
  const { hook, seen } = await serve((request, response) => {
    calls += 1;
    if (calls < 3) response.writeHead(503, { "retry-after": "true" }).end();
    else json('{"a":1}')(request, response);
  });
  assert.equal(await callHttpHook(hook, PAYLOAD, LIMITS), '{"a":1}');
  const busy = await serve((_, response) => void response.writeHead(429, { "retry-after": "1" }).end());
  assert.equal(await refusal(busy.hook), "500 unexpected_failure: Service currently unavailable due to hook");
  assert.deepEqual([seen.length, busy.seen.length], [3, 3]);
});

test("each bad answer is refused in supabase/auth's words", async () => {
  const cases: [(request: IncomingMessage, response: ServerResponse) => void, string][] = [
    [json("{}", 400), "500 unexpected_failure: Invalid payload sent to hook"],
    [json("{}", 401), "500 unexpected_failure: Hook requires authorization token"],
    [json("{}", 418), "500 unexpected_failure: Unexpected status code returned from hook: 418"],
    [json("{}", 503), "500 unexpected_failure: Service currently unavailable due to hook"],
    [
      (_, response) => void response.writeHead(200).end("{}"),
      "400 hook_payload_invalid_content_type: Invalid Content-Type: Missing Content-Type header",
    ],
    [
      (_, response) => void response.writeHead(200, { "content-type": "text/html" }).end("{}"),
      "400 hook_payload_invalid_content_type: Invalid JSON response. Received content-type: text/html",
    ],
    [
      json(JSON.stringify({ a: "x".repeat(200) })),
      "422 hook_payload_over_size_limit: Payload size exceeded size limit of 100 bytes",
    ],
  ];
  for (const [answer, expected] of cases) assert.equal(await refusal((await serve(answer)).hook), expected);
});

test("a hook that cannot be reached or does not answer is named so", async () => {
  const closed = { url: "http://127.0.0.1:1/", secrets: [`v1,${SECRET}`] };
  assert.equal(
    await refusal(closed),
    "422 hook_timeout_after_retry: Failed to reach hook after maximum retries",
  );
  const { hook } = await serve(() => undefined);
  await assert.rejects(
    callHttpHook(hook, PAYLOAD, { ...LIMITS, timeoutMs: 50 }),
    (error) => error instanceof AuthError && error.code === "hook_timeout" && error.status === 422,
  );
});
