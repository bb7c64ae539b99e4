/** The function as it is deployed: a real Deno process, offline, over a counting upstream. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, it } from "vitest";
import { loggedId } from "../_shared/log.ts";
import { type DenoFunction, startDeno } from "../_shared/testing/deno.ts";
import { tokenFor, Upstream, USER_ID } from "../_shared/testing/upstream.ts";

const upstream = new Upstream();
const authorization = `Bearer ${tokenFor()}`;
const apikey = "sb_publishable_client";
let deno: DenoFunction;

const ask = (path: string, init: RequestInit = {}) => {
  upstream.calls.length = 0;
  return fetch(`${deno.url}${path}`, {
    ...init,
    headers: { authorization, apikey, ...(init.headers as Record<string, string>) },
  });
};

/** A request written piece by piece, as fetch cannot: the server may answer before its end. */
async function stream(
  path: string,
  headers: Record<string, string>,
  pieces: number,
): Promise<IncomingMessage> {
  upstream.calls.length = 0;
  const request = httpRequest(`${deno.url}${path}`, {
    method: "POST",
    headers: { authorization, apikey, ...headers },
  });
  const answered = Promise.withResolvers<IncomingMessage>();
  // The server may close the connection once it has answered.
  request.on("error", (error) => answered.reject(error));
  request.on("response", (response) => answered.resolve(response));
  const piece = Buffer.alloc(64 * 1024, 0x20);
  for (let sent = 0; sent < pieces && !request.destroyed; sent++) request.write(piece);
  if (pieces > 0) request.end();
  else request.flushHeaders();
  const response = await answered.promise;
  response.resume();
  request.destroy();
  return response;
}

describe.each([
  ["by the project's address", false],
  ["by PostgREST's own address", true],
])("the function in Deno that calls %s", (_, direct) => {
  beforeAll(async () => {
    deno = await startDeno(fileURLToPath(new URL("../../../", import.meta.url)), upstream, direct);
  });
  afterAll(() => deno[Symbol.asyncDispose]());

  it("relays a call, one for one", async () => {
    const response = await ask("/api/agents", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": "k" },
      body: '{"agentName":"bot"}',
    });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {
      rpc: "launch_agent",
      args: { definition: { agentName: "bot" } },
    });
    assert.equal(response.headers.get("x-ratelimit-remaining"), "95");
    assert.equal(upstream.calls.length, 1);
    const { headers } = upstream.calls[0]!;
    assert.equal(headers.get("apikey"), apikey);
    assert.equal(headers.get("idempotency-key"), "k");
    assert.equal(headers.get("x-request-id"), response.headers.get("x-request-id"));
  });

  it("keeps its connection to the database", async () => {
    let connections = 0;
    deno.server.on("connection", () => connections++);
    for (let count = 0; count < 20; count++) await (await ask("/api/agents")).arrayBuffer();
    assert.ok(connections <= 1, `${connections} new connections`);
  });

  it("answers eight at once, each with its own", async () => {
    const paths = Array.from({ length: 8 }, (_, index) => `/api/agents/agent-${index}`);
    const answers = await Promise.all(paths.map(async (path) => (await ask(path)).json()));
    assert.deepEqual(
      answers.map(({ args }) => args.agent_id),
      paths.map((path) => path.split("/").at(-1)),
    );
  });

  it("names what is wrong", async () => {
    const response = await ask("/api/agents/agent-1/scale", {
      method: "POST",
      body: '{"replicas":-1,"x":1}',
    });
    assert.equal(response.status, 415, "fetch declares text/plain");
    const json = await ask("/api/agents/agent-1/scale", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"replicas":-1,"x":1}',
    });
    assert.equal(json.status, 400);
    const { error } = (await json.json()) as { error: Record<string, unknown> };
    assert.deepEqual(error.details, { replicas: "Must be a whole number from 0 to 100", x: "Unknown field" });
    assert.equal(error.user_id, USER_ID);
    assert.equal(upstream.calls.length, 1);
  });

  it("refuses a declared and a chunked body above 1 MiB, before its end", async () => {
    const json = { "content-type": "application/json" };
    const declared = await stream("/api/agents", { ...json, "content-length": "10000000" }, 0);
    assert.equal(declared.statusCode, 413);
    assert.equal(upstream.calls.length, 1);
    const chunked = await stream("/api/agents", { ...json, "transfer-encoding": "chunked" }, 20);
    assert.equal(chunked.statusCode, 413);
    assert.equal(upstream.calls.length, 1);
  });

  it("answers 404, 405, HEAD, OPTIONS and the document", async () => {
    assert.equal((await ask("/nothing")).status, 404);
    const wrong = await ask("/api/agents", { method: "PATCH" });
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers.get("allow"), "GET, HEAD, POST, OPTIONS");
    assert.equal((await ask("/api/agents", { method: "HEAD" })).status, 200);
    assert.equal((await ask("/api/agents", { method: "OPTIONS" })).status, 204);
    const document = await ask("/api/openapi.json");
    assert.equal(((await document.json()) as { openapi: string }).openapi, "3.1.1");
    assert.equal(upstream.calls.length, 0);
  });

  it("says so when the database is down, and recovers", async () => {
    const { server } = deno;
    server.closeAllConnections();
    const { port } = server.address() as AddressInfo;
    const closed = once(server, "close");
    server.close();
    await closed;
    assert.equal((await ask("/api/agents")).status, 503);
    await once(server.listen(port, "127.0.0.1"), "listening");
    assert.equal((await ask("/api/agents")).status, 200);
  });

  it("logs a JSON line per request", async () => {
    const response = await ask("/api/agents", { headers: { "x-request-id": "trace-log" } });
    await response.arrayBuffer();
    const { lines } = deno;
    // An id that a caller chose is logged as its digest.
    const logged = await loggedId("trace-log");
    while (!lines.some((line) => line.includes(logged))) await once(deno.process.stdout!, "data");
    const entry = JSON.parse(lines.find((line) => line.includes(logged)) ?? "") as Record<string, unknown>;
    assert.equal(entry.status, 200);
    assert.equal(entry.source, "api");
  });
});
