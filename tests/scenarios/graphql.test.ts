// GraphQL through the gateway: who gets what, the same rows as /rest/v1, introspection, HTTP.
import assert from "node:assert/strict";
import {
  buildClientSchema,
  type GraphQLObjectType,
  type GraphQLSchema,
  getIntrospectionQuery,
  getNamedType,
  isLeafType,
  validateSchema,
} from "graphql";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, forgedToken, launched } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let agentId: string;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  agentId = await launched(stack, alice, { environment: { TOKEN: "sekrit" }, platforms: ["discord"] });
});
afterAll(async () => {
  await api(stack, alice, "POST", "/agents/stop-all");
  await stack.stop();
});

interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the shape follows the query
  data: any;
  errors: { message: string; extensions: { code: string; details?: unknown } }[] | undefined;
}

async function ask(
  caller: TestUser | string | undefined,
  query: string,
  variables?: Record<string, unknown>,
  init: Parameters<TestStack["fetch"]>[1] = {},
): Promise<Answer> {
  const token = typeof caller === "string" ? caller : caller?.token;
  const response = await stack.fetch("/graphql/v1", {
    method: "POST",
    ...(token === undefined ? {} : { token }),
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
    ...init,
  });
  assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
  const { data, errors } = (await response.json()) as Pick<Answer, "data" | "errors">;
  return { status: response.status, headers: response.headers, data, errors };
}

async function schemaOf(caller?: TestUser | string): Promise<GraphQLSchema> {
  const { data, errors } = await ask(caller, getIntrospectionQuery());
  assert.equal(errors, undefined, JSON.stringify(errors));
  return buildClientSchema(data);
}

describe("introspection", () => {
  test("gives a valid schema, by what each caller may do", async () => {
    const mine = await schemaOf(alice);
    assert.deepEqual(validateSchema(mine), []);
    const mutations = Object.keys(mine.getMutationType()?.getFields() ?? {});
    for (const name of [
      "insertIntoAgentsCollection",
      "updateAgentsCollection",
      "deleteFromAgentsCollection",
    ]) {
      assert.ok(mutations.includes(name), name);
    }
    assert.ok(
      !mutations.some((name) => /(AgentEvents|AgentLogs|Quotas)Collection/.test(name)),
      String(mutations),
    );
    assert.ok(mutations.includes("launchAgent"), "what a caller may execute is there, too");
    const secrets = mine.getType("AgentSecrets") as GraphQLObjectType;
    assert.ok(!("vaultId" in secrets.getFields()));

    const anybodys = await schemaOf();
    assert.deepEqual(validateSchema(anybodys), []);
    const changes = Object.keys(anybodys.getMutationType()?.getFields() ?? {});
    assert.ok(!changes.some((name) => /Collection$|^launchAgent$/.test(name)), String(changes));
    const tables = Object.keys(anybodys.getQueryType()?.getFields() ?? {}).filter((name) =>
      /(Collection|ByPk|^node)$/.test(name),
    );
    assert.deepEqual(tables.sort(), [
      "frameworksByPk",
      "frameworksCollection",
      "modelPricesCollection",
      "modelsByPk",
      "modelsCollection",
      "node",
    ]);
  });
});

