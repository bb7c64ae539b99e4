// Every route of every part, walked by each kind of caller; what they are answered stands in route-table.ts.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, forgedToken, launched } from "../helpers/agents.ts";
import { dial, type RawAnswer, type RawRequest, send, written } from "../helpers/raw-http.ts";
import { gatewayPaths, sourceRoutes } from "../helpers/source-routes.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";
import {
  CALLERS,
  type Caller,
  FUNCTIONS,
  OF_FUNCTIONS,
  OF_TABLES,
  ROWS,
  type Row,
  TABLES,
} from "./route-table.ts";

const MiB = 1024 * 1024;
/** A word that stands in everything of Alice's; nobody else may be sent it. */
const WORD = `planted-${randomUUID()}`;

let stack: TestStack;
let alice: TestUser;
let agentId: string;
let key: { id: string; key: string };
let relations: string[];
let functions: { name: string; arguments: string[] }[];

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  alice = await stack.createUser();
  agentId = await launched(stack, alice, { agentName: WORD, description: WORD });
  const service = stack.client(stack.info.secretKey);
  const file = await service.storage
    .from("agent-assets")
    .upload(`${agentId}/note.txt`, WORD, { contentType: "text/plain" });
  assert.equal(file.error, null);
  const made = await api(stack, alice, "POST", `/agents/${agentId}/keys`, { name: WORD });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  key = made.body as { id: string; key: string };
  assert.equal(
    (await stack.fetch(`/api/agents/${agentId}/keys/${key.id}`, { method: "DELETE", token: alice.token }))
      .status,
    204,
  );
  relations = (
    await stack.sql<{ name: string }>(
      "select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') order by 1",
    )
  ).map(({ name }) => name);
  functions = await stack.sql<{ name: string; arguments: string[] }>(
    `select distinct on (p.proname) p.proname as name,
       coalesce((select array_agg(a.name order by a.i) from unnest(p.proargnames) with ordinality a (name, i)
         where a.i <= p.pronargs - p.pronargdefaults), '{}') as arguments
     from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prorettype <> 'trigger'::regtype order by 1`,
  );
});
afterAll(() => stack.stop());

/** The path of a pattern, with Alice's things in its places. */
function concrete({ part, path }: Pick<Row, "part" | "path">): string {
  const named = path
    .replace("{agentId}", agentId)
    .replace("{keyId}", key.id)
    .replace(/\{\w+\}/, randomUUID())
    .replace(/:bucket/, "agent-assets");
  if (part === "storage") return `/storage/v1${named.replace("*", `${agentId}/note.txt`)}`;
  if (part === "auth") return `/auth/v1${named}`;
  if (part === "realtime") return `/realtime/v1${named.replaceAll("*", `agent:${agentId}`)}`;
  return part === "function" ? `/functions/v1${named}` : named;
}

let stranger: TestUser | undefined;

async function headersOf(caller: Caller): Promise<[string, string][]> {
  const apikey: [string, string] = ["apikey", stack.info.publishableKey];
  if (caller === "nothing") return [];
  if (caller === "visitor") return [apikey];
  stranger ??= await stack.createUser();
  const tokens = {
    foreign: stranger.token,
    large: stranger.token,
    forged: forgedToken(alice),
    revoked: key.key,
  };
  return [apikey, ["authorization", `Bearer ${tokens[caller]}`]];
}

async function walk(row: Row, caller: Caller, asked: Partial<RawRequest> = {}): Promise<RawAnswer> {
  const { part, method } = row;
  const headers = await headersOf(caller);
  if (part === "runtime") headers.push(["host", `${agentId}.agents.localhost`]);
  const target = asked.target ?? concrete(row);
  const url = part === "controller" ? stack.info.controllerUrl : stack.info.apiUrl;
  if (method === "WS") return await handshake(target, headers);
  const takesBody = method !== "GET" && method !== "HEAD";
  const types: [string, string][] = takesBody ? [["content-type", "application/json"]] : [];
  if (caller === "large") return await tooLarge(url, { method, target, headers: [...headers, ...types] });
  const body = takesBody ? String(row.body ?? asked.body ?? "{}").replaceAll("{agentId}", agentId) : "";
  return await send(url, { method, target, headers: [...headers, ...types], body });
}

/** Says that a body of 600 MiB follows: more than any route takes. The controller counts what really comes. */
async function tooLarge(url: string, { method, target, headers = [] }: RawRequest): Promise<RawAnswer> {
  const socket = dial(url);
  socket.on("error", () => {});
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const length: [string, string] = ["content-length", String(600 * MiB)];
  socket.write(written({ method: method ?? "GET", target, headers: [...headers, length] }));
  if (url === stack.info.controllerUrl) socket.write(Buffer.alloc(70_000, 0x20));
  while (!/^HTTP\/1\.1 \d{3}/.test(text)) await Promise.race([once(socket, "data"), once(socket, "close")]);
  socket.destroy();
  return { status: Number(text.slice(9, 12)), headers: {}, body: text };
}

