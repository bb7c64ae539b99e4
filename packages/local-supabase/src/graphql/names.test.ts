import assert from "node:assert/strict";
import { printSchema } from "graphql";
import { describe, test } from "vitest";
import { catalogueOf } from "./catalogue.ts";
import type { RawFunction, Rows } from "./catalogue-rows.ts";
import { directive, fieldName, isName, toOneName, typeName } from "./names.ts";
import { buildSchema } from "./schema.ts";

describe("names", () => {
  for (const [given, type, field] of [
    ["agents", "Agents", "agents"],
    ["agent_metrics_minute", "AgentMetricsMinute", "agentMetricsMinute"],
    ["Blog", "Blog", "blog"],
    ["account_BY_email", "AccountBYEmail", "accountBYEmail"],
    ["day", "Day", "day"],
  ] as const) {
    test(given, () => {
      assert.equal(typeName(given, true), type);
      assert.equal(fieldName(given, true), field);
      assert.equal(typeName(given, false), given);
    });
  }

  test("of the way to one row", () => {
    assert.equal(toOneName(["agent_id"], "Agents", true), "agent");
    assert.equal(toOneName(["to_agent_id"], "Agents", true), "toAgent");
    assert.equal(toOneName(["reply_to"], "Messages", true), "messages");
    assert.equal(toOneName(["framework", "model"], "Models", true), "models");
    assert.equal(toOneName(["ownerId"], "Account", false), "owner");
    assert.equal(toOneName(["owner_id"], "Account", false), "account");
  });

  test("that GraphQL cannot carry", () => {
    for (const name of ["", "1a", "a-b", "__a", "a b", "ä"]) assert.equal(isName(name), false, name);
  });

  test("come from comments, and nothing does from what cannot be read", () => {
    assert.deepEqual(directive('Agents. @graphql({"name": "Bot", "max_rows": 5})'), {
      name: "Bot",
      max_rows: 5,
    });
    for (const comment of [null, "", "Agents.", "@graphql(", "@graphql({nonsense})", "@graphql([])"]) {
      assert.deepEqual(directive(comment), {}, String(comment));
    }
  });
});

const column = (name: string, type = "text", more: object = {}) => ({
  name,
  comment: null,
  type,
  element: null,
  cast: type,
  enum: null,
  row_of: null,
  kind: "b",
  max_length: null,
  not_null: false,
  generated: false,
  select: true,
  insert: true,
  update: true,
  ...more,
});
const table = (oid: number, name: string, columns: ReturnType<typeof column>[], more: object = {}) => ({
  oid,
  name,
  comment: null,
  rls: true,
  insertable: true,
  updatable: true,
  deletable: true,
  primary_key: ["id"],
  unique_keys: [["id"]],
  columns,
  ...more,
});
const id = column("id", "uuid", { not_null: true });
const key = (local: number, column: string, foreign: number, comment: string | null = null) => ({
  comment,
  local,
  foreign,
  local_columns: [column],
  foreign_columns: ["id"],
});
const catalogue = (
  tables: ReturnType<typeof table>[],
  keys: ReturnType<typeof key>[] = [],
  more: Partial<Rows> = {},
) =>
  catalogueOf({
    ...more,
    comment: '@graphql({"inflect_names": true})',
    settings: ["statement_timeout=8s"],
    pre_request: "private.pre_request",
    search_path: "public, extensions",
    tables,
    keys,
  });

