// `npm run upgrade`: shows how any Agent Launchpad database differs from this checkout, and mends it when asked. The
// reference is made on a server of its own, so a hosted project needs nothing beside its connection string.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { reasonOf, StackError } from "@agent-launchpad/local-supabase/errors.ts";
import { startPostgres } from "@agent-launchpad/local-supabase/postgres/server.ts";
import { mendedText } from "./before-migrations.ts";
import { compareWithProject, dealWithOutdated, type UpgradeOptions } from "./outdated.ts";
import { onDatabase } from "./reference.ts";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));

const HELP = `Shows how a database differs from this checkout's migrations, and mends it. Data stays.

Usage: npm run upgrade -- --db-url URL [--dry-run]

  --db-url URL   the connection string of the role postgres (or LAUNCHPAD_DB_URL)
  --dry-run      list the differences and change nothing; exit code 1 when there are any

A stopped stack on this machine is upgraded by \`npm start -- --upgrade\`.
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      "db-url": { type: "string" },
      "dry-run": { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const url = values["db-url"] ?? process.env.LAUNCHPAD_DB_URL;
  if (!url) throw new StackError("--db-url is missing; --help shows how to call it.");
  const dataDir = mkdtempSync(join(tmpdir(), "launchpad-upgrade-"));
  try {
    const server = await startPostgres({ dataDir, port: 0, durable: false });
    try {
      const options: UpgradeOptions = {
        url,
        projectFolder: ROOT,
        server: {
          superuserUrl: onDatabase(server.superuserUrl, "template1"),
          url: (database) => server.url("postgres", database),
        },
      };
      return values["dry-run"] ? await show(options) : await upgrade(options);
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function show(options: UpgradeOptions): Promise<number> {
  const found = await compareWithProject(options);
  for (const { state, what } of found) process.stdout.write(`${state}: ${what}\n`);
  process.stdout.write(`${found.length} difference${found.length === 1 ? "" : "s"}\n`);
  return found.length === 0 ? 0 : 1;
}

async function upgrade(options: UpgradeOptions): Promise<number> {
  const { differences, kept } = await dealWithOutdated(options, true);
  process.stdout.write(`${mendedText(differences.length, kept)}\n`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof StackError ? error.message : reasonOf(error)}\n`);
  process.exitCode = 1;
}
