// `npm start` on a data folder of an older checkout: refused with the differences named, mended with --upgrade.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { spawnStack, startTestStack, type TestStack } from "../helpers/stack.ts";

const root = resolve(import.meta.dirname, "../..");
const OLDER = `update supabase_migrations.schema_migrations set statements = array['select 1'] where name = 'agent_launchpad'`;

let dataDir: string;
let stack: TestStack | undefined;
beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), "launchpad-upgrade-test-"));
});
afterAll(async () => {
  await stack?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

test("a schema that differs is refused and named, then mended; rows stay", { timeout: 600_000 }, async () => {
  stack = await startTestStack({ dataDir });
  const { id, email } = await stack.createUser();
  await stack.sql("drop index public.messages_reply_to_idx");
  await stack.sql("drop function private.version() cascade");
  await stack.sql(OLDER);
  const { dbUrl } = stack.info;
  const dry = spawnSync("npm", ["run", "--silent", "upgrade", "--", "--dry-run"], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, LAUNCHPAD_DB_URL: dbUrl },
  });
  assert.match(dry.stdout, /^missing: index public\.messages_reply_to_idx$/m);
  assert.match(dry.stdout, /^missing: function private\.version\(\)$/m);
  assert.equal(dry.status, 1, dry.stderr);
  await stack.stop();

  const refused = spawnStack({ dataDir });
  await assert.rejects(refused.ready, /missing: function private\.version\(\).*npm start -- --upgrade/s);

  stack = await startTestStack({ dataDir, args: ["--upgrade"] });
  const found = await stack.sql("select email, private.version() as version from auth.users where id = $1", [
    id,
  ]);
  assert.deepEqual(found, [{ email, version: "1.0.0" }]);
  await stack.stop();

  stack = await startTestStack({ dataDir });
  assert.equal(
    (await stack.sql("select to_regclass('public.messages_reply_to_idx') is not null as there"))[0]?.there,
    true,
  );
});

test("an edited comment alone stops nothing", { timeout: 120_000 }, async () => {
  await stack?.sql(OLDER);
  await stack?.stop();
  stack = await startTestStack({ dataDir });
  const [noted] = await stack.sql<{ length: number }>(
    "select array_length(statements, 1) as length from supabase_migrations.schema_migrations where name = 'agent_launchpad'",
  );
  assert.ok((noted?.length ?? 0) > 1);
});
