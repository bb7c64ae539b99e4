// Long lines of SQL: where they break, what stays whole, and that they say the same afterwards.
import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { schemaFiles } from "../migration/schemas.ts";
import { meaningOf, tokensOf } from "./tokens.ts";
import { WIDTH, wrap } from "./wrap.ts";

const long = "a_column_with_a_name_of_forty_characters";

describe("a long line", () => {
  for (const [why, sql, wrapped] of [
    ["that fits stays", "select 1;\n", "select 1;\n"],
    [
      "breaks after a comma, outside of parentheses first",
      `  select format('%s %s', ${long}), ${long}, coalesce(${long}, '') from public.agents;`,
      `  select format('%s %s', ${long}), ${long},\n    coalesce(${long}, '') from public.agents;`,
    ],
    [
      "breaks before a keyword, never between the two sides of between",
      `where ${long} between ${long} and ${long} and true;`,
      `where ${long} between\n  ${long} and ${long} and true;`,
    ],
    [
      "keeps a comment at its end, above it",
      `  x text, -- ${"word ".repeat(25)}end.\n`,
      `  -- ${"word ".repeat(18).trim()}\n  -- ${"word ".repeat(7)}end.\n  x text,\n`,
    ],
    [
      "of a comment goes on in the next",
      `-- ${"word ".repeat(24)}and\n-- so on.\n`,
      `-- ${"word ".repeat(23).trim()}\n-- word and so on.\n`,
    ],
    [
      "breaks after `is` of a comment on something",
      `comment on function private.name_of_a_function(text, text, jsonb, integer, text) is 'A sentence that says what it is for.';`,
      `comment on function private.name_of_a_function(text, text, jsonb, integer, text) is\n  'A sentence that says what it is for.';`,
    ],
    [
      "breaks a string that is longer than a line",
      `select '${"word ".repeat(30)}it''s';`,
      `select '${"word ".repeat(22)}'\n  '${"word ".repeat(8)}it''s';`,
    ],
    [
      "leaves a string over several lines",
      `select\n  '${"x".repeat(130)}\n';`,
      `select\n  '${"x".repeat(130)}\n';`,
    ],
  ] as const)
    test(why, () => assert.equal(wrap(sql), wrapped));

  test("of a function's body breaks as well; one of a quoted text does not", () => {
    const line = `  select ${long}, ${long}, ${long}, 1;`;
    const text = `create function f() returns void language sql as $$\n${line}\n$$;\nselect $q$\n${line}\n$q$;\n`;
    const [body, quoted] = wrap(text).split("select $q$");
    assert.ok(body?.split("\n").every((each) => each.length <= WIDTH));
    assert.ok(quoted?.includes(line));
  });
});

describe("what SQL says", () => {
  for (const [one, other, same] of [
    ["select 1, 2", "select 1,\n  2 -- two", true],
    ["select 'ab'", "select 'a'\n'b'", true],
    ["select 'a', 'b'", "select 'ab'", false],
    ["select 'a  b'", "select 'a b'", false],
    [`select "A"`, `select "a"`, false],
    ["do $$ begin; end $$", "do $$ begin;\nend $$", true],
    ["select $q$a b$q$", "select $q$a  b$q$", false],
    ["select a--b\n-c", "select a-c", true],
    ["select a - -1", "select a--1", false],
  ] as const)
    test(`${JSON.stringify(one)} and ${JSON.stringify(other)}: ${same ? "the same" : "not the same"}`, () =>
      assert.equal(JSON.stringify(meaningOf(one)) === JSON.stringify(meaningOf(other)), same));

  test("every schema file is its tokens, and stays as it is", () => {
    for (const { name, text } of schemaFiles(`${import.meta.dirname}/../..`)) {
      assert.equal(
        tokensOf(text)
          .map((token) => token.text)
          .join(""),
        text,
        name,
      );
      assert.equal(wrap(text), text, name);
    }
  });
});
