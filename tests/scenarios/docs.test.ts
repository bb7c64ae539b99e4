// The command blocks of README and docs, run as a reader runs them, page by page, against the running stack.
// A block that another test runs names it behind the fence, ```sh by:tests/e2e/x.test.ts, and that test gives the page to
// `runMarked`. What no test can run says why: ```sh not-run:<reason>.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { glob, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { claimsOf, commandBlocks, markOf, runBlocks } from "../helpers/doc-blocks.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

const root = join(import.meta.dirname, "../..");
const patterns = ["*.md", "{docs,packages,supabase,deploy,scripts,bench,tests}/**/*.md"];
const exclude = (path: string) => /(^|\/)(node_modules|\.[a-z]\w*)$/.test(path);
const pages = (await Array.fromAsync(glob(patterns, { cwd: root, exclude }))).sort();
/** Blocks that nobody runs. None: think twice before the first. */
const NOT_RUN: string[] = [];
const notRun: string[] = [];

/** A first day happens in the shell of one's machine: macOS has zsh. Elsewhere bash is enough. */
const shellsOf = (page: string): ("bash" | "zsh")[] =>
  ["README.md", "docs/tutorial.md"].includes(page) ? ["bash", "zsh"] : ["bash"];
const isInstalled = (shell: string) => spawnSync(shell, ["-c", "true"]).status === 0;

let stack: TestStack;
let home: string;
let provider: ProviderStub;
beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  provider = await startProviderStub();
  home = await mkdtemp(join(tmpdir(), "launchpad-docs-"));
});
afterAll(async () => {
  await stack.stop();
  await provider[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

for (const page of pages) {
  const all = commandBlocks(await readFile(join(root, page), "utf8"));
  const blocks = all.filter((block) => markOf(block).by === "pages");
  for (const block of all) {
    const mark = markOf(block);
    if (mark.by === "nobody") notRun.push(`${page}: ${block.text.trim()}`);
    if (mark.by !== "test") continue;
    test(`${page}:${block.line} is run by ${mark.file}`, async () => {
      const source = await readFile(join(root, mark.file), "utf8");
      assert.ok(claimsOf(source).includes(page), `${mark.file} has no runMarked("${page}", …)`);
    });
  }
  if (blocks.length === 0) continue;

  for (const shell of shellsOf(page))
    describe(`${page} in ${shell}`, { skip: !isInstalled(shell) }, () => {
      let outcomes: Awaited<ReturnType<typeof runBlocks>>;
      beforeAll(async () => {
        const gateway = new URL(stack.info.apiUrl);
        outcomes = await runBlocks(blocks, {
          shell,
          cwd: root,
          // A home of its own: what a command keeps there is not this machine's.
          env: {
            PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}`,
            HOME: home,
            // As on a machine of its own: what another page left there is not met.
            TMPDIR: await mkdtemp(join(home, "tmp-")),
            NO_COLOR: "1",
            // The command line program finds the stack of `npm start` on its own, not that of a test.
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
            // Pages have accounts of their own, so that a reader of two neither signs up twice nor shares a rate limit.
            ...Object.fromEntries(
              ["me", "curl", "you", "cli"].map((who) => [
                `${who}@example.com`,
                `${who}-${shell}-${page.replace(/\W+/g, "-")}-${Date.now()}@example.com`.toLowerCase(),
              ]),
            ),
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

test("no two pages sign up with the same address", async () => {
  const texts = await Promise.all(
    pages.map(async (page) => [page, await readFile(join(root, page), "utf8")] as const),
  );
  const signingUp = texts.flatMap(([page, text]) =>
    [...text.matchAll(/(?:--sign-up --email |auth\/v1\/signup[^}]*"email": ")(\w+@example\.com)/g)].map(
      ([, address]) => [address, page],
    ),
  );
  const addresses = signingUp.map(([address]) => address);
  assert.ok(addresses.length >= 3, JSON.stringify(signingUp));
  assert.deepEqual([...new Set(addresses)], addresses, JSON.stringify(signingUp));
});

test("no other block is left out than those listed here", () => assert.deepEqual(notRun, NOT_RUN));
