// The command blocks of README and docs, run as a reader runs them, page by page, against the running stack.
// A block that another test runs names it behind the fence: ```sh by:tests/e2e/x.test.ts
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { glob, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { commandBlocks, runBlocks } from "../helpers/doc-blocks.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

const root = join(import.meta.dirname, "../..");
const patterns = ["*.md", "docs/**/*.md", "packages/*/README.md", "supabase/**/*.md", "deploy/**/*.md"];
const pages = (
  await Array.fromAsync(glob(patterns, { cwd: root, exclude: (path) => path.includes("node_modules") }))
).sort();

let stack: TestStack;
let home: string;
let provider: ProviderStub;
before(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  provider = await startProviderStub();
  home = await mkdtemp(join(tmpdir(), "launchpad-docs-"));
});
after(async () => {
  await stack.stop();
  await provider[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

for (const page of pages) {
  const all = commandBlocks(await readFile(join(root, page), "utf8"));
  const blocks = all.filter(({ info }) => info === "");
  for (const { line, info } of all.filter((block) => block.info !== "")) {
    test(`${page}:${line} is run elsewhere`, () => {
      const other = /^by:(\S+)$/.exec(info)?.[1];
      assert.ok(other !== undefined && existsSync(join(root, other)), `"${info}" names no test`);
    });
  }
  if (blocks.length === 0) continue;

  describe(page, () => {
    let outcomes: Awaited<ReturnType<typeof runBlocks>>;
    before(async () => {
      const gateway = new URL(stack.info.apiUrl);
      outcomes = await runBlocks(blocks, {
        cwd: root,
        // A home of its own: what a command keeps there is not this machine's.
        env: {
          PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}`,
          HOME: home,
          TMPDIR: home,
          NO_COLOR: "1",
          // The command line program finds the stack of `npm start` by itself, not that of a test.
          LAUNCHPAD_URL: stack.info.apiUrl,
          LAUNCHPAD_KEY: stack.info.publishableKey,
        },
        replace: {
          "http://127.0.0.1:54321": stack.info.apiUrl,
          ".agents.localhost:54321": `.agents.localhost:${gateway.port}`,
          "sb_publishable_…": stack.info.publishableKey,
          "sb_secret_…": stack.info.secretKey,
          "OPENAI_API_KEY=sk-…": Object.entries(provider.environment)
            .filter(([name]) => name.startsWith("OPENAI"))
            .map(([name, value]) => `${name}=${value}`)
            .join(" "),
          "postgresql://…": stack.info.dbUrl,
          "me@example.com": `${page.replace(/\W+/g, "-")}-${Date.now()}@example.com`.toLowerCase(),
        },
        timeoutMs: 120_000,
      });
    });
    for (const [index, { line }] of blocks.entries()) {
      test(`line ${line}`, () => {
        const outcome = outcomes[index];
        assert.ok(outcome?.ran, outcome?.output);
      });
    }
  });
}