async function handshake(target: string, headers: [string, string][]): Promise<RawAnswer> {
  const socket = dial(stack.info.apiUrl);
  socket.on("error", () => {});
  const upgrade: [string, string][] = [
    ["connection", "Upgrade"],
    ["upgrade", "websocket"],
    ["sec-websocket-version", "13"],
    ["sec-websocket-key", Buffer.alloc(16).toString("base64")],
  ];
  socket.write(written({ target, headers: [...headers, ...upgrade] }));
  const [data] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return { status: Number(String(data).slice(9, 12)), headers: {}, body: String(data) };
}

/** Walks rows as each caller; gives each answer that the table does not have. */
async function surprises(rows: readonly { row: Row; asked?: Partial<RawRequest> }[]): Promise<string[]> {
  const found: string[] = [];
  for (const { row, asked } of rows) {
    const actual: number[] = [];
    // What Auth does to a session would spoil the next walk.
    if (row.part === "auth") stranger = undefined;
    for (const [i, caller] of CALLERS.entries()) {
      const expected = row.answers[i];
      if (expected === null) {
        actual.push(0);
        continue;
      }
      const { status, body } = await walk(row, caller, asked);
      actual.push(status);
      if (body.includes(WORD))
        found.push(`${row.part} ${row.method} ${row.path} sends ${caller} what is Alice's`);
      if (status >= 500 && status !== expected)
        found.push(`${row.part} ${row.method} ${row.path}: ${caller} ${body}`);
    }
    const same = row.answers.every(
      (one, i) => one === null || (Array.isArray(one) ? one : [one]).includes(actual[i]!),
    );
    if (!same) found.push(`["${row.part}", "${row.method}", "${row.path}", ${JSON.stringify(actual)}]`);
  }
  return found;
}

describe("the table", () => {
  test("has a row for every route of every part, and no other", () => {
    const rows = ROWS.map(({ part, method, path }) => `${part} ${method} ${path}`).filter(
      (row) => !row.startsWith("gateway "),
    );
    assert.deepEqual(rows.toSorted(), sourceRoutes().toSorted());
  });

  test("has a row below every path that the gateway routes", () => {
    const paths = ROWS.filter(({ part }) => part !== "runtime" && part !== "controller").map((row) =>
      concrete(row),
    );
    for (const routed of gatewayPaths())
      assert.ok(
        paths.some((path) => path.startsWith(routed)),
        routed,
      );
  });

  test("has every table and function of the public schema", () => {
    assert.deepEqual(relations, Object.values(TABLES).flat().toSorted());
    assert.deepEqual(
      functions.map(({ name }) => name),
      Object.values(FUNCTIONS).flat().toSorted(),
    );
  });
});

describe(`each route answers ${CALLERS.join(", ")} as the table says`, () => {
  const of = (part: Row["part"]) => ROWS.filter((row) => row.part === part).map((row) => ({ row }));
  for (const part of new Set(ROWS.map((row) => row.part)))
    test(part, async () => assert.deepEqual(await surprises(of(part)), []));

  test("runtime, below /agents on the gateway", async () => {
    const rows = of("runtime").map(({ row }) => ({
      row: { ...row, part: "gateway" as const },
      asked: { target: `/agents/${agentId}${row.path}` },
    }));
    assert.deepEqual(await surprises(rows), []);
  });

  test("tables", async () => {
    const rows = Object.entries(TABLES).flatMap(([kind, names]) =>
      names.map((name) => ({
        row: {
          part: "rest" as const,
          method: "GET",
          path: `/rest/v1/${name}`,
          answers: OF_TABLES[kind as keyof typeof TABLES],
        },
      })),
    );
    assert.deepEqual(await surprises(rows), []);
  });

  test("functions of the database", async () => {
    const rows = Object.entries(FUNCTIONS).flatMap(([kind, names]) =>
      names.map((name) => {
        const takes = functions.find((one) => one.name === name)?.arguments ?? [];
        const body = Object.fromEntries(takes.map((one) => [one, /agent/.test(one) ? agentId : null]));
        const answers = OF_FUNCTIONS[kind as keyof typeof FUNCTIONS];
        const row = { part: "rest" as const, method: "POST", path: `/rest/v1/rpc/${name}`, answers };
        return { row, asked: { body: JSON.stringify(body) } };
      }),
    );
    assert.deepEqual(await surprises(rows), []);
  });
});

test("and everything of Alice's is as it was", async () => {
  const mine = (path: string) => api(stack, alice, "GET", path);
  const agent = (await mine(`/agents/${agentId}`)).body;
  assert.equal(agent.agentName ?? agent.name, WORD);
  assert.equal((await mine(`/agents/${agentId}/status`)).body.status, "DEPLOYED");
  assert.equal((await mine("/agents")).body.total, 1);
  assert.equal((await mine(`/agents/${agentId}/keys`)).body.total, 1);
  const file = await stack
    .client(stack.info.secretKey)
    .storage.from("agent-assets")
    .download(`${agentId}/note.txt`);
  assert.equal(await file.data?.text(), WORD);
});
