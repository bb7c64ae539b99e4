// The embedded stack's GraphQL on a real database: pages, filters, changes, limits, and what cannot be injected.
import assert from "node:assert/strict";
import {
  buildClientSchema,
  type GraphQLInputObjectType,
  type GraphQLObjectType,
  getIntrospectionQuery,
  getNamedType,
  isLeafType,
} from "graphql";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type Answered, Engine } from "../../packages/local-supabase/src/graphql/engine.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { allowPlugins, createUnlimitedDatabase, createUser } from "../helpers/sql-api.ts";

let db: TestDatabase;
let pool: pg.Pool;
let engine: Engine;
let alice: string;
let bob: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await allowPlugins(db);
  pool = new pg.Pool({ connectionString: db.url("authenticator"), max: 4 });
  engine = new Engine(pool);
  [alice, bob] = [await createUser(db), await createUser(db)];
  const { errors } = (
    await ask(
      alice,
      `mutation ($objects: [AgentsInsertInput!]!) { insertIntoAgentsCollection(objects: $objects) { affectedCount } }`,
      {
        objects: ["ada", "bob", "cid", "dee", "eve"].map((name, i) => ({
          name,
          role: i < 2 ? null : `role ${i % 2}`,
          plugins: i === 0 ? ["a", "b"] : [],
          maxTokensPerDay: i === 4 ? "999999999" : null,
        })),
      },
    )
  ).body;
  assert.equal(errors, undefined, JSON.stringify(errors));
});
afterAll(async () => {
  await pool.end();
  await db.destroy();
});

type Who = string | "anon" | "service_role";

function ask(
  who: Who,
  query: string,
  variables?: Record<string, unknown>,
  more: object = {},
): Promise<Answered> {
  const role = who === "anon" || who === "service_role" ? who : "authenticated";
  const claims = role === "authenticated" ? { role, sub: who } : { role };
  const identity = { role, sub: undefined, claims, json: JSON.stringify(claims), expiresAt: undefined };
  return engine.answer(
    { identity, headers: {} },
    { query, variables, operationName: undefined, mayChange: true, ...more },
  );
}

// biome-ignore lint/suspicious/noExplicitAny: the shape follows the query
async function data(who: Who, query: string, variables?: Record<string, unknown>): Promise<any> {
  const { status, body } = await ask(who, query, variables);
  assert.equal(body.errors, undefined, JSON.stringify(body.errors));
  assert.equal(status, 200);
  return JSON.parse(JSON.stringify(body.data)); // as it goes over the wire
}

async function refusal(who: Who, query: string, variables?: Record<string, unknown>, more: object = {}) {
  const { body, status } = await ask(who, query, variables, more);
  const [error] = (body.errors ?? []) as { message: string; extensions: { code: string } }[];
  assert.ok(error, `not refused: ${JSON.stringify(body)}`);
  return { status, code: error.extensions.code, message: error.message, data: body.data };
}

const names = async (args: string, who: Who = alice): Promise<string> => {
  const { agentsCollection } = await data(who, `{ agentsCollection${args} { edges { node { name } } } }`);
  return agentsCollection.edges.map((edge: { node: { name: string } }) => edge.node.name).join(" ");
};

