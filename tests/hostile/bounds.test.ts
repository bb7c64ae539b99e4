// What one user may make the project keep: sizes and numbers, tried over HTTP by a user, a second one, an anonymous caller and a
// forged token. tests/integration/bounds.test.ts covers every column and table.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "vitest";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let mallory: TestUser;
let bob: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [mallory, bob] = [await stack.createUser(), await stack.createUser()];
});
afterAll(() => stack.stop());

const large = "x".repeat(20_000);

describe("user_metadata", () => {
  test("of a sign-up is refused with its size and a cure", async () => {
    const { error } = await stack.client().auth.signUp({
      email: `large-${randomUUID()}@example.com`,
      password: "a-password",
      options: { data: { large } },
    });
    assert.deepEqual([error?.status, error?.code], [400, "validation_failed"]);
    assert.match(error?.message ?? "", /user_metadata: Must be at most 16 KiB of JSON; store larger data/);
  });

  test("of an update is refused the same way, by Auth and by the profile", async () => {
    const { error } = await mallory.client.auth.updateUser({ data: { large } });
    assert.deepEqual([error?.status, error?.code], [400, "validation_failed"]);
    assert.equal((await mallory.client.auth.updateUser({ data: { small: "x".repeat(15_000) } })).error, null);
    const answer = await stack.fetch("/api/users/profile", {
      method: "PUT",
      token: mallory.token,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ user_metadata: { avatar_url: `https://x.example/${"y".repeat(1900)}` } }),
    });
    const body = await answer.json();
    assert.equal(answer.status, 400, JSON.stringify(body));
    assert.ok("user_metadata" in body.error.details, JSON.stringify(body));
    await mallory.client.auth.updateUser({ data: { small: null } });
  });
});

describe("rows", () => {
  const tool = (name: string) => ({
    name,
    description: "d",
    implementation: { type: "http", url: "https://x.example" },
  });

  test("beyond the quota are refused by REST and GraphQL; another user's are not", async () => {
    await stack.sql("update public.row_quotas set max_rows = 1 where relation = 'tools'");
    try {
      assert.equal((await mallory.client.from("tools").insert(tool("one"))).error, null);
      const { error, status } = await mallory.client.from("tools").insert(tool("two"));
      assert.deepEqual([status, error?.code], [429, "RESOURCE_LIMIT_EXCEEDED"]);
      assert.deepEqual(JSON.parse(error?.details ?? ""), { quota: "tools.max_rows", limit: 1, requested: 2 });
      const many = await mallory.client.from("tools").insert([tool("three"), tool("four")]);
      assert.equal(many.status, 429);
      const answer = await stack.fetch("/graphql/v1", {
        method: "POST",
        token: mallory.token,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          query: `mutation { insertIntoToolsCollection(objects: [{ name: "five", description: "d", implementation: "{\\"type\\": \\"http\\", \\"url\\": \\"https://x.example\\"}" }]) { affectedCount } }`,
        }),
      });
      assert.match(await answer.text(), /RESOURCE_LIMIT_EXCEEDED/);
      assert.equal((await bob.client.from("tools").insert(tool("one"))).error, null);
      const { data } = await mallory.client.from("tools").select("name").not("user_id", "is", null);
      assert.deepEqual(data, [{ name: "one" }]);
    } finally {
      await stack.sql("update public.row_quotas set max_rows = 500 where relation = 'tools'");
    }
  });

  test("for another user, by nobody, or with a forged token are not counted and not written", async () => {
    const before = await stack.sql("select * from private.row_counts where user_id = $1", [bob.id]);
    const body = JSON.stringify({ ...tool("planted"), user_id: bob.id });
    const headers = { "content-type": "application/json" };
    for (const token of [mallory.token, undefined, `${bob.token.slice(0, -6)}AAAAAA`]) {
      const init = { method: "POST", headers, body };
      const answer = await stack.fetch("/rest/v1/tools", token === undefined ? init : { ...init, token });
      assert.ok([401, 403].includes(answer.status), String(answer.status));
    }
    assert.deepEqual(
      await stack.sql("select * from private.row_counts where user_id = $1", [bob.id]),
      before,
    );
  });

  test("a stop sequence of megabytes is refused with its field", async () => {
    const answer = await stack.fetch("/api/agents", {
      method: "POST",
      token: mallory.token,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ agentName: "x", settings: { stop: ["x".repeat(500_000)] } }),
    });
    assert.equal(answer.status, 400);
    assert.ok("settings.stop.0" in (await answer.json()).error.details);
  });
});
