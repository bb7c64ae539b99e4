// H9: bodies that are large, many, or never end, sent by whoever reaches the port.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { afterAll, beforeAll, describe, test } from "vitest";
import { tree } from "../helpers/processes.ts";
import { dial, type RawAnswer, send, written } from "../helpers/raw-http.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const MiB = 1024 * 1024;
let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let forged: string;

beforeAll(async () => {
  // A stack of its own: its memory is measured.
  stack = await startTestStack({ args: [] });
  await stack.raiseRateLimits();
  [alice, bob] = [await stack.createUser(), await stack.createUser()];
  forged = `${alice.token.split(".").slice(0, 2).join(".")}.${"A".repeat(43)}`;
});
afterAll(() => stack.stop());

type Header = readonly [name: string, value: string];
const key = (): Header => ["apikey", stack.info.publishableKey];
const bearer = (token: string): Header => ["authorization", `Bearer ${token}`];
const callers = (): Record<string, Header[]> => ({
  "no key": [],
  "a visitor": [key()],
  "a user": [key(), bearer(alice.token)],
  "another user": [key(), bearer(bob.token)],
  "a forged token": [key(), bearer(forged)],
});

/** Begins a request, and gives what comes back on its connection. */
function begin(
  method: string,
  target: string,
  headers: readonly Header[],
): { socket: Socket; text: () => string } {
  const socket = dial(stack.info.apiUrl);
  socket.on("error", () => {});
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  socket.write(written({ method, target, headers: [...headers, ["connection", "keep-alive"]] }));
  return { socket, text: () => text };
}

async function answered({ socket, text }: ReturnType<typeof begin>): Promise<number> {
  while (text() === "") await Promise.race([once(socket, "data"), once(socket, "close")]);
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(text())?.[1]);
}

describe("a body above the limit of its route", () => {
  const ROUTES: [string, string, number][] = [
    ["POST", "/auth/v1/signup", MiB],
    ["PUT", "/auth/v1/user", MiB],
    ["POST", "/auth/v1/token?grant_type=password", MiB],
    ["POST", "/graphql/v1", MiB],
    ["POST", "/realtime/v1/api/broadcast", 5 * MiB],
    ["POST", "/rest/v1/agents", 8 * MiB],
    ["POST", "/rest/v1/rpc/launch_agent", 8 * MiB],
    ["POST", "/api/agents", 8 * MiB],
    ["POST", "/functions/v1/api/agents", 8 * MiB],
    ["POST", "/storage/v1/object/list/x", MiB],
    ["POST", "/nowhere", MiB],
  ];
  for (const [method, target, limit] of ROUTES) {
    test(`${method} ${target}: 413 by its length alone, whoever sends it`, async () => {
      for (const [who, headers] of Object.entries(callers())) {
        const request = begin(method, target, [...headers, ["content-length", String(limit + 1)]]);
        const status = await answered(request);
        request.socket.destroy();
        // Without a key there is no body to judge for those that need one; Storage looks at the token first, and says all
        // that is wrong with it as 400. Each answer comes before the body.
        const early = target.startsWith("/storage") ? 400 : who === "no key" ? 401 : 413;
        assert.ok(status === 413 || status === early, `${who}: ${status}`);
      }
    });
  }

  test("is refused with its code, the field and a cure, in the form of the path", async () => {
    const refusal = async (path: string, bytes: number) => {
      const answer = await stack.fetch(path, { method: "POST", body: Buffer.alloc(bytes, 0x20) });
      return [answer.status, await answer.json()];
    };
    const cure = "Send less at once: docs/limits.md says how much each path takes.";
    const told = { message: "The request body is too large" };
    assert.deepEqual(await refusal("/rest/v1/agents", 8 * MiB + 1), [
      413,
      { code: "PAYLOAD_TOO_LARGE", ...told, details: JSON.stringify({ body: told.message }), hint: cure },
    ]);
    assert.deepEqual(await refusal("/auth/v1/signup", MiB + 1), [
      413,
      { code: 413, error_code: "request_too_large", msg: told.message, field: "body", hint: cure },
    ]);
    assert.deepEqual(await refusal("/graphql/v1", MiB + 1), [
      413,
      {
        errors: [
          {
            message: `${told.message}. ${cure}`,
            extensions: { code: "PAYLOAD_TOO_LARGE", field: "body" },
          },
        ],
      },
    ]);
  });

  test("that does not tell its length: 413 when it is reached", async () => {
    for (const [method, target, limit] of ROUTES.slice(0, 6)) {
      const request = begin(method, target, [key(), bearer(alice.token), ["transfer-encoding", "chunked"]]);
      const chunk = Buffer.alloc(256 * 1024, 0x20);
      for (let sent = 0; sent <= limit + MiB && !request.socket.destroyed; sent += chunk.length) {
        request.socket.write(`${chunk.length.toString(16)}\r\n`);
        if (!request.socket.write(Buffer.concat([chunk, Buffer.from("\r\n")])))
          await Promise.race([once(request.socket, "drain"), once(request.socket, "close")]);
      }
      assert.equal(await answered(request), 413, target);
      request.socket.destroy();
    }
  });
});