describe("pages", () => {
  const page = async (args: string) => {
    const { agentsCollection: c } = await data(
      alice,
      `{ agentsCollection(${args}) { edges { cursor node { name } }
         pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`,
    );
    return {
      names: c.edges.map((edge: { node: { name: string } }) => edge.node.name).join(" "),
      next: c.pageInfo.hasNextPage,
      previous: c.pageInfo.hasPreviousPage,
      start: c.pageInfo.startCursor,
      end: c.pageInfo.endCursor,
      cursors: c.edges.map((edge: { cursor: string }) => edge.cursor),
    };
  };

  for (const [order, all] of [
    ["[{name: AscNullsLast}]", "ada bob cid dee eve"],
    ["[{name: DescNullsFirst}]", "eve dee cid bob ada"],
    ["[{role: AscNullsFirst}, {name: DescNullsLast}]", "bob ada eve cid dee"],
    ["[{role: AscNullsLast}, {name: AscNullsLast}]", "cid eve dee ada bob"],
    ["[{role: DescNullsFirst}, {name: AscNullsLast}]", "ada bob dee cid eve"],
    ["[{role: DescNullsLast}, {name: AscNullsLast}]", "dee cid eve ada bob"],
    ["[{maxTokensPerDay: AscNullsLast}, {name: AscNullsLast}]", "eve ada bob cid dee"],
  ] as const) {
    test(`forwards and backwards by ${order}`, async () => {
      const wanted = all.split(" ");
      let after = "";
      for (let at = 0; at < 5; at += 2) {
        const got = await page(`orderBy: ${order}, first: 2${after}`);
        assert.equal(got.names, wanted.slice(at, at + 2).join(" "));
        assert.deepEqual([got.next, got.previous], [at + 2 < 5, at > 0], `at ${at}`);
        assert.deepEqual([got.start, got.end], [got.cursors[0], got.cursors.at(-1)]);
        after = `, after: "${got.end}"`;
      }
      let before = "";
      for (let at = 5; at > 0; at -= 2) {
        const got = await page(`orderBy: ${order}, last: 2${before}`);
        assert.equal(got.names, wanted.slice(Math.max(0, at - 2), at).join(" "));
        assert.deepEqual([got.next, got.previous], [at < 5, at - 2 > 0], `before ${at}`);
        before = `, before: "${got.start}"`;
      }
    });
  }

  test("by offset; an empty one says so", async () => {
    const order = "orderBy: [{name: AscNullsLast}]";
    const second = await page(`${order}, first: 2, offset: 2`);
    assert.deepEqual([second.names, second.next, second.previous], ["cid dee", true, true]);
    const beyond = await page(`${order}, first: 2, offset: 9`);
    assert.deepEqual([beyond.names, beyond.next, beyond.previous, beyond.start], ["", false, true, null]);
    const none = await page(`filter: {name: {eq: "nobody"}}`);
    assert.deepEqual([none.names, none.next, none.previous, none.end], ["", false, false, null]);
  });

  test("refuse what contradicts itself, and cursors of elsewhere", async () => {
    for (const args of [
      "first: 1, last: 1",
      'first: 1, before: "WzFd"',
      'last: 1, after: "WzFd"',
      "last: 1, offset: 1",
      "first: -1",
      'after: "nonsense"',
      'after: "WzFd", orderBy: [{name: AscNullsLast}]',
      "orderBy: [{name: AscNullsLast, role: AscNullsLast}]",
      "first: 1.5",
    ]) {
      assert.equal(
        (await refusal(alice, `{ agentsCollection(${args}) { edges { cursor } } }`)).code,
        "VALIDATION_ERROR",
        args,
      );
    }
  });

  test("count all rows where the table's comment says so", async () => {
    const { agentsCollection } = await data(
      alice,
      `{ agentsCollection(first: 1, filter: {name: {neq: "ada"}}) { totalCount edges { node { name } } } }`,
    );
    assert.deepEqual([agentsCollection.totalCount, agentsCollection.edges.length], [4, 1]);
    assert.equal((await refusal(alice, "{ agentLogsCollection { totalCount } }")).code, "VALIDATION_ERROR");
  });

  test("are one answer whatever is asked of them, over many rows and over none", async () => {
    for (const [filter, totalCount] of [
      ["{}", 5],
      ['{name: {eq: "nobody"}}', 0],
    ] as const) {
      const page = `agentsCollection(filter: ${filter})`;
      assert.deepEqual((await data(alice, `{ ${page} { totalCount } }`)).agentsCollection, { totalCount });
      assert.deepEqual((await data(alice, `{ ${page} { __typename } }`)).agentsCollection, {
        __typename: "AgentsConnection",
      });
      assert.deepEqual(
        (await data(alice, `{ ${page} { pageInfo { hasPreviousPage } } }`)).agentsCollection.pageInfo,
        { hasPreviousPage: false },
      );
    }
    const { frameworksCollection } = await data(
      alice,
      "{ frameworksCollection { edges { node { modelsCollection { pageInfo { hasPreviousPage } } } } } }",
    );
    assert.ok(frameworksCollection.edges.length > 1);
  });
});

