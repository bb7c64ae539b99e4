import assert from "node:assert/strict";
import { test } from "vitest";
import { createLog } from "./log.ts";
import { counted, joined } from "./output.ts";

test("a stack and an object over several lines are one text each; other lines are their own", () => {
  const stack = ["Error: no", "    at a (file.js:1:2)", "    at b (file.js:3:4) {", "  code: 'X'", "}"];
  assert.deepEqual(joined([...stack, "", "one", "two"]), [stack.join("\n"), "one", "two"]);
  assert.deepEqual(joined(["  indented at first", "next"]), ["  indented at first", "next"]);
});

test("a text that comes again is counted: one line, then ever fewer, with how often; a pause makes it news", () => {
  const lines: { message: string; metadata: { repeated?: number } }[] = [];
  let at = 0;
  const log = counted(createLog({ write: (line) => lines.push(JSON.parse(line)) }), () => at);
  for (; at < 600_000; at += 100) log.warn("polling failed");
  log.warn("another");
  const repeated = lines
    .filter(({ message }) => message === "polling failed")
    .map(({ metadata }) => metadata.repeated);
  assert.deepEqual(repeated.slice(0, 4), [undefined, 100, 200, 400]);
  assert.ok(repeated.length < 9, `${repeated.length} lines`);
  assert.equal(lines.at(-1)?.message, "another");
  at += 7_200_000;
  log.warn("another");
  assert.deepEqual(lines.at(-1), { ...lines.at(-1), message: "another", metadata: {} });
});

test("so many different texts are remembered at most, and each is written", () => {
  let written = 0;
  const log = counted(createLog({ write: () => (written += 1) }), () => 0);
  for (let index = 0; index < 2_000; index++) log.info(`line ${index}`);
  assert.equal(written, 2_000);
});
