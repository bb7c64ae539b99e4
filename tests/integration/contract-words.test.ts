// SQL and the contract refuse the same values of a request's body, by the same fields and in the same words: who calls
// /rest/v1/rpc is told what /api tells.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, test } from "vitest";
import type { z } from "zod";
import { problemsOf } from "../../supabase/functions/_shared/problems.ts";
import { body as bodyArgument } from "../../supabase/functions/_shared/route.ts";
import { routes } from "../../supabase/functions/api/routes/index.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { resolve, type Schema } from "../helpers/schema-values.ts";
import { createUnlimitedDatabase, createUser, rpc, settle, user } from "../helpers/sql-api.ts";

const document = JSON.parse(readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8"));
let db: TestDatabase;
let alice: string;
let agentId: string;
beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "ada" } });
  agentId = body.agentId;
  await settle(db, agentId);
});
afterAll(() => db.destroy());

type Path = (string | number)[];
type Problems = Record<string, string>;

const OTHER: Record<string, unknown> = {
  string: 5,
  number: "x",
  integer: "x",
  boolean: "x",
  array: "x",
  object: [],
};

/** Values that a schema does not take, each at its place. */
function* wrong(given: Schema, path: Path = []): Generator<{ path: Path; value: unknown }> {
  const schema = resolve(document, given);
  const choices = (schema.anyOf ?? schema.oneOf ?? []).filter(({ type }) => type !== "null");
  if (choices.length > 0) {
    for (const choice of choices) yield* wrong(choice, path);
    return;
  }
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  const { additionalProperties, maxItems, maximum, maxLength, minimum, minLength } = schema;
  if (type !== undefined) yield { path, value: OTHER[type] };
  if (minimum !== undefined) yield { path, value: minimum - 1 };
  if (maximum !== undefined) yield { path, value: maximum + 1 };
  if (type === "integer") yield { path, value: (minimum ?? 0) + 0.5 };
  if (schema.enum !== undefined || schema.pattern !== undefined || schema.format !== undefined) {
    yield { path, value: "~ no such ~" };
  }
  if (minLength !== undefined) yield* ["", " \u200b"].map((value) => ({ path, value }));
  if (maxLength !== undefined) yield { path, value: "x".repeat(maxLength + 1) };
  if (maxItems !== undefined) yield { path, value: Array.from({ length: maxItems + 1 }, () => "x") };
  if (schema.items !== undefined) yield* wrong(schema.items, [...path, 0]);
  for (const [name, field] of Object.entries(schema.properties ?? {})) yield* wrong(field, [...path, name]);
  if (typeof additionalProperties === "object") yield* wrong(additionalProperties, [...path, "NAME"]);
  if (additionalProperties === false) yield { path: [...path, "extra"], value: 1 };
}

/** The value at its place, in objects and lists that have nothing else; the other fields of a right body beside it. */
function placed(path: Path, value: unknown, base: Record<string, unknown>): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  const inner = placed(rest, value, {});
  return typeof first === "number" ? [inner] : { ...base, [first]: inner };
}

function contractProblems(schema: z.ZodType, whole: unknown): Problems {
  const parsed = schema.safeParse(whole);
  return parsed.success ? {} : problemsOf(parsed.error.issues, whole, "body");
}

/** Of a list with one wrong entry or with too many, and of bounds beside each other: what either says of that field. */
const atFields = (problems: Problems, fields: readonly string[]): Problems =>
  Object.fromEntries(Object.entries(problems).filter(([field]) => fields.includes(field)));

const changes = routes.filter(
  // What is imported is a definition in a file: its fields are those of a launch.
  ({ args, body, rpc: name }) =>
    body && Object.values(args).includes(bodyArgument) && name !== "import_agent",
);
for (const { args, body, method, path: route, rpc: name } of changes) {
  test(`${name} refuses what ${method} ${route} refuses, in the same words`, async () => {
    assert.ok(body);
    const [argument = ""] = Object.entries(args).find(([, from]) => from === bodyArgument) ?? [];
    const documented = document.paths[`/api${route}`][method.toLowerCase()].requestBody.content;
    const fixed = "agent_id" in args ? { agent_id: agentId } : {};
    const different: unknown[] = [];
    let refused = 0;
    for (const { path, value } of wrong(documented["application/json"].schema)) {
      const whole: unknown = placed(path, value, { ...body.example });
      const contract = contractProblems(body.schema, whole);
      const answer = await rpc(db, user(alice), name, { ...fixed, [argument]: whole });
      const sql: Problems = answer.status === 400 ? JSON.parse(answer.body.details) : {};
      const fields = Object.keys(contract);
      refused += fields.length > 0 ? 1 : 0;
      try {
        assert.deepEqual(atFields(sql, fields), contract);
      } catch {
        different.push({ field: path.join("."), value: JSON.stringify(value)?.slice(0, 40), contract, sql });
      }
    }
    assert.deepEqual(different, []);
    assert.ok(refused > 0 || documented["application/json"].schema.additionalProperties === false);
  });
}
