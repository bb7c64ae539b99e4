// The real Supabase CLI against the running stack: migrations, advisors, generated types.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, test } from "vitest";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const bin = (name: string) => join(root, "node_modules/.bin", name);

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(() => stack.stop());

const supabase = (...args: string[]) =>
  run(bin("supabase"), [...args, "--db-url", stack.info.dbUrl], {
    cwd: root,
    env: { ...process.env, SUPABASE_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" },
    maxBuffer: 16 * 1024 * 1024,
  });

test("supabase db push has nothing left to push", async () => {
  const { stdout, stderr } = await supabase("db", "push", "--dry-run");
  assert.match(stdout + stderr, /up to date/i);
});

test("supabase db advisors finds nothing", async () => {
  const { stdout, stderr } = await supabase("db", "advisors");
  assert.match(stdout + stderr, /No issues found/, stdout + stderr);
});

test("supabase gen types gives supabase/database.types.ts as committed (UPDATE_TYPES=1 writes it)", async () => {
  const { stdout } = await supabase("gen", "types", "--lang", "typescript", "--schema", "public");
  const committed = join(root, "supabase/database.types.ts");
  const { stdout: formatted } = await new Promise<{ stdout: string }>((resolve, reject) => {
    const child = execFile(
      bin("biome"),
      ["format", "--stdin-file-path", "supabase/types.ts"],
      { cwd: root, maxBuffer: 16 * 1024 * 1024 },
      (error, out) => (error ? reject(error) : resolve({ stdout: out })),
    );
    child.stdin?.end(stdout);
  });
  if (process.env.UPDATE_TYPES === "1") await writeFile(committed, formatted);
  assert.equal(await readFile(committed, "utf8"), formatted);
});
