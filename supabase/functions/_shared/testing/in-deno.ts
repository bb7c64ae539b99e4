/** Tests of what only Deno can show: its workers, its crypto and streams, what loads within a function's permissions. `deno task test` runs them. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { isGenuine, signed } from "../../../../packages/agent-runtime/src/signature.ts";
import { routes } from "../../api/routes/index.ts";
import { readPdf } from "../../knowledge/pdf.ts";
import { makePdf } from "../../knowledge/testing/pdf.ts";
import { createApp } from "../app.ts";
import { openApiText } from "../openapi.ts";
import { rpcClient } from "../postgrest.ts";
import { tokenFor, Upstream } from "./upstream.ts";

declare const Deno: { test(name: string, run: () => void | Promise<void>): void };

const upstream = new Upstream();
const app = createApp({
  routes,
  rpc: rpcClient({ restUrl: "http://upstream/rest/v1", direct: false }, { fetch: upstream.fetch }),
  openapi: () => openApiText(routes),
  log: () => {},
});
const ask = async (path: string, init: RequestInit = {}) => {
  upstream.calls.length = 0;
  const headers = { apikey: "sb_publishable_client", "content-type": "application/json", ...init.headers };
  return await app.fetch(new Request(`http://api${path}`, { ...init, headers }));
};

Deno.test("one request is one call, refused or not", async () => {
  const authorization = `Bearer ${tokenFor()}`;
  assert.equal((await ask("/api/agents", { headers: { authorization } })).status, 200);
  assert.equal(upstream.calls.length, 1);
  const wrong = { method: "POST", headers: { authorization }, body: '{"replicas":-1}' };
  assert.equal((await ask("/api/agents/agent-1/scale", wrong)).status, 400);
  assert.equal(upstream.calls.length, 1);
  assert.equal((await ask("/api/agents")).status, 401);
  assert.equal((await ask("/api/agents", { headers: { authorization: "Bearer a.b" } })).status, 401);
});

Deno.test("the OpenAPI document names every route", async () => {
  const { paths } = (await (await ask("/api/openapi.json")).json()) as { paths: object };
  assert.deepEqual(
    routes.map(({ path }) => `/api${path}`).filter((path) => !(path in paths)),
    [],
  );
});

Deno.test("a signed call is genuine; an altered, late or unsigned one is not", () => {
  const secret = "a secret of the platform";
  const body = Buffer.from('{"hint":true}');
  const headers = new Headers(signed(secret, body, 1_000_000));
  assert.ok(isGenuine(secret, headers, body, 1_000_000));
  assert.ok(!isGenuine(secret, headers, Buffer.from('{"hint":1}'), 1_000_000));
  assert.ok(!isGenuine("another secret", headers, body, 1_000_000));
  assert.ok(!isGenuine(secret, headers, body, 2_000_000));
  assert.ok(!isGenuine(secret, new Headers(), body, 1_000_000));
});

Deno.test("a PDF is read in a worker of its own, which ends", async () => {
  assert.deepEqual(await readPdf(makePdf(["Opening hours: nine to five"])), {
    text: "Opening hours: nine to five",
  });
  assert.ok("refused" in (await readPdf(Buffer.from("%PDF-1.4 and then nothing"))));
});

Deno.test("the worker of answers loads within the function's permissions", async () => {
  const { Worker } = await import("../../respond/worker.ts");
  assert.equal(typeof Worker, "function");
});
