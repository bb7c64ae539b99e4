import assert from "node:assert/strict";
import type pg from "pg";
import { test } from "vitest";
import { deliverChanges } from "./changes.ts";
import { identityOfKey } from "./claims.ts";
import { Judge } from "./judging.ts";
import { LIMITS } from "./limits.ts";
import type { CompiledFilter } from "./matching.ts";
import { Registry } from "./registry.ts";
import type { Change } from "./replication.ts";
import type { VisibilityQuestion } from "./visibility.ts";

const TABLE = 1;
const columns = ["id", "note"].map((name) => ({
  name,
  type: "text",
  sqlType: "text",
  oid: 25,
  kind: "b",
  element: 0,
  elementKind: "",
  isKey: name === "id",
  roles: ["authenticated"],
}));
const pattern: CompiledFilter = {
  column: "note",
  op: "match",
  negate: false,
  value: "secret",
  canonical: ["secret"],
  typeOid: 25,
  typeName: "text",
  typeKind: "b",
};

function insertOf(id: string, note: string): Change {
  return {
    action: "INSERT",
    relation: {
      oid: TABLE,
      schema: "public",
      table: "notes",
      columns: columns.map(({ name, isKey }) => ({ name, isIdentity: isKey })),
    } as unknown as Change["relation"],
    row: [id, note],
    old: undefined,
    oldIsKey: false,
    committedAt: new Date(0),
    xid: 1,
  };
}

const idOf = ({ record, old_record }: { record?: { id: string }; old_record: { id: string } }) =>
  record?.id ?? `${old_record.id} deleted`;

function deleteOf(id: string): Change {
  return { ...insertOf(id, ""), action: "DELETE", row: undefined, old: [id, null], oldIsKey: true };
}

/** A database in which each user sees the rows whose id begins with their name, and what it was asked. */
function scene() {
  const judged: string[] = [];
  const lookedUp: string[] = [];
  const feed = {
    query: async ({ name }: { name: string }) => ({
      rows: name === "realtime_tables" ? [{ oid: TABLE, name: "public.notes", rls: true, columns }] : [],
    }),
  };
  const client = {
    async query(text: string) {
      let user = "";
      return text.split(";\n").map((statement) => {
        user = /"sub":"(\w+)"/.exec(statement)?.[1] ?? user;
        const keys = /^execute \w+\('\{(.*)\}'\)$/.exec(statement)?.[1]?.split(",") ?? [];
        const rows = keys.flatMap((key, n) => (key.startsWith(`"${user}`) ? [{ n: String(n + 1) }] : []));
        return { rows };
      });
    },
    release() {},
  };
  const judging = {
    async query(text: string) {
      const expressions = [...text.matchAll(/\('([^']*)'::text ~/g)].map(([, value]) => value as string);
      judged.push(...expressions);
      return { rows: [{ answers: expressions.map((value) => value.includes("secret")) }] };
    },
  };
  const registry = new Registry();
  const received: string[] = [];
  const subscribe = (user: string, filters: CompiledFilter[]) => {
    const identity = { ...identityOfKey("authenticated"), sub: user, json: JSON.stringify({ sub: user }) };
    const target = {
      deliver: (_: number[], data: string) => void received.push(`${user}: ${idOf(JSON.parse(data))}`),
      flows() {},
      warn: (message: string) => assert.fail(message),
      end: (message: string) => assert.fail(message),
    };
    const owner = `user:${user}`;
    const rest = { action: "*", select: null, needsPast: true, id: 1 } as const;
    registry.add({ ...rest, table: TABLE, filters, identity, owner, target });
  };
  const deliver = async (...changes: Change[]) => {
    const database = { feed, api: { connect: async () => client } } as unknown as Record<
      "feed" | "api",
      pg.Pool
    >;
    const judge = new Judge(judging as unknown as pg.Pool, LIMITS);
    const past = {
      /** Rows of the past: as visible as those of today. */
      async visible(asked: VisibilityQuestion[], before: Date) {
        lookedUp.push(
          ...asked.map(({ identity, keys }) => `${identity.sub}: ${keys.join()} before ${before.getTime()}`),
        );
        return asked.map(
          ({ identity, keys }) =>
            new Set(keys.flatMap(([key], n) => (key?.startsWith(String(identity.sub)) ? [n] : []))),
        );
      },
    };
    await deliverChanges(database, registry, changes, { recordBytes: 1e6, judge, past, onLog: assert.fail });
  };
  return { subscribe, deliver, judged, lookedUp, received };
}

test("a pattern is evaluated on rows that its subscriber sees, and on no others", async () => {
  const { subscribe, deliver, judged, received } = scene();
  subscribe("alice", [pattern]);
  await deliver(...Array.from({ length: 50 }, (_, n) => insertOf(`bob-${n}`, "bob's secret")));
  assert.deepEqual([judged, received], [[], []]);
  await deliver(
    insertOf("bob-x", "bob's secret"),
    insertOf("alice-1", "a secret"),
    insertOf("alice-2", "dull"),
  );
  assert.deepEqual(judged, ["a secret", "dull"]);
  assert.deepEqual(received, ["alice: alice-1"]);
});

test("the same pattern of two users is evaluated for each on the own rows alone", async () => {
  const { subscribe, deliver, judged, received } = scene();
  subscribe("alice", [pattern]);
  subscribe("bob", [pattern]);
  await deliver(insertOf("alice-1", "one secret"), insertOf("bob-1", "two secret"));
  assert.deepEqual(judged, ["one secret", "two secret"]);
  assert.deepEqual(received, ["alice: alice-1", "bob: bob-1"]);
});

test("a role that cannot read the table's key receives nothing, not even that a row changed", async () => {
  const { subscribe, deliver, received } = scene();
  columns[0]!.roles = [];
  try {
    subscribe("alice", []);
    await deliver(insertOf("alice-1", "x"), deleteOf("alice-1"));
    assert.deepEqual(received, []);
  } finally {
    columns[0]!.roles = ["authenticated"];
  }
});

test("a deletion reaches those alone who could see the row before", async () => {
  const { subscribe, deliver, lookedUp, received } = scene();
  subscribe("alice", []);
  subscribe("bob", []);
  await deliver(insertOf("alice-1", "x"), deleteOf("alice-1"), deleteOf("carol-1"));
  assert.deepEqual(received, ["alice: alice-1", "alice: alice-1 deleted"]);
  assert.deepEqual(lookedUp, ["alice: alice-1,carol-1 before 0", "bob: alice-1,carol-1 before 0"]);
});
