import assert from "node:assert/strict";
import { test } from "node:test";
import { commandBlocks, runBlocks } from "./doc-blocks.ts";

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