describe("filters", () => {
  for (const [filter, wanted] of [
    ['{name: {eq: "ada"}}', "ada"],
    ['{name: {neq: "ada"}}', "bob cid dee eve"],
    ['{name: {gt: "bob", lte: "dee"}}', "cid dee"],
    ['{name: {gte: "bob"}, role: {is: NULL}}', "bob"],
    ["{role: {is: NOT_NULL}}", "cid dee eve"],
    ['{name: {in: ["ada", "eve", "nobody"]}}', "ada eve"],
    ["{name: {in: []}}", ""],
    ['{name: {like: "%b%"}}', "bob"],
    ['{name: {ilike: "A%"}}', "ada"],
    ['{name: {startsWith: "d"}}', "dee"],
    ['{name: {startsWith: "%"}}', ""],
    ['{name: {regex: "^(a|e)"}}', "ada eve"],
    ['{name: {iregex: "^E"}}', "eve"],
    ['{plugins: {contains: ["a"]}}', "ada"],
    ['{plugins: {contains: "a"}}', "ada"],
    ['{plugins: {overlaps: ["b", "x"]}}', "ada"],
    ['{plugins: {containedBy: ["a"]}}', "bob cid dee eve"],
    ['{plugins: {eq: ["a", "b"]}}', "ada"],
    ['{or: [{name: {eq: "ada"}}, {name: {eq: "bob"}}]}', "ada bob"],
    ['{and: [{name: {gt: "ada"}}, {or: [{name: {eq: "bob"}}, {name: {eq: "ada"}}]}]}', "bob"],
    ['{not: {name: {in: ["ada", "bob"]}}}', "cid dee eve"],
    ["{and: [], or: [], not: {}}", "ada bob cid dee eve"],
    ['{maxTokensPerDay: {eq: "999999999"}}', "eve"],
    ["{maxTokensPerDay: {gt: 999999998}}", "eve"],
    ['{createdAt: {lt: "2000-01-01T00:00:00Z"}}', ""],
    ["{replicas: {gte: 1}}", "ada bob cid dee eve"],
  ] as const) {
    test(filter, async () => {
      assert.equal(await names(`(filter: ${filter}, orderBy: [{name: AscNullsLast}])`), wanted);
    });
  }

  test("by nodeId, through node and by primary key", async () => {
    const { agentsCollection } = await data(
      alice,
      `{ agentsCollection(filter: {name: {eq: "ada"}}) { edges { node { nodeId id } } } }`,
    );
    const { nodeId, id } = agentsCollection.edges[0].node;
    assert.deepEqual(JSON.parse(Buffer.from(nodeId, "base64").toString()), ["public", "agents", id]);
    assert.equal(await names(`(filter: {nodeId: {eq: "${nodeId}"}})`), "ada");
    const query = `query ($nodeId: ID!, $id: String!) {
      node(nodeId: $nodeId) { __typename nodeId ... on Agents { name } ...more ... on Tools { id } }
      agentsByPk(id: $id) { name }
      nobody: agentsByPk(id: "nobody") { name }
      modelsByPk(framework: "openai", name: "gpt-4o") { name frameworks { name defaultModelEntry { name } } }
    }
    fragment more on Agents { again: name plugins }`;
    assert.deepEqual(await data(alice, query, { nodeId, id }), {
      node: { __typename: "Agents", nodeId, name: "ada", again: "ada", plugins: ["a", "b"] },
      agentsByPk: { name: "ada" },
      nobody: null,
      modelsByPk: {
        name: "gpt-4o",
        frameworks: { name: "openai", defaultModelEntry: { name: "gpt-6-luna" } },
      },
    });
    assert.deepEqual(await data(bob, "query ($id: ID!) { node(nodeId: $id) { nodeId } }", { id: nodeId }), {
      node: null,
    });
    assert.equal((await refusal(alice, `{ node(nodeId: "WyJ4Il0=") { nodeId } }`)).code, "VALIDATION_ERROR");
    const vault = Buffer.from('["vault","secrets","1"]').toString("base64");
    assert.equal((await refusal(alice, `{ node(nodeId: "${vault}") { nodeId } }`)).code, "VALIDATION_ERROR");
  });

  test("take values of the right kind alone", async () => {
    for (const filter of [
      '{userId: {eq: "x"}}',
      "{name: {eq: 5}}",
      '{replicas: {eq: "x"}}',
      '{createdAt: {gt: "yesterdayish"}}',
      '{settings: {eq: "{}"}}',
      '{name: {regex: "("}}',
    ]) {
      assert.equal(
        (await refusal(alice, `{ agentsCollection(filter: ${filter}) { edges { cursor } } }`)).code,
        "VALIDATION_ERROR",
        filter,
      );
    }
  });
});

