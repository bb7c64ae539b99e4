// What a change carries: types, filters, identities, privileges, size; and tokens that end. On a stack whose secret is known.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { eventually } from "../helpers/processes.ts";
import { Inbox, openSocket, type RawSocket } from "../helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const dataDir = mkdtempSync(join(tmpdir(), "launchpad-realtime-"));
let stack: TestStack;
let owner: TestUser;
let other: TestUser;
let secret: string;
const sockets: RawSocket[] = [];

interface Data {
  type: string;
  commit_timestamp: string;
  columns: { name: string; type: string }[];
  record?: Record<string, unknown>;
  old_record?: Record<string, unknown>;
  errors: string[] | null;
}

beforeAll(async () => {
  stack = await startTestStack({ dataDir });
  await stack.raiseRateLimits();
  [owner, other] = [await stack.createUser(), await stack.createUser()];
  secret = JSON.parse(readFileSync(join(dataDir, "keys.json"), "utf8")).jwtSecret;
  await stack.sql(`
    create schema rt;
    grant usage on schema rt to authenticated, anon, service_role;
    create type rt.mood as enum ('sad', 'happy');
    create type rt.point as (x int, y int);
    create domain rt.short as text check (length(value) < 10);
    create table rt.shapes (
      id bigint primary key, user_id uuid not null, t text, b boolean, i int, big bigint, f double precision, n numeric,
      j jsonb, at timestamptz, plain timestamp, d date, u uuid, bytes bytea, texts text[], numbers int[][], m rt.mood,
      p rt.point, s rt.short, r int4range, gone text, hidden text
    );
    alter table rt.shapes drop column gone;
    alter table rt.shapes enable row level security;
    grant select (id, user_id, t, b, i, big, f, n, j, at, plain, d, u, bytes, texts, numbers, m, p, s, r) on rt.shapes to authenticated;
    grant select on rt.shapes to service_role;
    create policy "own" on rt.shapes for select to authenticated using ((select auth.uid()) = user_id);
    create table rt.whole (id int, part text, note text, large text, primary key (id, part));
    alter table rt.whole replica identity full;
    alter table rt.whole alter column large set storage external;
    grant select on rt.whole to authenticated;
    create table rt.keyless (note text);
    alter table rt.keyless replica identity full;
    grant select on rt.keyless to authenticated;
    create table rt.closed (id int primary key, note text);
    grant select (note) on rt.closed to authenticated;
    alter publication supabase_realtime add table rt.shapes, rt.whole, rt.keyless, rt.closed;
  `);
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});
afterAll(async () => {
  await stack.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

/** A token of this stack with claims of our choice. */
function tokenOf(claims: Record<string, unknown>): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ aud: "authenticated", role: "authenticated", ...claims })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

/** Resolves when Realtime has taken a snapshot of what is written now: from it, it tells who could see what is deleted later. */
async function snapshotOfNow(): Promise<void> {
  const [now] = await stack.sql<{ at: string }>("select clock_timestamp()::text as at");
  await eventually("a snapshot", async () => {
    const snapshots = await stack.sql(
      `select from pg_stat_activity
       where application_name = 'realtime' and state = 'idle in transaction' and xact_start > $1::timestamptz`,
      [now?.at],
    );
    return snapshots.length > 0;
  });
}

/** Subscribes and gives the inbox of its changes; throws with the system message when it cannot. */
async function listen(
  params: Record<string, unknown>,
  options: { token?: string; key?: string } = {},
): Promise<Inbox<Data>> {
  const socket = await openSocket(stack.info, options.key);
  sockets.push(socket);
  const reply = await socket.join("realtime:t", {
    config: { postgres_changes: [{ event: "*", schema: "rt", ...params }] },
    ...(options.key ? {} : { access_token: options.token ?? owner.token }),
  });
  assert.equal(reply.status, "ok", JSON.stringify(reply));
  const [, , , , system] = await socket.messages.first((m) => m[3] === "system");
  if (system.status !== "ok") throw new Error(String(system.message));
  const inbox = new Inbox<Data>();
  let taken = 0;
  const push = socket.messages.push;
  socket.messages.push = push;
  const drain = () => {
    for (const message of socket.messages.all.slice(taken)) {
      taken += 1;
      if (message[3] === "postgres_changes") inbox.push(message[4].data as Data);
    }
  };
  const timer = setInterval(drain, 2);
  void socket.closed.then(() => clearInterval(timer));
  return inbox;
}