describe("the catalogue", () => {
  test("shows what the role may read, and lets write what it may write", () => {
    const made = catalogue([
      table(1, "blog_post", [
        id,
        column("secret", "text", { select: false }),
        column("views", "bigint", { insert: false, update: false }),
        column("number", "integer", { generated: true }),
        column("tags", "text[]", { element: "text" }),
        column("9lives"),
      ]),
    ]);
    const [post] = made.tables;
    assert.equal(post?.type, "BlogPost");
    assert.deepEqual(
      post?.columns.map(({ field, scalar, list, select, insert }) => [field, scalar, list, select, insert]),
      [
        ["id", "UUID", false, true, true],
        ["secret", "String", false, false, true],
        ["views", "BigInt", false, true, false],
        ["number", "Int", false, true, false],
        ["tags", "String", true, true, true],
      ],
    );
    assert.deepEqual([post?.maxRows, made.introspection], [30, false]);
    assert.deepEqual(made.settings, [["statement_timeout", "8s"]]);
    assert.equal(made.searchPath, "public, extensions");
  });

  test("takes names and descriptions of columns from their comments", () => {
    const comment = 'Views so far. @graphql({"name": "seen", "description": "How often it was seen"})';
    const made = catalogue([table(1, "post", [id, column("views", "bigint", { comment })])]);
    assert.deepEqual(
      made.tables[0]?.columns.map(({ field, description }) => [field, description]),
      [
        ["id", undefined],
        ["seen", "How often it was seen"],
      ],
    );
    assert.match(printSchema(buildSchema(made)), /"""How often it was seen"""\s+seen: BigInt/);
  });

  test("leaves out a table whose key cannot be read, and the second of one name", () => {
    const hidden = column("id", "uuid", { select: false });
    assert.deepEqual(catalogue([table(1, "a", [hidden, column("b")])]).tables, []);
    assert.deepEqual(
      catalogue([table(1, "a_b", [id]), table(2, "aB", [id])]).tables.map(({ name }) => name),
      ["a_b"],
    );
  });

  test("relates tables both ways, by names that comments may set", () => {
    const tables = [
      table(1, "agents", [id]),
      table(2, "messages", [id, column("agent_id", "uuid"), column("to_agent_id", "uuid")]),
      table(3, "settings", [id, column("agent_id", "uuid", { not_null: true })], {
        unique_keys: [["agent_id"]],
      }),
    ];
    const keys = [
      key(2, "agent_id", 1),
      key(2, "to_agent_id", 1, '@graphql({"local_name": "received"})'),
      key(3, "agent_id", 1),
    ];
    const [agents, messages, settings] = catalogue(tables, keys).tables;
    assert.deepEqual(
      agents?.relations.map(({ field, one, columns }) => [field, one, columns]),
      [
        ["messagesCollection", false, [["id", "agent_id"]]],
        ["received", false, [["id", "to_agent_id"]]],
        ["settings", true, [["id", "agent_id"]]],
      ],
    );
    assert.deepEqual(
      messages?.relations.map(({ field, one }) => [field, one]),
      [
        ["agent", true],
        ["toAgent", true],
      ],
    );
    assert.equal(settings?.relations[0]?.notNull, false, "the agent's own policies may hide it");
  });

  test("shows the last of two columns of one name, and keeps the key of a hidden one", () => {
    const made = catalogue([
      table(1, "post", [column("_id", "uuid"), column("id", "text")], { primary_key: ["_id"] }),
    ]);
    const [post] = made.tables;
    assert.deepEqual(
      post?.columns.map(({ name }) => name),
      ["id"],
    );
    assert.deepEqual(
      post?.primaryKey.map(({ name }) => name),
      ["_id"],
    );
    assert.doesNotMatch(printSchema(buildSchema(made)), /postByPk/);
  });

  test("lets columns called and, or and not be filtered by", () => {
    const made = catalogue([table(1, "post", [id, column("and"), column("not", "integer")])]);
    const text = printSchema(buildSchema(made));
    assert.match(
      text,
      /input PostFilter \{[^}]*and: StringFilter[^}]*not: IntFilter[^}]*or: \[PostFilter!\]/s,
    );
  });

  test("names enums and their values by their comment", () => {
    const enums = [
      {
        oid: 9,
        name: "light",
        comment: '@graphql({"mappings": {"dark red": "RED"}})',
        labels: ["dark red", "green"],
      },
    ];
    const made = catalogue([table(1, "lamp", [id, column("shade", "light", { enum: 9, kind: "e" })])], [], {
      enums,
    });
    const text = printSchema(buildSchema(made));
    assert.match(text, /enum Light \{\s+RED\s+green\s+\}/);
    assert.match(text, /shade: Light\b/);
    assert.match(text, /input LightFilter \{\s+eq: Light\s+neq: Light\s+in: \[Light!\]\s+is: FilterIs\s+\}/);
  });

  test("shows an enum as text where GraphQL cannot name a value", () => {
    const enums = [{ oid: 9, name: "light", comment: null, labels: ["dark red"] }];
    const made = catalogue([table(1, "lamp", [id, column("shade", "light", { enum: 9, kind: "e" })])], [], {
      enums,
    });
    assert.equal(made.tables[0]?.columns[1]?.enumeration, undefined);
    assert.equal(made.tables[0]?.columns[1]?.scalar, "Opaque");
  });

  test("shows a view by the key and the foreign keys of its comment", () => {
    const comment = `@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "posts", "local_columns": ["author"],
      "foreign_name": "writer", "foreign_schema": "public", "foreign_table": "people", "foreign_columns": ["id"]}]})`;
    const view = {
      primary_key: null,
      unique_keys: null,
      insertable: false,
      updatable: false,
      deletable: false,
    };
    const made = catalogue([
      table(1, "people", [id]),
      table(2, "post_view", [id, column("author", "uuid")], { ...view, comment }),
      table(3, "keyless", [id], view),
    ]);
    const [people, posts, ...rest] = made.tables;
    assert.deepEqual(rest, []);
    assert.equal(people?.relations[0]?.field, "posts");
    assert.equal(posts?.relations[0]?.field, "writer");
    assert.doesNotMatch(printSchema(buildSchema(made)), /insertIntoPostView/);
  });

  test("adds up a table whose comment says so", () => {
    const comment = '@graphql({"aggregate": {"enabled": true}})';
    const made = catalogue([
      table(1, "post", [id, column("views", "integer"), column("tags", "text[]", { element: "text" })], {
        comment,
      }),
    ]);
    const text = printSchema(buildSchema(made));
    assert.match(text, /type PostSumAggregateResult \{\s+views: BigInt\s+\}/);
    assert.match(text, /type PostAvgAggregateResult \{\s+views: BigFloat\s+\}/);
    assert.match(text, /type PostMinAggregateResult \{\s+views: Int\s+\}/);
  });
});

