// H1: what a user counts is theirs. The planner's estimates know the rows of all users, so no door tells them: not REST in any
// spelling of the header, not an execution plan, not GraphQL, not the catalogue's statistics.
import assert from "node:assert/strict";
import { request } from "node:http";
import { afterAll, beforeAll, describe, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

/** Rows of the victim, far more than the other user's one. */
const MANY = 300;

let stack: TestStack;
let hostile: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  const [user, victim] = await Promise.all([stack.createUser(), stack.createUser()]);
  hostile = user;
  const { error } = await hostile.client.from("agents").insert({ name: "mine" });
  assert.equal(error, null);
  await stack.sql("update public.quotas set max_agents = 1000 where user_id = $1", [victim.id]);
  await stack.sql(
    "insert into public.agents (user_id, name) select $1, 'secret project' from generate_series(1, $2)",
    [victim.id, MANY],
  );
  await stack.sql("analyze public.agents");
});
afterAll(() => stack.stop());

interface Answer {
  status: number;
  range: string;
  text: string;
}

/** A request with its headers as they stand, several of one name included. */
function raw(
  path: string,
  headers: string[],
  { method = "GET", token = hostile.token } = {},
): Promise<Answer> {
  const url = new URL(stack.info.apiUrl + path);
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const all = ["host", url.host, "apikey", stack.info.publishableKey, "authorization", `Bearer ${token}`];
  const asked = request(
    {
      host: url.hostname,
      port: url.port,
      path: url.pathname + url.search,
      method,
      headers: [...all, ...headers],
    },
    async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      resolve({ status: response.statusCode ?? 0, range: response.headers["content-range"] ?? "", text });
    },
  );
  asked.on("error", reject);
  asked.end();
  return promise;
}

const PATHS = [
  "/rest/v1/agents?select=id",
  "/rest/v1/agents?select=id&name=eq.secret%20project",
  "/rest/v1/agents?select=id,agent_tools(id)&limit=1",
  "/rest/v1/profiles?select=user_id",
];
const SPELLINGS: Record<string, string[]> = {
  planned: ["Prefer", "count=planned"],
  estimated: ["Prefer", "count=estimated"],
  "lower case, one of a list": ["prefer", "return=minimal,  count=planned , timezone=UTC"],
  "two headers": ["Prefer", "count=planned", "Prefer", "return=minimal"],
  "two headers, the other way": ["Prefer", "return=minimal", "prefer", "count=planned"],
};

describe("an estimated count", () => {
  for (const path of PATHS) {
    for (const [spelling, headers] of Object.entries(SPELLINGS)) {
      for (const method of ["GET", "HEAD"]) {
        test(`${method} ${path}, ${spelling}: 400, and no total`, async () => {
          const { status, range, text } = await raw(path, headers, { method });
          assert.equal(status, 400, text);
          assert.doesNotMatch(range, /\/\d/);
          if (method === "GET") {
            assert.match(JSON.parse(text).details, /use count=exact/);
            assert.equal(JSON.parse(text).code, "VALIDATION_ERROR");
          }
        });
      }
    }
  }

  test("of many rows in answer to estimated, two headers: an exact one or none", async () => {
    // PostgREST counts exactly up to its row limit and asks the planner beyond.
    const { status, range } = await raw("/rest/v1/agents?select=id", [
      ...["Prefer", "count=estimated", "Prefer", "return=minimal"],
    ]);
    assert.ok(status === 400 || range === "0-0/1", `${status} ${range}`);
  });

  test("by RPC and by anon is refused the same way; a forged token is not known at all", async () => {
    const headers = ["Prefer", "count=planned", "content-type", "application/json"];
    assert.equal((await raw("/rest/v1/rpc/list_agents", headers, { method: "POST" })).status, 400);
    assert.equal((await raw("/rest/v1/rpc/health_check", headers)).status, 400);
    const anon = await stack.fetch("/rest/v1/models", { headers: { prefer: "count=estimated" } });
    assert.equal(anon.status, 400);
    const forged = await raw(PATHS[0] as string, headers, { token: forgedToken(hostile) });
    assert.equal(forged.status, 401);
  });

  test("exact counts rows of the caller; the secret key may still estimate", async () => {
    const { status, range } = await raw("/rest/v1/agents?select=id", ["Prefer", "count=exact"]);
    assert.deepEqual([status, range], [200, "0-0/1"]);
    const service = await stack.fetch("/rest/v1/agents?select=id&limit=1", {
      key: stack.info.secretKey,
      headers: { prefer: "count=planned" },
    });
    assert.ok(service.ok);
  });
});

test("an execution plan is refused", async () => {
  for (const accept of [
    "application/vnd.pgrst.plan",
    "application/vnd.pgrst.plan+json; options=analyze|verbose",
  ]) {
    for (const headers of [
      ["accept", accept],
      ["accept", accept, "accept", "application/json"],
    ]) {
      const { status, text } = await raw("/rest/v1/agents?select=id", headers);
      assert.ok(status >= 400 || !/Plan|cost/.test(text), `${status} ${text}`);
    }
  }
});

test("GraphQL counts the caller's rows", async () => {
  const query = `{ agentsCollection(filter: {name: {eq: "secret project"}}) { totalCount } all: agentsCollection { totalCount } }`;
  const answer = await stack.fetch("/graphql/v1", {
    method: "POST",
    token: hostile.token,
    headers: { "content-type": "application/json", prefer: "count=exact" },
    body: JSON.stringify({ query }),
  });
  assert.deepEqual(await answer.json(), {
    data: { agentsCollection: { totalCount: 0 }, all: { totalCount: 1 } },
  });
});

test("statistics of the catalogue are behind no door", async () => {
  const views = ["pg_stats", "pg_class", "pg_stat_user_tables", "pg_statistic", "pg_stat_statements"];
  for (const view of views) {
    assert.equal((await raw(`/rest/v1/${view}`, [])).status, 404, view);
    for (const schema of ["pg_catalog", "extensions", "private"]) {
      assert.equal(
        (await raw(`/rest/v1/${view}`, ["accept-profile", schema])).status,
        406,
        `${schema}.${view}`,
      );
    }
  }
  const answer = await stack.fetch("/graphql/v1", {
    method: "POST",
    token: hostile.token,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: "{ __schema { queryType { fields { name } } } }" }),
  });
  assert.doesNotMatch(await answer.text(), /"pg_?[sS]tat/);
});
