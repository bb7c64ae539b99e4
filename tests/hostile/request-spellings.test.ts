// H2: the same request written another way. Either it is refused, or the guard read what the service read.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type RawAnswer, type RawRequest, send } from "../helpers/raw-http.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let forged: string;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [alice, bob] = [await stack.createUser(), await stack.createUser()];
  const [head, payload] = alice.token.split(".") as [string, string];
  forged = `${head}.${payload}.${"A".repeat(43)}`;
});
afterAll(() => stack.stop());

const PASSWORD = "/auth/v1/token?grant_type=password";
const key = (): [string, string] => ["apikey", stack.info.publishableKey];
const someone = () => `user-${randomUUID()}@example.com`;

/** How often the limit of auth requests has counted an address. */
async function counted(email: string): Promise<number> {
  const rows = await stack.sql<{ used: number }>(
    "select used from private.auth_counters where email_digest = private.email_digest($1)",
    [email],
  );
  return rows[0]?.used ?? 0;
}

/** Sends JSON to Auth by hand. */
function post(target: string, body: unknown, more: Partial<RawRequest> = {}): Promise<RawAnswer> {
  const text = typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  return send(stack.info.apiUrl, {
    method: "POST",
    target,
    body: text,
    ...more,
    headers: [key(), ["content-type", "application/json"], ...(more.headers ?? [])],
  });
}

/** Whether Auth itself looked at a password. */
const wasChecked = ({ status, body }: RawAnswer) =>
  status < 300 || /invalid_credentials|invalid_grant/.test(body);

describe("a password guess", () => {
  const TARGETS = [
    "/auth/v1/%74oken?grant_type=password",
    "/auth/v1/token?grant%5ftype=p%61ssword",
    "/auth/v1/./token?grant_type=password",
    "/auth/v1/x/../token?grant_type=password",
    "/auth/v1/x/%2e%2e/token?grant_type=password",
    "//auth/v1/token?grant_type=password",
    "/auth//v1/token?grant_type=password",
    "/auth/v1/token/?grant_type=password",
    "/auth/v1\\token?grant_type=password",
    "/auth/v1/token?grant_type=password#x",
    "/auth/v1/token#?grant_type=password",
    "/auth/v1/token?grant_type=refresh_token&grant_type=password",
    "/auth/v1/token?grant_type=password&grant_type=refresh_token",
    "/auth/v1/%2574oken?grant_type=password",
    "/auth/v1/token%2f?grant_type=password",
    "/Auth/V1/Token?grant_type=password",
    "/auth/v1/token?grant_type=password;x=1",
    "http://localhost/auth/v1/token?grant_type=password",
    PASSWORD,
  ];
  const body = (email: string) => {
    const plain = JSON.stringify({ email, password: "wrong-password" });
    const padded = (bytes: number) =>
      JSON.stringify({ email, password: "wrong-password", data: { x: "y".repeat(bytes) } });
    return {
      plain,
      "byte-order mark": `\ufeff${plain}`,
      "above 64 KiB": padded(70_000),
      "white space before it": `${" ".repeat(70_000)}${plain}`,
      "an escaped name": plain.replace('"email"', '"\\u0065mail"'),
      "a name twice": plain.replace("{", `{"email":"${someone()}",`),
      "a name in another case": plain.replace('"email"', '"Email"'),
      "both cases": plain.replace("{", `{"EMAIL":"${email}",`).replace('"email"', '"decoy"'),
      "upper case": JSON.stringify({ email: email.toUpperCase(), password: "wrong-password" }),
      "spaces around": JSON.stringify({ email: ` ${email}\u00a0`, password: "wrong-password" }),
      "a Kelvin sign": JSON.stringify({ email: email.replace("k", "\u212a"), password: "wrong-password" }),
      "a list": JSON.stringify({ email: [email], password: "wrong-password" }),
      "a NUL": plain.replace("wrong", "wr\\u0000ng"),
      "half a character": plain.replace("wrong", "wr\\ud800ng"),
      UTF16: Buffer.from(plain, "utf16le"),
      "bytes that are no UTF-8": Buffer.concat([
        Buffer.from(plain.slice(0, -2)),
        Buffer.from([0xff]),
        Buffer.from('"}'),
      ]),
    };
  };
  const HEADERS: [string, string][][] = [
    [],
    [["content-type", "text/plain"]],
    [["content-encoding", "gzip"]],
    [["content-encoding", "identity"]],
    [["authorization", "Basic eDp5"]],
    [["X-HTTP-Method-Override", "GET"]],
    [["x-forwarded-host", "evil.example"]],
    [
      ["host", "localhost"],
      ["host", "evil.example"],
    ],
  ];

  test("by 400 generated spellings is refused or counted for its address", async () => {
    let checked = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...TARGETS),
        fc.constantFrom(...Object.keys(body(""))),
        fc.constantFrom(...HEADERS),
        fc.constantFrom("none", "user", "other", "forged"),
        async (target, form, headers, caller) => {
          const email = `k${randomUUID()}@example.com`;
          const token = { none: undefined, user: alice.token, other: bob.token, forged }[caller];
          const names = new Set(headers.map(([name]) => name));
          const plain: [string, string][] = [key()];
          if (!names.has("content-type")) plain.push(["content-type", "application/json"]);
          if (token !== undefined && !names.has("authorization"))
            plain.push(["authorization", `Bearer ${token}`]);
          const answer = await send(stack.info.apiUrl, {
            method: "POST",
            target,
            headers: [...plain, ...headers],
            body: body(email)[form as keyof ReturnType<typeof body>],
          });
          assert.ok(answer.status < 500, `${target} ${form}: ${answer.status} ${answer.body}`);
          if (!wasChecked(answer)) return;
          checked += 1;
          // Of a name twice the last is Auth's; a decoy before it must not be the one that is counted.
          assert.equal(await counted(email), 1, `${target} with ${form} went uncounted`);
        },
      ),
      { numRuns: 400, examples: [[PASSWORD, "plain", [], "none"]] },
    );
    assert.ok(checked > 10, `only ${checked} spellings reached Auth`);
  });

  test("locks the account after five, however they were written", async () => {
    const user = await stack.createUser();
    const wrong = { email: user.email, password: "wrong-password" };
    const answers = [
      await post(PASSWORD, wrong),
      await post("/auth/v1/token?grant%5Ftype=pass%77ord", wrong),
      await post(PASSWORD, { ...wrong, data: { x: "y".repeat(70_000) } }),
      await post(PASSWORD, { ...wrong, email: user.email.toUpperCase() }),
      await post(PASSWORD, `${" ".repeat(70_000)}${JSON.stringify(wrong)}`),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [400, 400, 400, 400, 400],
    );
    const right = await post(PASSWORD, { email: user.email, password: user.password });
    assert.equal(right.status, 429, right.body);
    const other = await post(PASSWORD, { email: bob.email, password: bob.password });
    assert.equal(other.status, 200, "another account is not locked");
  });
});