for (const target of [
  "/functions/v1/knowledge",
  "/functions/v1/knowledge/embedding",
  "/functions/v1/respond",
]) {
  test(`an unsigned body of ${target} that grows beyond 64 KiB and never ends is 413 at once`, async () => {
    for (const [who, headers] of Object.entries(callers())) {
      const request = begin("POST", target, [...headers, ["transfer-encoding", "chunked"]]);
      const chunk = "x".repeat(80 * 1024);
      request.socket.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
      assert.equal(await answered(request), 413, who);
      request.socket.destroy();
    }
  });
}

describe("a file", () => {
  const upload = async (
    headers: readonly Header[],
    bytes: number,
    target = "/storage/v1/object/none/a.bin",
  ) => {
    const request = begin("POST", target, [...headers, ["content-length", String(bytes)]]);
    const status = await answered(request);
    request.socket.destroy();
    return status;
  };

  test("is refused before its bytes; of more than 512 MiB by its length", async () => {
    const { "no key": nobody, "a visitor": visitor, "a forged token": forger, "a user": user } = callers();
    // Storage's refusals are 400, with the status in the body; the bucket is none, so that it does not wait for the body.
    for (const caller of [nobody!, visitor!, forger!, user!])
      assert.equal(await upload(caller, 6 * MiB), 400);
    assert.equal(await upload(user!, 513 * MiB), 413);
  });

  test("by a link that is not signed is refused before its bytes", async () => {
    const target = "/storage/v1/object/upload/sign/none/a.bin?token=a.b.c";
    const request = begin("PUT", target, [["content-length", String(6 * MiB)]]);
    assert.equal(await answered(request), 400);
    request.socket.destroy();
  });
});

// These wait, and cost nothing: at the same time.
describe.concurrent("a body that never comes", () => {
  test("is waited for 10 s, then told and cut off, while others are served", {
    timeout: 120_000,
  }, async () => {
    const targets = [
      "/auth/v1/signup",
      "/rest/v1/agents",
      "/storage/v1/object/none/a.bin",
      "/api/agents",
      "/graphql/v1",
    ];
    const began = performance.now();
    const stalled = targets.map((target) =>
      begin("POST", target, [key(), bearer(alice.token), ["content-length", "1000"]]),
    );
    for (const { socket } of stalled) socket.write("{");
    assert.equal((await stack.fetch("/rest/v1/agents?select=id", { token: bob.token })).status, 200);
    const statuses = await Promise.all(stalled.map(answered));
    // Storage answers at once that there is no such bucket, or waits like the others.
    for (const [i, status] of statuses.entries())
      assert.ok(status === 408 || targets[i]?.startsWith("/storage"), `${targets[i]}: ${status}`);
    await Promise.all(stalled.map(({ socket }) => socket.destroyed || once(socket, "close")));
    assert.ok(performance.now() - began < 60_000);
  });

  test("half of the headers is waited for 15 s", { timeout: 120_000 }, async () => {
    const socket = dial(stack.info.apiUrl);
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.write("POST /auth/v1/signup HTTP/1.1\r\nhost: localhost\r\n");
    await once(socket, "close");
    assert.match(text, /^HTTP\/1\.1 408 /);
  });
});

describe("a body that does not come", () => {
  test("occupies no more than 256 places of an address, which come back", async () => {
    const waiting = Array.from({ length: 300 }, () =>
      begin("POST", "/rest/v1/agents", [key(), bearer(alice.token), ["content-length", "1000"]]),
    );
    for (const { socket } of waiting) socket.write("{");
    const refused = waiting.slice(256).map(answered);
    assert.deepEqual(new Set(await Promise.all(refused)), new Set([503]));
    assert.equal((await stack.fetch("/rest/v1/agents?select=id", { token: bob.token })).status, 200);
    await Promise.all(
      waiting.map(({ socket }) => {
        socket.destroy();
        return once(socket, "close");
      }),
    );
    const again: RawAnswer = await send(stack.info.apiUrl, {
      method: "POST",
      target: "/rest/v1/agents",
      headers: [key(), bearer(bob.token), ["content-type", "application/json"]],
      body: '{"name":"afterwards"}',
    });
    assert.equal(again.status, 201, again.body);
  });
});