describe("values", () => {
  test("have pg_graphql's forms", async () => {
    const { agentsCollection } = await data(
      alice,
      `{ agentsCollection(filter: {name: {eq: "eve"}}) { edges { node {
        userId plugins settings resources replicas maxTokensPerDay createdAt deletedAt } } } }`,
    );
    const { node } = agentsCollection.edges[0];
    assert.equal(node.userId, alice);
    assert.deepEqual(JSON.parse(node.resources), { memory: "512Mi", cpu: "250m" });
    assert.deepEqual(
      [node.settings, node.replicas, node.maxTokensPerDay, node.deletedAt],
      ["{}", 1, "999999999", null],
    );
    assert.match(node.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00$/);
  });

  test("follow foreign keys both ways, with arguments of their own, in one statement a field", async () => {
    await data(
      alice,
      `mutation { a: insertIntoSwarmsCollection(objects: [{name: "s"}]) { records { id } } }`,
    );
    const swarm = (await data(alice, "{ swarmsCollection { edges { node { id } } } }")).swarmsCollection
      .edges[0].node.id;
    await db.pool.query(
      "insert into public.swarm_agents (swarm_id, agent_id, user_id) select $1, a.id, a.user_id from public.agents a where a.user_id = $2",
      [swarm, alice],
    );
    const { swarmsCollection } = await data(
      alice,
      `{ swarmsCollection { edges { node { name
          first: swarmAgentsCollection(first: 2) { edges { node { agentId } } pageInfo { hasNextPage } }
          swarmAgentsCollection(orderBy: [{agentId: DescNullsLast}]) { edges { node {
            agent { name swarmAgentsCollection { edges { node { swarm { name } } } } } } } } } } } }`,
    );
    const { node } = swarmsCollection.edges[0];
    assert.deepEqual([node.first.edges.length, node.first.pageInfo.hasNextPage], [2, true]);
    assert.equal(node.swarmAgentsCollection.edges.length, 5);
    for (const edge of node.swarmAgentsCollection.edges) {
      assert.deepEqual(edge.node.agent.swarmAgentsCollection.edges, [{ node: { swarm: { name: "s" } } }]);
    }
  });

  test("answer aliases, fragments, directives and many fields as GraphQL does", async () => {
    const many = Array.from({ length: 120 }, (_, i) => `f${i}: name`).join(" ");
    const answer = await data(
      alice,
      `query ($no: Boolean = false) { x: agentsCollection(first: 1, orderBy: [{name: AscNullsLast}]) { ...c edges { node { ${many} id @include(if: $no) role @skip(if: true) } } } }
       fragment c on AgentsConnection { __typename edges { __typename node { __typename ...n } } }
       fragment n on Node { nodeId ... on Agents { name } }`,
    );
    const { node } = answer.x.edges[0];
    assert.deepEqual([node.f0, node.f119, node.name, node.__typename], ["ada", "ada", "ada", "Agents"]);
    assert.deepEqual(
      [answer.x.__typename, answer.x.edges[0].__typename, "id" in node, "role" in node],
      ["AgentsConnection", "AgentsEdge", false, false],
    );
  });
});

