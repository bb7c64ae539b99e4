// Writes the migration that follows from supabase/schemas, the files that people edit.
//   npm run migration              before the first release: the one migration, rewritten
//   npm run migration -- <name>    after it: what turns the released migrations into today's schemas
//   --check                        says whether the first is current, and writes nothing
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { FIRST_MIGRATION, firstMigration, schemaFiles, unreleasedFaults } from "./migration/schemas.ts";
import { released } from "./release/migrations.ts";

const root = resolve(import.meta.dirname, "..");
const folder = join(root, "supabase/migrations");

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { check: { type: "boolean" } },
  });
  const files = schemaFiles(root);
  if (released(root).version !== null) {
    // Whether migrations and schemas make the same is seen in a database: tests/integration/schemas.test.ts.
    if (values.check) return;
    const { nextMigration } = await import("./migration/next.ts");
    const [name = ""] = positionals;
    const file = join(folder, fileName(name, new Date()));
    writeFileSync(file, await nextMigration(root, files));
    process.stdout.write(
      `${file}\nRead it, complete it where it says so. Then run node scripts/fingerprint.ts and the tests.\n`,
    );
    return;
  }
  if (!values.check) return writeFileSync(join(folder, FIRST_MIGRATION), firstMigration(files));
  const names = readdirSync(folder).filter((name) => name.endsWith(".sql"));
  const texts = names.map((name) => [name, readFileSync(join(folder, name), "utf8")]);
  const faults = unreleasedFaults(files, Object.fromEntries(texts));
  if (faults.length > 0) throw new Error(faults.join("\n"));
}

function fileName(name: string, now: Date): string {
  if (!/^[a-z][a-z0-9_]*$/.test(name))
    throw new Error("Name what it does in small letters: npm run migration -- add_agent_mood");
  return `${now.toISOString().replace(/\D/g, "").slice(0, 14)}_${name}.sql`;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