test("a refused body costs nobody else an answer, though PostgREST closes the connection it came on", async () => {
  const post = async (token: string, body: string) => {
    const headers = [key(), bearer(token), ["content-type", "application/json"]] as const;
    return (await send(stack.info.apiUrl, { method: "POST", target: "/rest/v1/agents", headers, body }))
      .status;
  };
  const statuses = new Set<number>();
  for (let round = 0; round < 100; round++) {
    // Now and then PostgREST's 401 is lost with the connection: the forger's own loss.
    assert.ok([401, 503].includes(await post(forged, `{"name":"${"x".repeat(20_000)}"}`)));
    statuses.add(await post(bob.token, "{"));
  }
  assert.deepEqual([...statuses], [400]);
});

describe("many large bodies at once", () => {
  /** A page that several processes share counts once: each server process of Postgres has its buffers in its own VmRSS. */
  const megabytes = () =>
    tree(stack.process?.pid ?? 0)
      .map(({ pid }) => Number(/^Pss:\s+(\d+)/m.exec(safely(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) / 1024)
      .reduce((sum, size) => sum + size, 0);
  const safely = (path: string) => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return ""; // it ended meanwhile
    }
  };

  /** Sends `count` bodies at once; gives the most memory that the stack and its children had meanwhile. */
  async function flood(
    count: number,
    method: string,
    target: string,
    headers: readonly Header[],
    body: Buffer,
  ) {
    let most = megabytes();
    const timer = setInterval(() => {
      most = Math.max(most, megabytes());
    }, 100);
    const statuses = await Promise.all(
      Array.from({ length: count }, () =>
        send(stack.info.apiUrl, { method, target, headers, body }).then(
          ({ status }) => status,
          () => 0,
        ),
      ),
    );
    clearInterval(timer);
    return { most, statuses };
  }

  test("leave the stack's memory bounded", { timeout: 120_000 }, async () => {
    const user = [key(), bearer(alice.token), ["content-type", "application/json"]] as const;
    const pad = (bytes: number) =>
      Buffer.concat([Buffer.from('{"name":"'), Buffer.alloc(bytes, 0x78), Buffer.from('"}')]);
    const form = Buffer.concat([
      Buffer.from('--b\r\ncontent-disposition: form-data; name=""; filename="f"\r\n\r\n'),
      Buffer.alloc(20 * MiB),
      Buffer.from("\r\n--b--\r\n"),
    ]);
    const kinds: [string, number, () => ReturnType<typeof flood>][] = [
      ["sign-ups", 400, () => flood(60, "POST", "/auth/v1/signup", [key()], pad(MiB - 100))],
      ["sign-ups of 40 MiB", 400, () => flood(20, "POST", "/auth/v1/signup", [key()], pad(40 * MiB))],
      ["rows", 400, () => flood(40, "POST", "/rest/v1/agents", user, pad(7 * MiB))],
      ["queries", 400, () => flood(60, "POST", "/graphql/v1", user, pad(MiB - 100))],
      [
        "files in forms",
        400,
        () =>
          flood(
            12,
            "POST",
            "/storage/v1/object/none/a.bin",
            [key(), bearer(alice.token), ["content-type", "multipart/form-data; boundary=b"]],
            form,
          ),
      ],
    ];
    for (const [name, bound, run] of kinds) {
      const before = megabytes();
      const { most, statuses } = await run();
      console.info(
        `${name}: ${before.toFixed(0)} MB before, at most ${most.toFixed(0)} MB; ${count(statuses)}`,
      );
      assert.ok(most - before < bound, `${name}: ${before.toFixed(0)} → ${most.toFixed(0)} MB`);
      assert.ok(
        statuses.every((status) => status === 0 || status === 503 || status < 500),
        count(statuses),
      );
    }
    assert.equal((await stack.fetch("/rest/v1/agents?select=id", { token: bob.token })).status, 200);
  });

  const count = (statuses: number[]) =>
    JSON.stringify(
      Object.fromEntries(Object.entries(Object.groupBy(statuses, String)).map(([k, v]) => [k, v?.length])),
    );
});