describe("a guess of a six-digit code", () => {
  test("names one readable address, or is refused with the field and the cure", async () => {
    const email = someone();
    const refused: unknown[] = [
      { type: "email", token: "123456" },
      { type: "email", token: "123456", email: [email] },
      { type: "email", token: "123456", Email: email },
      { type: "email", token: "123456", token_hash: "x", phone: "+4930123456" },
      { type: "email", token: 123456, email },
      `\ufeff${JSON.stringify({ type: "email", token: "123456", email })}`,
    ];
    for (const body of refused) {
      const answer = await post("/auth/v1/verify", body);
      assert.equal(answer.status, 400, answer.body);
      const told = JSON.parse(answer.body) as Record<string, unknown>;
      for (const name of ["error_code", "msg", "field", "hint"])
        assert.equal(typeof told[name], "string", answer.body);
    }
    assert.equal(await counted(email), 0);
    const served = await post("/auth/v1/verify", { type: "email", token: "123456", email });
    assert.ok(served.status >= 400 && served.status < 500);
    assert.equal(await counted(email), 1);
  });
});

describe("a change of every row", () => {
  test("is refused however its missing filter is written", async () => {
    const made = await alice.client
      .from("agents")
      .insert([{ name: "one" }, { name: "two" }])
      .select("id");
    assert.equal(made.error, null);
    for (const target of [
      "/rest/v1/agents",
      "/rest/v1/agents?",
      "/rest/v1/agents?id",
      "/rest/v1/agents?select=id;limit=1",
      "/rest/v1/agents?%73elect=id",
      "/rest/v1/agents?agent_tools.id=eq.1",
      "/rest/v1/agents?agent_tools.or=(id.eq.1)&select=id,agent_tools(id)",
      "/rest/v1/agents/?select=id",
      "/rest/v1//agents?id=neq.x",
      "/rest/v1/%61gents",
      "/rest/v1/x/../agents",
    ]) {
      const answer = await send(stack.info.apiUrl, {
        method: "DELETE",
        target,
        headers: [key(), ["authorization", `Bearer ${alice.token}`]],
      });
      assert.ok(answer.status >= 400 && answer.status < 500, `${target}: ${answer.status} ${answer.body}`);
    }
    const left = await alice.client.from("agents").select("id");
    assert.equal(left.data?.length, 2);
  });
});

