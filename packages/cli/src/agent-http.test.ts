import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "vitest";
import { replyOf, say } from "./agent-http.ts";
import { CliError } from "./errors.ts";

const url = "http://agent-x.agents.localhost:1";

test("a reply is taken as it is", () => {
  const reply = { reply: "Hello", conversationId: "c", model: "m" };
  assert.deepEqual(replyOf(200, JSON.stringify(reply), url), reply);
});

for (const [status, text, outcome, says] of [
  [
    503,
    '{"error":{"code":"MODEL_UNCONFIGURED","message":"No model key: set ANTHROPIC_API_KEY"}}',
    "failed",
    /^No model key: set ANTHROPIC_API_KEY\. Set one with `launchpad secrets set ada ANTHROPIC_API_KEY`\.$/,
  ],
  [
    502,
    '{"error":{"code":"MODEL_AUTHENTICATION_FAILED","message":"openai refused the key (401)."}}',
    "failed",
    /\(401\)\. Set another with `launchpad secrets set ada OPENAI_API_KEY`\.$/,
  ],
  [
    500,
    '{"error":{"code":"INTERNAL_ERROR","message":"The agent failed to answer."}}',
    "failed",
    /answer\. Run `launchpad logs ada` for details\.$/,
  ],
  [429, '{"error":{"code":"MODEL_RATE_LIMITED","message":"Slow down."}}', "failed", /^Slow down\.$/],
  [
    400,
    '{"error":{"code":"VALIDATION_ERROR","message":"text is required"}}',
    "invalid",
    /^text is required\.$/,
  ],
  [200, '{"reply": 1}', "unreachable", /does not answer as an agent does \(status 200\)/],
  [404, "<html>", "unreachable", /does not answer as an agent does \(status 404\)/],
  [502, "", "unreachable", /status 502/],
] as const) {
  test(`status ${status} with ${JSON.stringify(text)} is ${outcome}`, () => {
    assert.throws(
      () => replyOf(status, text, url, "ada"),
      (error) => error instanceof CliError && error.outcome === outcome && says.test(error.message),
    );
  });
}

test("a failed answer keeps the id that its trace is found by", () => {
  const error = { code: "MODEL_NOT_FOUND", message: "openai does not know the model.", messageId: "m-1" };
  assert.throws(() => replyOf(502, JSON.stringify({ error }), url), {
    code: "MODEL_NOT_FOUND",
    details: { messageId: "m-1" },
  });
});

test("names below localhost are this machine, and the host's name travels along", async (t) => {
  const server = createServer();
  t.onTestFinished(async () => {
    await server.close();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const asked = once(server, "request") as Promise<[IncomingMessage, import("node:http").ServerResponse]>;
  const said = say(
    `http://agent-x.agents.localhost:${port}`,
    "a-token",
    { text: "Hi" },
    { signal: new AbortController().signal, timeout: 5 },
  );
  const [request, response] = await asked;
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk as string;
  response.end('{"reply":"Hello","conversationId":"c"}');
  assert.equal((await said).reply, "Hello");
  assert.equal(request.headers.authorization, "Bearer a-token");
  assert.equal(request.headers.host, `agent-x.agents.localhost:${port}`);
  assert.deepEqual([request.method, request.url, JSON.parse(body)], ["POST", "/message", { text: "Hi" }]);
});

test("an agent that says nothing is given up", async (t) => {
  const server = createServer(() => {});
  t.onTestFinished(async () => {
    await server.close();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const saying = say(
    `http://127.0.0.1:${port}`,
    "a-token",
    { text: "Hi" },
    { signal: new AbortController().signal, timeout: 0.05 },
  );
  await assert.rejects(saying, (error: Error) => /abort|timeout/i.test(`${error.name} ${error.message}`));
  server.closeAllConnections();
});
