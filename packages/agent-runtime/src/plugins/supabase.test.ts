// How many rows an update may change, by what PostgREST's versions answer: 12.2 and later judge `max-affected`, earlier ones refuse
// to know it (the stack's own is one, see tests/scenarios/own-plugins.test.ts).
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, it } from "vitest";
import { callTool } from "../abilities/tools/index.ts";
import { openOwnPlugin } from "./own.ts";

interface Answered {
  readonly status: number;
  readonly body?: object;
  readonly range?: string;
}
let answer: (request: IncomingMessage) => Answered;
const asked: string[] = [];
const project = createServer((request, response) => {
  asked.push(`${request.method} ${request.headers.prefer}`);
  const { status, body, range } = answer(request);
  response.writeHead(status, range === undefined ? {} : { "content-range": range });
  response.end(body === undefined ? undefined : JSON.stringify(body));
});
beforeAll(() => once(project.listen(0, "127.0.0.1"), "listening"));
afterAll(() => {
  project.closeAllConnections();
  project.close();
});

async function update(): Promise<string> {
  asked.length = 0;
  const { port } = project.address() as AddressInfo;
  const environment = { SUPABASE_URL: `http://127.0.0.1:${port}`, SUPABASE_ANON_KEY: "sb_publishable_x" };
  const settings = { environment, supabaseProject: undefined, secrets: [] };
  const tool = openOwnPlugin("@elizaos/plugin-supabase", settings)?.tools.find(
    ({ name }) => name === "supabase_update",
  );
  assert.ok(tool);
  const limits = { privateHosts: ["127.0.0.1"], signal: AbortSignal.timeout(5_000) };
  const filters = [{ column: "id", operator: "gt", values: ["0"] }];
  const given = { table: "notes", filters, values: { note: "x" } };
  return (await callTool(tool, given, { limits, search: async () => [] })).text;
}
const STRICT = "PATCH return=minimal, count=exact, handling=strict, max-affected=100";
const PLAIN = "PATCH return=minimal, count=exact";

describe("PostgREST from 12.2 on", () => {
  it("changes rows within the limit in one request", async () => {
    answer = () => ({ status: 204, range: "*/3" });
    assert.equal(await update(), "Changed 3.");
    assert.deepEqual(asked, [STRICT]);
  });

  it("refuses more, and nothing else is tried", async () => {
    answer = () => ({
      status: 400,
      body: { code: "PGRST124", message: "Query result exceeds max-affected" },
    });
    assert.match(await update(), /^HTTP 400\n.*PGRST124/);
    assert.deepEqual(asked, [STRICT]);
  });
});

describe("PostgREST before 12.2", () => {
  const old =
    (counted: Answered) =>
    ({ method, headers }: IncomingMessage): Answered => {
      if (method === "HEAD") return counted;
      if (!String(headers.prefer).includes("strict")) return { status: 204, range: "*/100" };
      return {
        status: 400,
        body: { code: "PGRST122", message: "Invalid preferences given with handling=strict" },
      };
    };

  it("changes rows once they are counted", async () => {
    answer = old({ status: 206, range: "0-0/100" });
    assert.equal(await update(), "Changed 100.");
    assert.deepEqual(asked, [STRICT, "HEAD count=exact", PLAIN]);
  });

  for (const [what, counted, words] of [
    ["too many rows", { status: 206, range: "0-0/101" }, /these filters meet 101 rows; at most 100/i],
    ["rows that cannot be counted", { status: 200, range: "0-0/*" }, /cannot be counted \(HTTP 200\)/],
    ["a count that is refused", { status: 401 }, /cannot be counted \(HTTP 401\)/],
  ] as const) {
    it(`changes nothing for ${what}`, async () => {
      answer = old(counted);
      assert.match(await update(), words);
      assert.deepEqual(asked, [STRICT, "HEAD count=exact"]);
    });
  }
});