describe("the same data as /rest/v1", () => {
  const camel = (name: string) =>
    name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  /** A value of REST in GraphQL's form. */
  const shown = (type: string, value: unknown): unknown => {
    if (value === null || value === undefined) return null;
    if (type === "JSON") return typeof value === "string" ? value : JSON.stringify(value);
    return type === "BigInt" || type === "BigFloat" ? String(value) : value;
  };
  const plain = (type: string, value: unknown) =>
    type === "JSON" && typeof value === "string" ? JSON.stringify(JSON.parse(value)) : value;

  test("for every table, the owner's rows are equal, and another user's and nobody's", async () => {
    const schema = await schemaOf(alice);
    const rows = await stack.sql<{ name: string; key: string[] }>(
      `select c.relname as name, array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k (num, n)
         join pg_attribute a on a.attrelid = c.oid and a.attnum = k.num order by k.n) as key
       from pg_class c join pg_index i on i.indrelid = c.oid and i.indisprimary
       where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by 1`,
    );
    let compared = 0;
    for (const { name, key } of rows) {
      const type = schema.getType(camel(`_${name}`)) as GraphQLObjectType | undefined;
      assert.ok(type, `${name} is a type`);
      const fields = Object.values(type.getFields()).filter(
        ({ name: field, type: of }) => field !== "nodeId" && isLeafType(getNamedType(of)),
      );
      const query = `{ ${camel(name)}Collection(first: 30) { edges { node { ${fields.map((field) => field.name).join(" ")} } } } }`;
      for (const caller of [alice, bob, undefined]) {
        const columns = fields.map((field) => field.name);
        const rest = await stack.fetch(`/rest/v1/${name}?select=*&limit=30&order=${key.join(",")}`, {
          ...(caller ? { token: caller.token } : {}),
        });
        const answer = await ask(caller, query);
        if (!rest.ok) {
          // Where nothing may be read both refuse; a column that may not be read makes `select=*` fail, and is not in GraphQL.
          assert.equal(((await rest.json()) as { code: string }).code, "42501", name);
          assert.ok(answer.errors || name.endsWith("secrets"), name);
          continue;
        }
        const expected = ((await rest.json()) as Record<string, unknown>[]).map((row) => {
          const entries = Object.entries(row).map(([column, value]): [string, unknown] => {
            const of = typeOf(type, camel(column));
            return [camel(column), plain(of, shown(of, value))];
          });
          return Object.fromEntries(entries);
        });
        const edges = answer.data[`${camel(name)}Collection`].edges as { node: Record<string, unknown> }[];
        const got: Record<string, unknown>[] = edges.map(({ node }) =>
          Object.fromEntries(columns.map((column) => [column, plain(typeOf(type, column), node[column])])),
        );
        assert.deepEqual(
          sorted(got, columns),
          sorted(expected, columns),
          `${name} for ${caller?.email ?? "nobody"}`,
        );
        compared += got.length;
      }
    }
    assert.ok(compared > 20, `only ${compared} rows were compared`);
  });

  const typeOf = (type: GraphQLObjectType, field: string): string => {
    const found = type.getFields()[field];
    assert.ok(found, `${type.name}.${field}`);
    return String(getNamedType(found.type));
  };
  const sorted = (rows: Record<string, unknown>[], columns: string[]) =>
    rows.map((row) => JSON.stringify(columns.map((column) => row[column] ?? null))).sort();

  test("a change through GraphQL is the change through /rest/v1: rows, events, a new generation", async () => {
    const { data, errors } = await ask(
      alice,
      `mutation ($id: String!) { updateAgentsCollection(set: {systemPrompt: "Be brief."}, filter: {id: {eq: $id}}) { affectedCount records { id systemPrompt status } } }`,
      { id: agentId },
    );
    assert.equal(errors, undefined, JSON.stringify(errors));
    assert.equal(data.updateAgentsCollection.affectedCount, 1);
    const events = await stack.sql<{ event_type: string; actor: string }>(
      "select event_type, actor from public.agent_events where agent_id = $1 and event_type = 'UPDATING'",
      [agentId],
    );
    assert.deepEqual(events, [{ event_type: "UPDATING", actor: `user:${alice.id}` }]);
    const other = await ask(
      bob,
      `mutation ($id: String!) { updateAgentsCollection(set: {systemPrompt: "Obey me."}, filter: {id: {eq: $id}}) { affectedCount } }`,
      { id: agentId },
    );
    assert.equal(other.data.updateAgentsCollection.affectedCount, 0);
    const gone = await ask(bob, "mutation { deleteFromAgentsCollection(atMost: 1000) { affectedCount } }");
    assert.equal(gone.data.deleteFromAgentsCollection.affectedCount, 0);
  });
});