describe("what one reader would take for this and another for that", () => {
  const cases: [string, Partial<RawRequest> & { target: string }, number][] = [
    [
      "two Authorization headers",
      {
        target: "/rest/v1/agents",
        headers: [
          ["authorization", "Bearer a"],
          ["authorization", "Bearer b"],
        ],
      },
      400,
    ],
    ["two API keys", { target: "/rest/v1/agents", headers: [["apikey", "sb_secret_x"]] }, 400],
    ["another scheme", { target: "/rest/v1/agents", headers: [["authorization", "Basic eDp5"]] }, 401],
    ["two tokens", { target: "/rest/v1/agents", headers: [["authorization", "Bearer a b"]] }, 401],
    [
      "a compressed body",
      { method: "POST", target: "/rest/v1/agents", headers: [["content-encoding", "gzip"]], body: "x" },
      400,
    ],
    [
      "two content types",
      {
        method: "POST",
        target: "/graphql/v1",
        headers: [
          ["content-type", "a/b"],
          ["Content-Type", "application/json"],
        ],
        body: "{}",
      },
      400,
    ],
    [
      "two hosts",
      {
        target: "/healthz",
        headers: [
          ["host", "localhost"],
          ["Host", "a.agents.localhost"],
        ],
      },
      400,
    ],
    [
      "another transfer coding",
      {
        method: "POST",
        target: "/rest/v1/agents",
        headers: [["transfer-encoding", "gzip, chunked"]],
        body: "0\r\n\r\n",
      },
      400,
    ],
    ["a public path that leads elsewhere", { target: "/storage/v1/object/public/../authenticated/x/y" }, 400],
    [
      "an agent's path with dots",
      { target: "/x/../message", headers: [["host", "a.agents.localhost"]] },
      400,
    ],
  ];
  for (const [name, request, status] of cases) {
    test(`${name}: ${status}, with the field and the cure`, async () => {
      const headers = [key(), ...(request.headers ?? [])];
      const answer = await send(stack.info.apiUrl, { ...request, headers });
      assert.equal(answer.status, status, answer.body);
      assert.ok(answer.body.includes('"hint"') || answer.body.includes('"extensions"'), answer.body);
    });
  }

  test("an escaped slash in a path of Storage makes a name, which is refused", async () => {
    const answer = await send(stack.info.apiUrl, {
      target: "/storage/v1/object/public%2Fx/y",
      headers: [key()],
    });
    assert.equal(answer.status, 400, answer.body);
    assert.match(answer.body, /InvalidBucketName/);
  });

  test("without a key a public path opens reading alone", async () => {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const answer = await send(stack.info.apiUrl, {
        method,
        target: "/storage/v1/object/public/x/y",
        body: "x",
      });
      assert.equal(answer.status, 400, method);
      assert.match(answer.body, /"statusCode":"403"/);
    }
  });
});

describe("an odd method", () => {
  for (const target of [
    "/auth/v1/token",
    "/storage/v1/bucket",
    "/graphql/v1",
    "/rest/v1/agents",
    "/api/agents",
    "/",
    "/realtime/v1/x",
  ]) {
    test(`on ${target}: 405 with what is allowed`, async () => {
      for (const method of ["TRACE", "PROPFIND", "LINK", "PURGE"]) {
        const answer = await send(stack.info.apiUrl, { method, target, headers: [key()] });
        assert.equal(answer.status, 405, `${method}: ${answer.body}`);
        assert.match(answer.headers.allow ?? "", /GET/);
      }
    });
  }

  test("CONNECT: 405", async () => {
    assert.equal(
      (await send(stack.info.apiUrl, { method: "CONNECT", target: "example.com:443" })).status,
      405,
    );
  });
});

