// The pure parts of upgrades: what was edited, what differs, whose an object is, what a person reads.
import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { digestOf, judgeApplied } from "./applied.ts";
import { differences } from "./catalogue.ts";
import { isOurs, objectOf } from "./history.ts";
import { refusal } from "./outdated.ts";

describe("migrations", () => {
  const local = [
    { version: "1", file: "1_a.sql", digest: digestOf("create table a ();\n\ncreate table b ();\n") },
    { version: "2", file: "2_b.sql", digest: digestOf("select 1;") },
  ];
  test("are equal without what is between statements", () => {
    const noted = new Map([["1", digestOf("create table a ()create table b ()")]]);
    assert.deepEqual(judgeApplied(local, noted), { edited: [], unknown: [] });
  });
  test("are edited when a letter differs, and unknown when the project has them not", () => {
    const noted = new Map([
      ["1", digestOf("create table c ();")],
      ["3", digestOf("select 3;")],
    ]);
    assert.deepEqual(judgeApplied(local, noted), { edited: ["1_a.sql"], unknown: ["3"] });
  });
});

test("catalogues differ by what is missing, changed and unknown", () => {
  const wanted = { "table public.a": "1", "table public.b": "2", "table public.c": "3" };
  assert.deepEqual(differences(wanted, wanted), []);
  assert.deepEqual(
    differences(wanted, { "table public.a": "1", "table public.b": "x", "table public.d": "4" }),
    [
      { state: "changed", what: "table public.b" },
      { state: "missing", what: "table public.c" },
      { state: "unknown", what: "table public.d" },
    ],
  );
});

test("a refusal names twenty differences, counts the rest, and says what to do", () => {
  const many = Array.from({ length: 23 }, (_, at) => ({
    state: "missing" as const,
    what: `table public.t${at}`,
  }));
  const text = refusal(many);
  assert.match(text, /its schema has 23 differences:\n {2}missing: table public\.t0\n/);
  assert.match(text, /table public\.t19\n {2}and 3 more\nRun `npm start -- --upgrade`/);
  assert.match(refusal(many.slice(0, 1)), /has 1 difference:\n {2}missing: table public\.t0\nRun/);
});

describe("an object is ours", () => {
  const history = `create table public.notes (id int, text text);
    create or replace function private.add(a int) returns int language sql return a;
    create unique index notes_text_idx on public.notes (text);
    create policy "owners can read" on public.notes for select using (true);
    create table if not exists "public"."quoted" ();
    create policy "their topics" on realtime.messages for select using (true);
    -- a comment about diary, and the word private.diary`;
  for (const [what, ours] of [
    ["table public.notes", true],
    ["table public.quoted", true],
    ["table public.note", false],
    ["table public.diary", false],
    ["table private.diary", false],
    ["function private.add(integer)", true],
    ["function private.subtract(integer)", false],
    ["grants on function private.add(integer)", true],
    ["comment on table public.notes", true],
    ["comment on table public.diary", false],
    ["index public.notes_text_idx", true],
    ["index public.notes_id_idx", false],
    ["column public.notes.text", true],
    ["column public.diary.text", false],
    ['policy "owners can read" on public.notes', true],
    ['policy "owners can read" on public.diary', false],
    ['policy "their topics" on realtime.messages', true],
    ['policy "my own" on realtime.messages', false],
    ["publication supabase_realtime of public.notes", true],
    ["publication supabase_realtime of public.diary", false],
  ] as const) {
    test(`${what}: ${ours ? "yes" : "no"}`, () => {
      const object = objectOf(what);
      assert.ok(object);
      assert.equal(isOurs(history, object), ours);
    });
  }
  test("jobs and settings have no object", () => {
    assert.equal(objectOf("job launchpad-sweep"), undefined);
  });
});
