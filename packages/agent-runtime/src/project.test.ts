import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "vitest";
import { createProject, ProjectRefusal, ProjectUnavailable } from "./project.ts";

/** A project that answers as the test says. */
async function projectOf(context: TestContext, listener: RequestListener, timeoutMs?: number) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const project = createProject({ url: `http://127.0.0.1:${port}`, key: "sb_publishable_k" }, timeoutMs);
  context.onTestFinished(() => {
    project.close();
    server.close();
    server.closeAllConnections();
  });
  return { project, server };
}

const answer =
  (status: number, body: string): RequestListener =>
  (_request, response) =>
    response.writeHead(status, { "content-type": "application/json" }).end(body);

test("a call sends the key, the caller's token and the arguments, on one connection", async (context) => {
  const seen: unknown[] = [];
  let connections = 0;
  const { project, server } = await projectOf(context, async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { apikey, authorization } = request.headers;
    seen.push([request.method, request.url, apikey, authorization, JSON.parse(body)]);
    response.end('{"ok":true}');
  });
  server.on("connection", () => connections++);
  assert.deepEqual(await project.call("judge", { a: 1 }, { bearer: "jwt" }), { ok: true });
  await project.call("judge", { a: 2 });
  assert.deepEqual(seen, [
    ["POST", "/rest/v1/rpc/judge", "sb_publishable_k", "Bearer jwt", { a: 1 }],
    ["POST", "/rest/v1/rpc/judge", "sb_publishable_k", undefined, { a: 2 }],
  ]);
  assert.equal(connections, 1);
});

test("a text with U+0000 or half a character is sent as Postgres can keep it", async (context) => {
  let body = "";
  const { project } = await projectOf(context, async (request, response) => {
    for await (const chunk of request) body += chunk;
    response.end("{}");
  });
  await project.call("keep", { text: "a\0b \ud83d \\u0000", list: [{ inner: "\0" }], n: 1 });
  assert.deepEqual(JSON.parse(body), { text: "ab \ufffd \\u0000", list: [{ inner: "" }], n: 1 });
});

test("a refusal carries the code and the fields of SQL's error", async (context) => {
  const error = { code: "VALIDATION_ERROR", message: "No.", details: '{"name":"must not be empty"}' };
  const { project } = await projectOf(context, answer(400, JSON.stringify(error)));
  await assert.rejects(project.call("x", {}), (thrown) => {
    assert.ok(thrown instanceof ProjectRefusal);
    assert.deepEqual([thrown.status, thrown.code], [400, "VALIDATION_ERROR"]);
    assert.deepEqual(thrown.details, { name: "must not be empty" });
    return true;
  });
});

for (const [what, status, body] of [
  ["a fault of the project", 503, "{}"],
  ["an answer that is no JSON", 200, "<html>"],
] as const) {
  test(`${what} is told as unavailable`, async (context) => {
    const { project } = await projectOf(context, answer(status, body));
    await assert.rejects(project.call("x", {}), ProjectUnavailable);
  });
}

test("a project that is down, or silent, is told as unavailable", async (context) => {
  const { project, server } = await projectOf(context, () => {}, 50);
  await assert.rejects(project.call("x", {}), ProjectUnavailable);
  server.close();
  server.closeAllConnections();
  await once(server, "close");
  await assert.rejects(project.call("x", {}), ProjectUnavailable);
});

test("an aborted call rejects with the signal's reason", async (context) => {
  const { project } = await projectOf(context, () => {});
  const reason = new Error("enough");
  await assert.rejects(project.call("x", {}, { signal: AbortSignal.abort(reason) }), reason);
  const late = new AbortController();
  const call = project.call("x", {}, { signal: late.signal });
  setImmediate(() => late.abort(reason));
  await assert.rejects(call, reason);
});

test("a kept connection that the project closed meanwhile is replaced", async (context) => {
  let calls = 0;
  const { project } = await projectOf(context, (request, response) => {
    calls += 1;
    if (calls === 2) return request.socket.destroy();
    response.end("{}");
  });
  await project.call("x", {});
  assert.deepEqual(await project.call("x", {}), {});
  assert.equal(calls, 3);
});
