import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { claimsOf, commandBlocks, inBackground, markOf, runBlocks, runMarked } from "./doc-blocks.ts";
import { tree } from "./processes.ts";

const PAGE = `# Page
\`\`\`sh
NAME=world
\`\`\`
\`\`\`json
{}
\`\`\`
\`\`\`sh by:other.test.ts
exit 1
\`\`\`
\`\`\`sh
echo "hello $NAME" # placeholder…
\`\`\`
\`\`\`sh
false
\`\`\`
\`\`\`sh
echo never
\`\`\`
`;

test("only shell blocks are commands, and each has its line", () => {
  assert.deepEqual(
    commandBlocks(PAGE).map(({ line, info }) => [line, info]),
    [
      [2, ""],
      [8, "by:other.test.ts"],
      [11, ""],
      [14, ""],
      [17, ""],
    ],
  );
  assert.throws(() => commandBlocks("```sh\nls\n"), /line 1/);
});

test("variables last from block to block; the first failure ends the page", async () => {
  const blocks = commandBlocks(PAGE).filter(({ info }) => info === "");
  const outcomes = await runBlocks(blocks, {
    cwd: ".",
    env: process.env,
    replace: { "placeholder…": "" },
    timeoutMs: 10_000,
  });
  assert.deepEqual(
    outcomes.map(({ ran }) => ran),
    [true, true, false, false],
  );
  assert.match(outcomes[1]?.output ?? "", /hello world/);
});

const shell = { cwd: ".", env: process.env, timeoutMs: 10_000 };

test("a mark names a test or a reason", () => {
  assert.deepEqual(markOf({ info: "", line: 1 }), { by: "pages" });
  assert.deepEqual(markOf({ info: "by:a/b.test.ts", line: 1 }), { by: "test", file: "a/b.test.ts" });
  assert.deepEqual(markOf({ info: "not-run:it takes a day", line: 1 }), {
    by: "nobody",
    reason: "it takes a day",
  });
  for (const info of ["by:", "by:.ci/run", "by:helper.ts", "not-run:", "sometimes"])
    assert.throws(() => markOf({ info, line: 7 }), /line 7/, info);
});

test("a page is claimed by a call, not by a comment or a string", () => {
  const source = [
    '// runMarked("a.md", …)',
    ' * runMarked("b.md", …)',
    'const text = "runs c.md";',
    'await runMarked("d.md", import.meta.filename, {});',
    'before(() => runMarked(\n  "e.md", …',
  ];
  assert.deepEqual(claimsOf(source.join("\n")), ["d.md", "e.md"]);
});

test("a test runs what is marked as its own; a substitution for nothing, or no block, is an error", async () => {
  const run = (replace: Record<string, string>, file = import.meta.filename) =>
    runMarked("tests/helpers/doc-blocks.md", file, { ...shell, replace });
  const [outcome, ...more] = await run({ "the answer": "42" });
  assert.deepEqual([outcome?.output.trim(), more], ["42", []]);
  await assert.rejects(run({ question: "42" }), /"question" stands in no block/);
  await assert.rejects(run({ echo: "false" }), /doc-blocks\.md:5 failed/);
  await assert.rejects(run({}, "other.test.ts"), /has no block/);
});

test("what runs in the background is ready for the next line, and ends with the shell", async () => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-blocks-"));
  try {
    const log = join(folder, "log");
    const server = 'sh -c "sleep 300 & echo up; wait"';
    const text = `serve\ngrep up "${log}"; pgrep -g $! > "${folder}/all"\n`;
    const replace = { serve: inBackground(server, "^up$", log) };
    const block = { line: 1, info: "", text };
    const [outcome] = await runBlocks([block], { ...shell, replace });
    assert.ok(outcome?.ran, outcome?.output);
    const group = (await readFile(join(folder, "all"), "utf8")).trim().split(/\s+/).map(Number);
    assert.ok(group.length >= 2, "the command and what it started");
    assert.deepEqual(
      group.flatMap((pid) => tree(pid)),
      [],
    );
    const never = { serve: inBackground("echo dead", "^up$", log) };
    const [failed] = await runBlocks([block], { ...shell, replace: never });
    assert.deepEqual([failed?.ran, /dead/.test(failed?.output ?? "")], [false, true]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("time that is up ends all of it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-blocks-"));
  try {
    const text = `${inBackground("sh -c 'echo up; sleep 300'", "up", join(folder, "log"))}\necho $!\nsleep 300\n`;
    const [outcome] = await runBlocks([{ line: 1, info: "", text }], {
      ...shell,
      replace: {},
      timeoutMs: 1500,
    });
    assert.equal(outcome?.ran, false);
    assert.deepEqual(tree(Number(outcome?.output.trim())), []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