describe("changes", () => {
  const insert = (name: string, who = bob) =>
    data(
      who,
      "mutation ($name: String) { insertIntoAgentsCollection(objects: [{name: $name}]) { records { id } } }",
      { name },
    );

  test("insert, update and delete what the caller's policies allow, and tell of it", async () => {
    const made = await data(
      bob,
      `mutation { insertIntoAgentsCollection(objects: [{name: "one", settings: "{\\"temperature\\": 1}"}, {name: "two", role: "r"}]) {
        affectedCount records { name role settings userId frameworks { name } } } }`,
    );
    assert.deepEqual(made.insertIntoAgentsCollection, {
      affectedCount: 2,
      records: [
        {
          name: "one",
          role: null,
          settings: '{"temperature": 1}',
          userId: bob,
          frameworks: { name: "openai" },
        },
        { name: "two", role: "r", settings: "{}", userId: bob, frameworks: { name: "openai" } },
      ],
    });
    const changed = await data(
      bob,
      `mutation { updateAgentsCollection(set: {description: "d", role: null}, filter: {name: {in: ["one", "two", "ada"]}}, atMost: 9) { affectedCount records { description role } } }`,
    );
    assert.deepEqual(changed.updateAgentsCollection.affectedCount, 2, "Alice's ada is not Bob's");
    const gone = await data(
      bob,
      `mutation { deleteFromAgentsCollection(filter: {name: {eq: "one"}}) { affectedCount records { name description } } }`,
    );
    assert.deepEqual(gone.deleteFromAgentsCollection, {
      affectedCount: 1,
      records: [{ name: "one", description: "d" }],
    });
    assert.equal(await names(`(filter: {name: {eq: "ada"}})`), "ada");
  });

  test("stop at atMost, and a request is done as a whole or not at all", async () => {
    await insert("p");
    await insert("q");
    const all = () => names("(orderBy: [{name: AscNullsLast}])", bob);
    const before = await all();
    const beyond = await refusal(
      bob,
      `mutation { updateAgentsCollection(set: {name: "z"}, filter: {name: {in: ["p", "q"]}}) { affectedCount } }`,
    );
    assert.deepEqual(
      [beyond.status, beyond.data, beyond.message],
      [200, null, "update impacts too many records"],
    );
    await refusal(bob, `mutation { deleteFromAgentsCollection(atMost: 1) { affectedCount } }`);
    const second = await refusal(
      bob,
      `mutation { first: insertIntoAgentsCollection(objects: [{name: "r"}]) { affectedCount }
        second: insertIntoAgentsCollection(objects: [{name: ""}]) { affectedCount } }`,
    );
    assert.deepEqual([second.code, second.data], ["VALIDATION_ERROR", null]);
    assert.equal(await all(), before);
  });

  test("meet the same rules as /rest/v1, told by the same codes", async () => {
    const object = (fields: string) =>
      `mutation { insertIntoAgentsCollection(objects: [${fields}]) { affectedCount } }`;
    assert.equal((await refusal(bob, object('{name: "x", framework: "none"}'))).code, "INVALID_FRAMEWORK");
    assert.equal((await refusal(bob, object(`{name: "x", userId: "${alice}"}`))).code, "RLS_ACCESS_DENIED");
    assert.equal(
      (await refusal(bob, object('{id: "mine", name: "x"}'))).code,
      "VALIDATION_ERROR",
      "a column that may not be written is not there",
    );
    for (const settings of ['"not json"', "{temperature: 1}"]) {
      const { code, message } = await refusal(bob, object(`{name: "x", settings: ${settings}}`));
      assert.equal(code, "VALIDATION_ERROR");
      assert.match(message, /must be a string that holds a JSON document, such as "\{/);
    }
    assert.equal(
      (await refusal(bob, `mutation { insertIntoAgentEventsCollection(objects: []) { affectedCount } }`))
        .code,
      "VALIDATION_ERROR",
    );
    assert.equal(
      (await refusal(bob, `mutation { insertIntoAgentsCollection(objects: []) { affectedCount } }`)).code,
      "VALIDATION_ERROR",
    );
    assert.equal(
      (await refusal(bob, `mutation { updateAgentsCollection(set: {}) { affectedCount } }`)).code,
      "VALIDATION_ERROR",
    );
    assert.equal(
      (await refusal("anon", "{ agentsCollection { edges { cursor } } }")).code,
      "VALIDATION_ERROR",
    );
    assert.equal((await refusal("anon", object('{name: "x"}'))).code, "VALIDATION_ERROR");
    const carol = await createUser(db);
    await db.pool.query("delete from public.user_permissions where user_id = $1", [carol]);
    assert.equal((await refusal(carol, object('{name: "x"}'))).code, "PERMISSION_DENIED");
    assert.deepEqual(await data(carol, "{ agentsCollection { edges { cursor } } }"), {
      agentsCollection: { edges: [] },
    });
  });

  test("are not made by a query, nor by a request that may not change anything", async () => {
    const mutation = `mutation { insertIntoAgentsCollection(objects: [{name: "x"}]) { affectedCount } }`;
    assert.equal(
      (await refusal(bob, mutation, undefined, { mayChange: false })).message,
      "Mutations must be sent by POST",
    );
  });

  test("count against the caller's budget, also where they are refused", async () => {
    const dave = await createUser(db);
    const used = async () =>
      (
        await db.pool.query(
          "select used from private.rate_counters where user_id = $1 and bucket = 'rest_writes'",
          [dave],
        )
      ).rows[0]?.used;
    await insert("d", dave);
    await data(dave, "{ agentsCollection { edges { cursor } } }");
    await refusal(dave, "{ nonsense }");
    await refusal(dave, `mutation { insertIntoAgentsCollection(objects: [{name: ""}]) { affectedCount } }`);
    assert.equal(await used(), 4);
    await db.pool.query("update public.rate_limits set max_requests = 4 where bucket = 'rest_writes'");
    try {
      const { status, headers, body } = await ask(dave, "{ agentsCollection { edges { cursor } } }");
      assert.equal(status, 429);
      assert.ok(Number(headers["Retry-After"]) >= 1);
      assert.deepEqual(
        (body.errors as { extensions: { code: string } }[])[0]?.extensions.code,
        "RATE_LIMIT_EXCEEDED",
      );
    } finally {
      await db.pool.query("update public.rate_limits set max_requests = 1000000");
    }
  });
});

describe("nothing is injected", () => {
  const evil = [
    "'; drop table public.agents; --",
    "$1",
    '"',
    "\\",
    "\\'; select 1; --",
    "%s",
    "\u202e",
    "{}",
    "null",
  ];

  test("by filters, cursors, ids and new values", async () => {
    for (const text of evil) {
      const cursor = Buffer.from(JSON.stringify([text, text])).toString("base64");
      const node = Buffer.from(JSON.stringify(["public", "agents", text])).toString("base64");
      const answer = await data(
        alice,
        `query ($text: String!, $cursor: Cursor, $node: ID!) {
          a: agentsCollection(filter: {or: [{name: {eq: $text}}, {name: {startsWith: $text}}, {name: {in: [$text]}}, {plugins: {contains: [$text]}}]}) { edges { cursor } }
          b: agentsCollection(orderBy: [{name: AscNullsLast}], after: $cursor) { edges { cursor } }
          c: node(nodeId: $node) { nodeId }
          d: agentsByPk(id: $text) { id }
        }`,
        { text, cursor, node },
      );
      assert.deepEqual([answer.a.edges.length, answer.c, answer.d], [0, null, null], text);
    }
    for (const each of evil) {
      const text = `n${each}`; // a name may not be invisible
      const made = await data(
        bob,
        "mutation ($text: String) { insertIntoAgentsCollection(objects: [{name: $text, description: $text}]) { records { name description } } }",
        { text },
      );
      assert.deepEqual(made.insertIntoAgentsCollection.records, [{ name: text, description: text }]);
    }
  });
});

describe("limits", () => {
  test("refuse documents that ask for too much, before the database is asked", async () => {
    let deep = "{ edges { node { agentId } } }";
    for (let i = 0; i < 6; i++)
      deep = `{ edges { node { agent { swarmAgentsCollection(first: 1) ${deep} } } } }`;
    const cases: [string, RegExp][] = [
      [`{ swarmAgentsCollection(first: 1) ${deep} }`, /below each other/],
      [
        "{ swarmAgentsCollection { edges { node { agent { swarmAgentsCollection { edges { node { agent { swarmAgentsCollection { edges { node { agent { swarmAgentsCollection { edges { node { agentId } } } } } } } } } } } } } } } }",
        /rows/,
      ],
      [`{ ${"agentsCollection { edges { cursor } } ".repeat(2000)} }`, /[Tt]oken/],
      [
        `{ ${Array.from({ length: 700 }, (_, i) => `a${i}: __typename`).join(" ")} ${Array.from({ length: 700 }, (_, i) => `b${i}: agentsCollection(first: 1) { edges { cursor } }`).join(" ")} }`,
        /fields|[Tt]oken/,
      ],
    ];
    for (const [query, message] of cases) {
      const refused = await refusal(alice, query);
      assert.equal(refused.code, "VALIDATION_ERROR");
      assert.match(refused.message, message);
    }
  });

  test("a bomb of fragments ends in time", async () => {
    const fragments = Array.from(
      { length: 30 },
      (
        _,
        i,
      ) => `fragment f${i} on Agents { a${i}: swarmAgentsCollection(first: 1) { edges { node { agent { ...f${i + 1} } } } }
        b${i}: swarmAgentsCollection(first: 1) { edges { node { agent { ...f${i + 1} } } } } }`,
    );
    const started = performance.now();
    const refused = await refusal(
      alice,
      `{ agentsCollection(first: 1) { edges { node { ...f0 } } } } ${fragments.join("\n")} fragment f30 on Agents { id }`,
    );
    assert.match(refused.message, /too much|Token/);
    assert.ok(performance.now() - started < 15_000, `${performance.now() - started} ms`);
  });

  test("a page has at most the schema's number of rows", async () => {
    await db.pool.query(
      "insert into public.agent_logs (agent_id, user_id, timestamp, level, message, source, replica, sequence) select 'x', $1, now(), 'INFO', 'm', 's', 'r', n from generate_series(1, 150) n",
      [alice],
    );
    for (const args of ["", "(first: 1000)", "(last: 1000)"]) {
      const { agentLogsCollection: c } = await data(
        alice,
        `{ agentLogsCollection${args} { edges { cursor } pageInfo { hasNextPage hasPreviousPage } } }`,
      );
      assert.deepEqual([c.edges.length, c.pageInfo.hasNextPage || c.pageInfo.hasPreviousPage], [30, true]);
    }
  });
});

describe("the schema", () => {
  test("has no field, filter, order or key that SQL refuses, for any table and role", async () => {
    const samples: Record<string, string> = {
      Int: "1",
      Float: "1.5",
      String: '"x"',
      Boolean: "true",
      BigInt: '"1"',
      BigFloat: '"1.5"',
      Date: '"2026-01-02"',
      Datetime: '"2026-01-02T03:04:05Z"',
      UUID: '"00000000-0000-4000-8000-000000000001"',
      Opaque: '"10.0.0.1"',
      FilterIs: "NULL",
    };
    let asked = 0;
    for (const who of ["anon", alice, "service_role"]) {
      const schema = buildClientSchema(await data(who, getIntrospectionQuery()));
      for (const field of Object.values(schema.getQueryType()?.getFields() ?? {})) {
        if (!field.name.endsWith("Collection")) continue;
        const table = getNamedType(field.type).name.replace(/Connection$/, "");
        const object = schema.getType(table) as GraphQLObjectType;
        const rows = Object.values(object.getFields()).map(({ name, type }) => {
          const of = getNamedType(type);
          if (isLeafType(of)) return name;
          return of.name.endsWith("Connection")
            ? `${name}(first: 1) { edges { cursor } }`
            : `${name} { nodeId }`;
        });
        const page = `{ edges { cursor node { ${rows.join(" ")} } } pageInfo { hasPreviousPage hasNextPage startCursor endCursor } }`;
        const parts: string[] = [`x0: ${field.name} ${page}`];
        const add = (args: string) =>
          parts.push(`x${parts.length}: ${field.name}(${args}, first: 1) { edges { cursor } }`);
        for (const { name } of Object.values(
          (schema.getType(`${table}OrderBy`) as GraphQLInputObjectType).getFields(),
        )) {
          for (const direction of ["AscNullsFirst", "DescNullsLast"])
            add(`orderBy: [{${name}: ${direction}}]`);
        }
        for (const { name, type } of Object.values(
          (schema.getType(`${table}Filter`) as GraphQLInputObjectType).getFields(),
        )) {
          const filter = getNamedType(type) as GraphQLInputObjectType;
          if (["and", "or", "not", "nodeId"].includes(name)) continue;
          for (const operator of Object.values(filter.getFields())) {
            const sample = samples[getNamedType(operator.type).name];
            assert.ok(sample, `no sample of ${operator.type}`);
            add(`filter: {${name}: {${operator.name}: ${sample}}}`);
          }
        }
        for (let at = 0; at < parts.length; at += 60)
          await data(who, `{ ${parts.slice(at, at + 60).join("\n")} }`);
        asked += parts.length;
      }
    }
    assert.ok(asked > 1000, `only ${asked} fields were asked for`);
  });

  test("follows the database within seconds, by role", async () => {
    await db.pool.query(
      `create table public.notes (id uuid primary key default gen_random_uuid(), the_text text not null, amount numeric, on_day date, at_time time, ip inet, counts bigint[]);
       alter table public.notes enable row level security;
       create policy "all" on public.notes for all to authenticated using (true) with check (true);
       grant select, insert on public.notes to authenticated`,
    );
    const deadline = Date.now() + 60_000;
    for (;;) {
      const { body } = await ask(alice, "{ notesCollection { edges { cursor } } }");
      if (!body.errors) break;
      assert.ok(Date.now() < deadline, JSON.stringify(body.errors));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const made = await data(
      alice,
      `mutation { insertIntoNotesCollection(objects: [{theText: "t", amount: "1.50", onDay: "2026-01-02", atTime: "10:30:00", ip: "10.0.0.1", counts: ["9007199254740993"]}]) {
        records { theText amount onDay atTime ip counts } } }`,
    );
    assert.deepEqual(made.insertIntoNotesCollection.records, [
      {
        theText: "t",
        amount: "1.50",
        onDay: "2026-01-02",
        atTime: "10:30:00",
        ip: "10.0.0.1",
        counts: ["9007199254740993"],
      },
    ]);
    assert.equal(
      (await refusal(alice, "mutation { deleteFromNotesCollection { affectedCount } }")).code,
      "VALIDATION_ERROR",
    );
    assert.equal(
      (await refusal("anon", "{ notesCollection { edges { cursor } } }")).code,
      "VALIDATION_ERROR",
    );
    await db.pool.query("drop table public.notes");
  });

  test("is shown to those who ask only where the schema's comment says so", async () => {
    assert.ok((await data("anon", "{ __schema { queryType { name } } }")).__schema);
    const { rows } = await db.pool.query(
      "select obj_description('public'::regnamespace, 'pg_namespace') as comment",
    );
    await db.pool.query(`comment on schema public is '@graphql({"inflect_names": true})'`);
    const fresh = new Engine(pool);
    const identity = {
      role: "anon",
      sub: undefined,
      claims: {},
      json: '{"role":"anon"}',
      expiresAt: undefined,
    };
    const { body } = await fresh.answer(
      { identity, headers: {} },
      {
        query: "{ __schema { queryType { name } } }",
        variables: undefined,
        operationName: undefined,
        mayChange: true,
      },
    );
    assert.ok(body.errors);
    await db.pool.query(`comment on schema public is ${pg.escapeLiteral(rows[0].comment)}`);
  });
});