describe("functions", () => {
  const value = (type: string, more: object = {}) => ({
    type,
    element: null,
    cast: type,
    enum: null,
    row_of: null,
    kind: "b",
    ...more,
  });
  const made = (more: Partial<RawFunction>): RawFunction => ({
    name: "add_up",
    comment: null,
    volatile: false,
    set: false,
    rows: 0,
    returns: value("integer"),
    args: [
      { name: "a", ...value("integer") },
      { name: "b", ...value("integer") },
    ],
    defaults: 1,
    ...more,
  });
  const text = (...functions: RawFunction[]) =>
    printSchema(buildSchema(catalogue([table(1, "post", [id])], [], { functions })));

  test("are fields of Query, volatile ones of Mutation", () => {
    assert.match(text(made({})), /type Query \{\s+addUp\(a: Int!, b: Int\): Int/);
    assert.match(text(made({ volatile: true })), /type Mutation \{\s+addUp\(a: Int!, b: Int\): Int/);
  });

  test("of a row are fields of its type", () => {
    const row = value("post", { row_of: 1, kind: "c" });
    const one = made({ name: "_heading", args: [{ name: "", ...row }], defaults: 0, returns: value("text") });
    const many = made({
      name: "related",
      args: [{ name: "", ...row }],
      defaults: 0,
      returns: row,
      set: true,
      rows: 1000,
    });
    assert.match(
      text(one, many),
      /type Post implements Node \{[^}]*heading: String\s+[^}]*related\([^}]*\): PostConnection/s,
    );
  });

  test("that GraphQL cannot call are left out", () => {
    const unnamed = made({ args: [{ name: "", ...value("integer") }], defaults: 0 });
    const record = made({ returns: value("record", { kind: "p" }) });
    for (const one of [[unnamed], [record], [made({}), made({ defaults: 0 })]]) {
      assert.doesNotMatch(text(...one), /addUp/);
    }
  });
});