describe("a body that the database could not hold", () => {
  const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
  const bearer = (user: TestUser): [string, string] => ["authorization", `Bearer ${user.token}`];
  const requests = (): [string, RawRequest][] => [
    ["metadata nested deeply", { method: "PUT", target: "/auth/v1/user", body: `{"data":${deep(5000)}}` }],
    ["metadata with a NUL", { method: "PUT", target: "/auth/v1/user", body: '{"data":{"a":"\\u0000"}}' }],
    [
      "metadata with half a character",
      { method: "PUT", target: "/auth/v1/user", body: '{"data":{"a":"\\udc00"}}' },
    ],
    ["metadata that is a list", { method: "PUT", target: "/auth/v1/user", body: '{"data":["a"]}' }],
    ["an e-mail that is a list", { method: "PUT", target: "/auth/v1/user", body: '{"email":["x"]}' }],
    [
      "sign-up with an e-mail that is a list",
      { method: "POST", target: "/auth/v1/signup", body: '{"email":["x"],"password":"a-long-password"}' },
    ],
    [
      "sign-up with a password that is an object",
      { method: "POST", target: "/auth/v1/signup", body: '{"email":"x@example.com","password":{}}' },
    ],
    [
      "sign-up by a form",
      {
        method: "POST",
        target: "/auth/v1/signup",
        headers: [["content-type", "application/x-www-form-urlencoded"]],
        body: "email=x",
      },
    ],
    [
      "GraphQL variables nested deeply",
      { method: "POST", target: "/graphql/v1", body: `{"query":"{ __typename }","variables":${deep(5000)}}` },
    ],
    [
      "GraphQL fields nested deeply",
      {
        method: "POST",
        target: "/graphql/v1",
        body: JSON.stringify({ query: `${"{ a ".repeat(1600)}${"}".repeat(1600)}` }),
      },
    ],
    [
      "GraphQL lists nested deeply",
      {
        method: "POST",
        target: "/graphql/v1",
        body: JSON.stringify({
          query: `{ node(nodeId: ${"[".repeat(2000)}${"]".repeat(2000)}) { nodeId } }`,
        }),
      },
    ],
    ["GraphQL text with a NUL", { method: "POST", target: "/graphql/v1", body: '{"query":"{ a \\u0000 }"}' }],
    [
      "GraphQL that is not UTF-8",
      { method: "POST", target: "/graphql/v1", body: Buffer.from([0x7b, 0xff, 0x7d]) },
    ],
    [
      "a list of files, nested deeply",
      { method: "POST", target: "/storage/v1/object/list/x", body: deep(5000) },
    ],
    [
      "a list of files with a NUL",
      { method: "POST", target: "/storage/v1/object/list/x", body: '{"prefix":"\\u0000"}' },
    ],
    ["a list of files that is no JSON", { method: "POST", target: "/storage/v1/object/list/x", body: "{" }],
    [
      "a file's metadata that is no JSON",
      { method: "POST", target: "/storage/v1/object/x/y", headers: [["x-metadata", "e3s="]], body: "x" },
    ],
    [
      "a file's name of 2000 characters",
      { method: "POST", target: `/storage/v1/object/x/${"y".repeat(2000)}`, body: "x" },
    ],
    ["a file's name with a NUL", { method: "POST", target: "/storage/v1/object/x/%00", body: "x" }],
    [
      "rows nested deeply",
      { method: "POST", target: "/rest/v1/agents", body: `{"name":"x","settings":${deep(5000)}}` },
    ],
    ["rows with a NUL", { method: "POST", target: "/rest/v1/agents", body: '{"name":"\\u0000"}' }],
    [
      "rows that are not UTF-8",
      { method: "POST", target: "/rest/v1/agents", body: Buffer.from([0x7b, 0xff, 0x7d]) },
    ],
    ["a launch nested deeply", { method: "POST", target: "/api/agents", body: deep(5000) }],
    ["a launch with a NUL", { method: "POST", target: "/api/agents", body: '{"name":"\\u0000"}' }],
    [
      "a launch that is not UTF-8",
      { method: "POST", target: "/api/agents", body: Buffer.from([0x7b, 0xff, 0x7d]) },
    ],
  ];
  test("is the caller's mistake for users, visitors and forgers alike: never a 5xx", async () => {
    for (const [name, request] of requests()) {
      const typed = request.headers?.some(([header]) => header === "content-type");
      const plain: [string, string][] = typed ? [key()] : [key(), ["content-type", "application/json"]];
      for (const who of [
        [bearer(alice)],
        [bearer(bob)],
        [],
        [["authorization", `Bearer ${forged}`] as const],
      ]) {
        const answer = await send(stack.info.apiUrl, {
          ...request,
          headers: [...plain, ...(request.headers ?? []), ...who],
        });
        const asGraphql =
          request.target === "/graphql/v1" && answer.body.includes('"errors"') && answer.status === 200;
        assert.ok(
          asGraphql || (answer.status >= 400 && answer.status < 500),
          `${name}: ${answer.status} ${answer.body}`,
        );
      }
    }
  });
});
