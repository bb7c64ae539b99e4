// A banned account on the running stack: what its token and its sessions still open, door by door.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let mallory: TestUser;
let bob: TestUser;
let agentId: string;

const json = { "content-type": "application/json" };
const send = (path: string, body?: unknown, token = mallory.token, method = "POST") =>
  stack.fetch(path, {
    token,
    method: body === undefined ? "GET" : method,
    headers: json,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
const ban = (until: string) =>
  stack.sql("update auth.users set banned_until = $2 where id = $1", [mallory.id, until]);

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [mallory, bob] = [await stack.createUser(), await stack.createUser()];
  const { data } = await mallory.client.from("agents").insert({ name: "mallory's" }).select("id").single();
  agentId = data?.id;
  await mallory.client.storage
    .from("agent-assets")
    .upload(`${agentId}/a.txt`, new Blob(["x"], { type: "text/plain" }));
  await ban("2999-01-01");
});
afterAll(() => stack.stop());

/** A status is what a banned caller gets, and what another user gets for the same request with an id of their own. */
const doors: [string, (token: string) => Promise<Response>, number[]][] = [
  ["the API", (token) => send("/api/agents", undefined, token), [403]],
  ["launching an agent", (token) => send("/api/agents", { agentName: "x" }, token), [403]],
  ["the function", (token) => send("/functions/v1/api/agents", undefined, token), [403]],
  ["a table", (token) => send("/rest/v1/agents?select=id", undefined, token), [403]],
  [
    "a table without permission",
    (token) => send("/rest/v1/profiles?select=username", undefined, token),
    [403],
  ],
  ["a row to be written", (token) => send("/rest/v1/agents", { name: "x" }, token), [403]],
  ["an RPC", (token) => send("/rest/v1/rpc/get_profile", {}, token), [403]],
  ["health", (token) => send("/rest/v1/rpc/health_check", {}, token), [403]],
  [
    "GraphQL",
    (token) => send("/graphql/v1", { query: "{ agentsCollection { edges { node { id } } } }" }, token),
    [403],
  ],
];

describe("a banned account", () => {
  test("neither reads nor changes itself at Auth; with a forged token nobody learns of the ban", async () => {
    const put = (token: string) =>
      stack.fetch("/auth/v1/user", {
        method: "PUT",
        token,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ data: { changed: true }, password: "another-password-9" }),
      });
    const told = async (answer: Response) => [answer.status, (await answer.json()).error_code];
    assert.deepEqual(await told(await put(mallory.token)), [403, "user_banned"]);
    assert.deepEqual(await told(await stack.fetch("/auth/v1/user", { token: mallory.token })), [
      403,
      "user_banned",
    ]);
    assert.notEqual((await told(await put(forgedToken(mallory))))[1], "user_banned");
    const [row] = await stack.sql("select raw_user_meta_data from auth.users where id = $1", [mallory.id]);
    assert.equal(row?.raw_user_meta_data.changed, undefined);
    assert.ok((await stack.fetch("/auth/v1/user", { token: bob.token })).ok);
  });

  for (const [door, ask, wanted] of doors) {
    test(`is refused by ${door}, and another user is not`, async () => {
      const answer = await ask(mallory.token);
      const text = await answer.text();
      assert.ok(wanted.includes(answer.status), `${answer.status} ${text}`);
      assert.match(text, /banned/);
      assert.ok((await ask(bob.token)).ok, door);
    });
  }

  test("finds no file of its own in Storage and can add none", async () => {
    const files = mallory.client.storage.from("agent-assets");
    assert.ok((await files.download(`${agentId}/a.txt`)).error);
    assert.deepEqual((await files.list(agentId)).data ?? [], []);
    assert.ok((await files.upload(`${agentId}/b.txt`, new Blob(["x"], { type: "text/plain" }))).error);
  });

  test("cannot join a private channel", async () => {
    const channel = mallory.client.channel(`user:${mallory.id}`, { config: { private: true } });
    const { promise, resolve } = Promise.withResolvers<string>();
    channel.subscribe((status) => {
      if (status !== "CLOSED") resolve(status);
    });
    assert.equal(await promise, "CHANNEL_ERROR");
    await mallory.client.removeAllChannels();
  });

  test("gets no new session and refreshes none", async () => {
    const token = async (grant: string, body: unknown) => {
      const answer = await send(`/auth/v1/token?grant_type=${grant}`, body);
      return [answer.status, (await answer.json()).error_code];
    };
    const { email, password, refreshToken } = mallory;
    assert.deepEqual(await token("password", { email, password }), [400, "user_banned"]);
    assert.deepEqual(await token("refresh_token", { refresh_token: refreshToken }), [400, "user_banned"]);
  });

  test("is itself again when the ban is lifted, with the session it had", async () => {
    await ban("2000-01-01");
    try {
      const { data, error } = await mallory.client.auth.refreshSession({
        refresh_token: mallory.refreshToken,
      });
      assert.equal(error, null);
      assert.equal((await send("/api/agents", undefined, data.session?.access_token)).status, 200);
    } finally {
      await ban("2999-01-01");
    }
  });
});

test("a soft-deleted account is refused as one that is gone, at every door", async () => {
  const carol = await stack.createUser();
  await stack.sql("update auth.users set deleted_at = now() where id = $1", [carol.id]);
  for (const [door, ask] of doors) {
    const answer = await ask(carol.token);
    assert.equal(answer.status, 401, `${door}: ${answer.status} ${await answer.text()}`);
  }
  const { error } = await stack
    .client()
    .auth.signInWithPassword({ email: carol.email, password: carol.password });
  assert.equal(error?.code, "invalid_credentials");
  assert.ok((await stack.client().auth.refreshSession({ refresh_token: carol.refreshToken })).error);
});
