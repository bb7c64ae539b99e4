import assert from "node:assert/strict";
import { test } from "vitest";
import { EnvSyntaxError, parseEnvLines } from "./env-lines.ts";

const cases: [name: string, text: string, values: Record<string, string>][] = [
  [
    "plain values, export, comments, blank lines",
    "# x\n\nA=1\n export B = two words \n",
    { A: "1", B: "two words" },
  ],
  ["JSON in double quotes, quotes unescaped", 'A="{"a": 1, "b": "c"}"', { A: '{"a": 1, "b": "c"}' }],
  ["JSON in double quotes, quotes escaped", 'A="{\\"a\\": 1}"', { A: '{"a": 1}' }],
  ["JSON without quotes", 'A={"a": "b c"}', { A: '{"a": "b c"}' }],
  ["a # inside a word stays", "A=pass#word\nB=x #comment", { A: "pass#word", B: "x" }],
  ["a # inside quotes stays", "A=\"a # b\" # c\nB='#'", { A: "a # b", B: "#" }],
  ["an empty value is a value", "A=\nB=\"\"\nC=''\nD= # none", { A: "", B: "", C: "", D: "" }],
  [
    "escapes in double quotes alone",
    "A=\"a\\nb\\tc\\\\\"\nB='a\\nb'\nC=a\\nb",
    { A: "a\nb\tc\\", B: "a\\nb", C: "a\\nb" },
  ],
  ["unknown escapes stay as written", 'A="a\\d+"', { A: "a\\d+" }],
  ["several lines in quotes", 'A="-----BEGIN\nx\n-----END"\nB=1', { A: "-----BEGIN\nx\n-----END", B: "1" }],
  ["an apostrophe inside single quotes", "A='it's'", { A: "it's" }],
  ["backticks take both other quotes", 'A=`say "it\'s"`', { A: 'say "it\'s"' }],
  ["dollars are not expanded", 'A=$HOME\nB="$HOME"\nC="\\$x"', { A: "$HOME", B: "$HOME", C: "$x" }],
  ["CRLF and a byte-order mark", "\uFEFFA=1\r\nB='x\r\ny'\r\n", { A: "1", B: "x\ny" }],
  ["an equals sign in the value", "URL=postgres://u:p@h/d?a=b", { URL: "postgres://u:p@h/d?a=b" }],
  ["of a name given twice the last counts", "A=1\nA=2", { A: "2" }],
];
for (const [name, text, values] of cases) {
  test(name, () => assert.deepEqual(parseEnvLines(text), values));
}

const refused: [name: string, text: string, line: number][] = [
  ["a line without =", "A=1\nnonsense", 2],
  ["a name that no shell takes", "1A=x", 1],
  ["a quote that is not closed names the line it opens on", 'A=1\nB="x\ny', 2],
];
for (const [name, text, line] of refused) {
  test(`refused: ${name}`, () =>
    assert.throws(
      () => parseEnvLines(text),
      (error: unknown) => error instanceof EnvSyntaxError && error.line === line,
    ));
}