describe("callers", () => {
  const query = "{ agentsCollection { edges { node { id } } } }";

  test("see their own; the secret key sees all; nobody sees nothing", async () => {
    const ids = ({ data }: Answer) =>
      data.agentsCollection.edges.map((edge: { node: { id: string } }) => edge.node.id);
    assert.deepEqual(ids(await ask(alice, query)), [agentId]);
    assert.deepEqual(ids(await ask(bob, query)), []);
    assert.equal((await ask(undefined, query)).errors?.[0]?.extensions.code, "VALIDATION_ERROR");
    const all = await ask(
      undefined,
      `{ agentsCollection(filter: {id: {eq: "${agentId}"}}) { edges { node { id } } } }`,
      undefined,
      { key: stack.info.secretKey },
    );
    assert.deepEqual(ids(all), [agentId]);
  });

  test("with a forged token, a wrong key or none are refused", async () => {
    const forged = await ask(forgedToken(alice), query);
    assert.deepEqual([forged.status, forged.errors?.[0]?.extensions.code], [401, "INVALID_JWT_TOKEN"]);
    assert.equal(forged.data, undefined);
    for (const key of [null, "sb_publishable_wrong"]) {
      const response = await stack.fetch("/graphql/v1", {
        method: "POST",
        key,
        token: alice.token,
        body: JSON.stringify({ query }),
      });
      assert.equal(response.status, 401);
      await response.body?.cancel();
    }
  });
});

describe("over HTTP", () => {
  test("a GET may ask, with variables; it may change nothing", async () => {
    const search = (query: string, variables = {}) =>
      `/graphql/v1?${new URLSearchParams({ query, variables: JSON.stringify(variables) })}`;
    const get = async (path: string, init = {}) => {
      const response = await stack.fetch(path, { token: alice.token, ...init });
      return { status: response.status, body: (await response.json()) as Answer };
    };
    const asked = await get(search("query ($id: String!) { agentsByPk(id: $id) { id } }", { id: agentId }));
    assert.deepEqual([asked.status, asked.body.data], [200, { agentsByPk: { id: agentId } }]);
    const changed = await get(
      search('mutation { insertIntoAgentsCollection(objects: [{name: "x"}]) { affectedCount } }'),
    );
    assert.match(changed.body.errors?.[0]?.message ?? "", /POST/);
    assert.equal((await get("/graphql/v1", { method: "DELETE" })).status, 405);
    assert.equal((await get("/graphql/v1?variables=%7B")).status, 400);
  });

  test("what is no GraphQL request is told so", async () => {
    for (const body of ["", "{", "[]", "null", '{"query": 5}', '{"query": "{ x", "variables": []}']) {
      const { status, errors } = await ask(alice, "", undefined, { body });
      assert.deepEqual([status, errors?.[0]?.extensions.code], [400, "VALIDATION_ERROR"], body);
    }
    const large = await ask(alice, "", undefined, {
      body: JSON.stringify({ query: `{ __typename } #${"x".repeat(1_100_000)}` }),
    });
    assert.equal(large.status, 413);
    const unreadable = await ask(alice, "{ agentsCollection { ");
    assert.deepEqual([unreadable.status, unreadable.errors?.[0]?.extensions.code], [200, "VALIDATION_ERROR"]);
    const named = await ask(alice, "query a { __typename } query b { __typename }", undefined, {
      body: JSON.stringify({
        query: "query a { x: __typename } query b { y: __typename }",
        operationName: "b",
      }),
    });
    assert.deepEqual(named.data, { y: "Query" });
  });

  test("answers carry CORS and what is left of the budget", async () => {
    const { headers } = await ask(alice, "{ __typename }");
    assert.equal(headers.get("access-control-allow-origin"), "*");
    assert.match(headers.get("supabase-ratelimit-remaining") ?? "", /^\d+$/);
  });
});
