// H7: a pattern that a user stores runs in the function of all tenants. One that is costly by its form is refused when it is
// stored, by every door; what is stored runs in an engine of linear time (agent-runtime/src/abilities/tools/arguments.test.ts).
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let hostile: TestUser;
let victim: TestUser;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [hostile, victim] = await Promise.all([stack.createUser(), stack.createUser()]);
});
afterAll(() => stack.stop());

const tool = (schema: object) => ({
  name: `t${Math.random()}`.slice(0, 20),
  description: "A tool.",
  input_schema: { type: "object", ...schema },
  implementation: { type: "http", url: "https://api.example.com/" },
});
const rest = (row: object, token = hostile.token) =>
  stack.fetch("/rest/v1/tools", {
    method: "POST",
    token,
    headers: { "content-type": "application/json", prefer: "return=representation" },
    body: JSON.stringify(row),
  });

/** Costly by form; harmless on any text. */
const COSTLY = "(ab)+";

for (const [place, schema] of Object.entries({
  "a property": { properties: { x: { type: "string", pattern: COSTLY } } },
  "items deep inside": {
    properties: { x: { type: "array", items: { type: "object", properties: { y: { pattern: COSTLY } } } } },
  },
  "one of several": {
    properties: { x: { anyOf: [{ type: "number" }, { type: "string", pattern: COSTLY }] } },
  },
  "a definition": { $defs: { y: { type: "string", pattern: COSTLY } }, properties: {} },
  "names of properties": { propertyNames: { pattern: COSTLY } },
  patternProperties: { patternProperties: { a: {} } },
  "many repetitions": { properties: { x: { pattern: "a+b+c+d+" } } },
  "options of an expression": { properties: { x: { pattern: "(?i)a" } } },
})) {
  describe(`a costly pattern in ${place} is refused`, () => {
    test("by REST, new or changed", async () => {
      const made = await rest(tool(schema));
      assert.equal(made.status, 400);
      const body = (await made.json()) as { code: string; details: string };
      assert.equal(body.code, "VALIDATION_ERROR");
      assert.ok("input_schema" in JSON.parse(body.details));
      const [calm] = (await (await rest(tool({ properties: { x: { pattern: "^a+$" } } }))).json()) as {
        id: string;
      }[];
      const changed = await hostile.client
        .from("tools")
        .update({ input_schema: tool(schema).input_schema })
        .eq("id", calm?.id)
        .select();
      assert.equal(changed.error?.code, "VALIDATION_ERROR");
    });

    test("by GraphQL", async () => {
      const row = tool(schema);
      const answer = await stack.fetch("/graphql/v1", {
        method: "POST",
        token: hostile.token,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          query: `mutation ($name: String, $schema: JSON, $implementation: JSON) {
            insertIntoToolsCollection(objects: [{name: $name, description: "A tool.", inputSchema: $schema, implementation: $implementation}]) { affectedCount }
          }`,
          variables: {
            name: row.name,
            schema: JSON.stringify(row.input_schema),
            implementation: JSON.stringify(row.implementation),
          },
        }),
      });
      const { errors } = (await answer.json()) as { errors: { extensions: { code: string } }[] };
      assert.equal(errors[0]?.extensions.code, "VALIDATION_ERROR");
    });
  });
}

test("a calm one is stored for its owner alone; without a genuine token none is", async () => {
  const row = tool({ properties: { x: { type: "string", pattern: "^[^@ ]+@[^@ ]+$" } } });
  assert.equal((await rest(row)).status, 201);
  const seen = await victim.client.from("tools").select("name").eq("name", row.name);
  assert.deepEqual(seen.data, []);
  assert.equal((await rest(row, forgedToken(hostile))).status, 401);
  const anon = await stack.fetch("/rest/v1/tools", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(row),
  });
  assert.equal(anon.status, 401);
});