let nextId = 0;
const newId = () => ++nextId;

describe("values", () => {
  test("of every kind of type read as to_jsonb() says them", async () => {
    const inbox = await listen({ table: "shapes" });
    const id = newId();
    await stack.sql(
      `insert into rt.shapes values ($1, $2, 'a"b', true, -1, 9007199254740991, 1e-7, 12.50, '{"k": [1, null]}',
         '2026-01-02 03:04:05.678+02', '2026-01-02 03:04:05', '2026-01-02', $2, '\\x00ff', '{a,"b,c",null}', '{{1,2},{3,4}}', 'happy',
         '(1,2)', 'short', '[1,5)', 'not to be seen')`,
      [id, owner.id],
    );
    const [expected] = await stack.sql<{ row: Record<string, unknown> }>(
      "select to_jsonb(shape) - 'hidden' as row from rt.shapes shape where id = $1",
      [id],
    );
    const data = await inbox.first();
    assert.deepEqual(data.record, expected?.row);
    assert.match(data.commit_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.deepEqual(
      data.columns.filter(({ name }) => ["id", "at", "texts", "m"].includes(name)),
      [
        { name: "id", type: "int8" },
        { name: "at", type: "timestamptz" },
        { name: "texts", type: "_text" },
        { name: "m", type: "mood" },
      ],
    );
    assert.ok(!data.columns.some(({ name }) => name === "hidden"));
  });

  test("a selection of columns keeps the key", async () => {
    const inbox = await listen({ table: "shapes", select: ["t"] });
    const id = newId();
    await stack.sql("insert into rt.shapes (id, user_id, t, i) values ($1, $2, 'x', 1)", [id, owner.id]);
    assert.deepEqual((await inbox.first()).record, { id, t: "x" });
  });

  test("a row of more than a megabyte is told with its short values and an error", async () => {
    const inbox = await listen({ table: "shapes" });
    const id = newId();
    await stack.sql("insert into rt.shapes (id, user_id, t, i) values ($1, $2, repeat('x', 1100000), 7)", [
      id,
      owner.id,
    ]);
    const { errors, record } = await inbox.first();
    assert.deepEqual(errors, ["Error 413: Payload Too Large"]);
    assert.deepEqual([record?.i, record?.t, record?.id], [7, undefined, id]);
  });

  test("under replica identity full an unchanged TOASTed value is there, and the old row", async () => {
    const inbox = await listen({ table: "whole" });
    const id = newId();
    await stack.sql("insert into rt.whole values ($1, 'a', 'one', repeat('y', 10000))", [id]);
    await stack.sql("update rt.whole set note = 'two' where id = $1", [id]);
    await stack.sql("delete from rt.whole where id = $1", [id]);
    const [, update, remove] = await inbox.count(3);
    assert.deepEqual([update?.record?.note, String(update?.record?.large).length], ["two", 10_000]);
    assert.equal(update?.old_record?.note, "one");
    // No row-level security on this table: the whole old row.
    assert.deepEqual([remove?.old_record?.note, remove?.record], ["two", undefined]);
  });
});

describe("filters", () => {
  // [filter, values of t and i that pass, that do not]
  const TABLE: [string, [string | null, number | null], [string | null, number | null]][] = [
    ["t=eq.a", ["a", 1], ["b", 1]],
    ["t=neq.a", ["b", 1], ["a", 1]],
    ["i=lt.5", ["a", 4], ["a", 5]],
    ["i=lte.5", ["a", 5], ["a", 6]],
    ["i=gt.9", ["a", 10], ["a", 9]],
    ["i=gte.9", ["a", 9], ["a", 8]],
    ["t=in.(a,b)", ["b", 1], ["c", 1]],
    ["t=like.a%", ["abc", 1], ["bca", 1]],
    ["t=ilike.A%", ["abc", 1], ["bca", 1]],
    ["t=is.null", [null, 1], ["a", 1]],
    ["t=match.^a.c$", ["abc", 1], ["abcd", 1]],
    ["t=imatch.^A", ["abc", 1], ["bca", 1]],
    ["t=isdistinct.a", [null, 1], ["a", 1]],
    ["t=not.eq.a", ["b", 1], [null, 1]],
    ["i=not.in.(1,2)", ["a", 3], ["a", 2]],
    ["t=eq.a,i=gt.5", ["a", 6], ["a", 5]],
    ['t=eq."a,b"', ["a,b", 1], ["a", 1]],
  ];
  for (const [filter, good, bad] of TABLE) {
    test(`${filter} passes ${JSON.stringify(good)} and not ${JSON.stringify(bad)}`, async () => {
      const inbox = await listen({ table: "shapes", filter });
      const [first, second] = [newId(), newId()];
      const insert = "insert into rt.shapes (id, user_id, t, i) values ($1, $2, $3, $4)";
      await stack.sql(insert, [first, owner.id, ...bad]);
      await stack.sql(insert, [second, owner.id, ...good]);
      assert.equal((await inbox.first()).record?.id, second);
    });
  }

  test("numerics are compared as numbers, enums and uuids as what they are", async () => {
    const inboxes = await Promise.all(
      ["n=eq.1.0", "m=eq.happy", `u=eq.${owner.id.toUpperCase()}`, "f=lt.0.5"].map((filter) =>
        listen({ table: "shapes", filter }),
      ),
    );
    const id = newId();
    await stack.sql(
      "insert into rt.shapes (id, user_id, n, m, u, f) values ($1, $2, 1.00, 'happy', $2, 0.25)",
      [id, owner.id],
    );
    for (const inbox of inboxes) assert.equal((await inbox.first()).record?.id, id);
  });

  test("a column that may not be read may not be filtered by", async () => {
    await assert.rejects(
      listen({ table: "shapes", filter: "hidden=eq.x" }),
      /invalid column for filter hidden/,
    );
  });
});

describe("who may see", () => {
  test("the row's policy decides, at the moment of the change, by the claims", async () => {
    const inbox = await listen({ table: "shapes" });
    const stranger = await listen(
      { table: "shapes" },
      { token: tokenOf({ sub: other.id, exp: inSeconds(60) }) },
    );
    const id = newId();
    await stack.sql("insert into rt.shapes (id, user_id) values ($1, $2)", [id, owner.id]);
    await inbox.first();
    // Given away: the update is no longer the owner's to see.
    await stack.sql("update rt.shapes set user_id = gen_random_uuid() where id = $1", [id]);
    const next = newId();
    await stack.sql("insert into rt.shapes (id, user_id) values ($1, $2)", [next, owner.id]);
    await inbox.count(2);
    assert.deepEqual(
      inbox.all.map(({ record }) => record?.id),
      [id, next],
    );
    assert.equal(stranger.all.length, 0);
  });

  test("a table without primary key, or with one that may not be read, is refused when it is named", async () => {
    await assert.rejects(
      listen({ table: "keyless" }),
      /Error 400: Bad Request, no primary key \(rt\.keyless\)/,
    );
    await assert.rejects(listen({ table: "closed" }), /Error 401: Unauthorized \(authenticated cannot read/);
  });

  test("all tables of a schema are those that may be read", async () => {
    const inbox = await listen({});
    await stack.sql("insert into rt.keyless values ('x')");
    await stack.sql("insert into rt.closed values ($1, 'x')", [newId()]);
    const id = newId();
    await stack.sql("insert into rt.shapes (id, user_id) values ($1, $2)", [id, owner.id]);
    assert.equal((await inbox.first()).record?.id, id);
    assert.equal(inbox.all.length, 1);
  });

  test("a revoked privilege counts at the next change", async () => {
    const inbox = await listen({ table: "whole" });
    await stack.sql("insert into rt.whole values ($1, 'a', 'seen', null)", [newId()]);
    await inbox.first();
    await stack.sql("revoke select on rt.whole from authenticated");
    try {
      await stack.sql("insert into rt.whole values ($1, 'a', 'unseen', null)", [newId()]);
      const seen = await listen({ table: "shapes" });
      await stack.sql("insert into rt.shapes (id, user_id) values ($1, $2)", [newId(), owner.id]);
      await seen.first(); // what was written before has been dealt with
    } finally {
      await stack.sql("grant select on rt.whole to authenticated");
    }
    await stack.sql("insert into rt.whole values ($1, 'a', 'seen again', null)", [newId()]);
    await inbox.count(2);
    assert.deepEqual(
      inbox.all.map(({ record, errors }) => [record?.note, errors]),
      [
        ["seen", null],
        ["seen again", null],
      ],
    );
  });

  test("a deleted row is told to those who could see it, however soon it goes after it came", async () => {
    const [inbox, deletions] = await Promise.all([
      listen({ table: "shapes" }),
      listen({ table: "shapes", event: "DELETE" }),
    ]);
    const stranger = await listen({ table: "shapes" }, { token: other.token });
    const [old, young, foreign, given] = [newId(), newId(), newId(), newId()];
    const insert = "insert into rt.shapes (id, user_id) values ($1, $2)";
    for (const id of [old, given]) await stack.sql(insert, [id, owner.id]);
    await stack.sql(insert, [foreign, other.id]);
    await snapshotOfNow();
    await stack.sql(insert, [young, owner.id]);
    await snapshotOfNow();
    await stack.sql("update rt.shapes set user_id = $2 where id = $1", [given, other.id]);
    await snapshotOfNow();
    for (const id of [old, young, foreign, given])
      await stack.sql("delete from rt.shapes where id = $1", [id]);
    const told = ({ all }: Inbox<Data>) =>
      all.filter(({ type }) => type === "DELETE").map(({ old_record }) => old_record);
    for (const each of [inbox, deletions, stranger]) await each.until(() => told(each).length >= 2);
    assert.deepEqual(told(inbox), [{ id: old }, { id: young }]);
    assert.deepEqual(told(deletions), [{ id: old }, { id: young }]);
    assert.deepEqual(told(stranger), [{ id: foreign }, { id: given }]);
  });

  test("service_role is asked no policy", async () => {
    const inbox = await listen({ table: "shapes" }, { key: stack.info.secretKey });
    const id = newId();
    await stack.sql("insert into rt.shapes (id, user_id, hidden) values ($1, gen_random_uuid(), 'seen')", [
      id,
    ]);
    assert.equal((await inbox.first()).record?.hidden, "seen");
  });
});

describe("tokens", () => {
  const joinWith = async (token: string) => {
    const socket = await openSocket(stack.info);
    sockets.push(socket);
    return { socket, reply: await socket.join("realtime:t", { config: {}, access_token: token }) };
  };
  const refused = async (claims: Record<string, unknown>, reason: RegExp) => {
    const { reply } = await joinWith(tokenOf(claims));
    assert.equal(reply.status, "error");
    assert.match((reply.response as { reason: string }).reason, reason);
  };

  test("an expired one cannot join, nor one without an end", async () => {
    await refused(
      { sub: owner.id, exp: inSeconds(-10) },
      /^InvalidJWTToken: Token has expired 1\d seconds ago$/,
    );
    await refused({ sub: owner.id }, /^InvalidJWTToken: Fields `role` and `exp` are required in JWT$/);
  });

  test("one that ends while joined closes the channel", async () => {
    const { socket } = await joinWith(tokenOf({ sub: owner.id, exp: inSeconds(5) }));
    const [, , , , system] = await socket.messages.first((m) => m[3] === "system");
    assert.equal(system.status, "error");
    assert.match(String(system.message), /^Token has expired \d seconds ago$/);
    await socket.messages.first((m) => m[3] === "phx_close");
  });

  test("a new one keeps the channel beyond the old one's end, and its claims count", async () => {
    const ending = tokenOf({ sub: owner.id, exp: inSeconds(5) });
    // Its channel closes when the token ends: nobody sends it a new one.
    const { socket: witness } = await joinWith(ending);
    const inbox = await listen({ table: "shapes" }, { token: ending });
    const socket = sockets.at(-1) as RawSocket;
    const stranger = other.id;
    socket.send([
      "1",
      null,
      "realtime:t",
      "access_token",
      { access_token: tokenOf({ sub: stranger, exp: inSeconds(60) }) },
    ]);
    await socket.messages.until(() => socket.messages.all.filter((m) => m[3] === "system").length === 2);
    await witness.messages.first((m) => m[3] === "phx_close");
    await stack.sql("insert into rt.shapes (id, user_id) values ($1, $2)", [newId(), owner.id]);
    const id = newId();
    await stack.sql("insert into rt.shapes (id, user_id) values ($1, $2)", [id, stranger]);
    assert.equal((await inbox.first()).record?.id, id);
    assert.ok(!socket.messages.all.some((m) => m[3] === "phx_close"));
  });

  test("a forged one while joined closes the channel", async () => {
    const { socket } = await joinWith(owner.token);
    socket.send([
      "1",
      null,
      "realtime:t",
      "access_token",
      { access_token: `${owner.token.slice(0, -4)}AAAA` },
    ]);
    const [, , , , system] = await socket.messages.first((m) => m[3] === "system");
    assert.equal(system.message, "Failed to validate JWT signature");
    await socket.messages.first((m) => m[3] === "phx_close");
  });
});
