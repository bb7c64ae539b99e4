// Writes supabase/fingerprint.json: a digest of each object that the migrations make, which `launchpad doctor` compares a
// database with. Made by `npm run release`; from then on an integration test holds it current.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import pg from "pg";
import { startPostgres } from "../packages/local-supabase/src/postgres/server.ts";
import { type Catalogue, readCatalogue } from "../packages/stack/src/upgrade/catalogue.ts";
import { onDatabase, withReference } from "../packages/stack/src/upgrade/reference.ts";

const root = resolve(import.meta.dirname, "..");

export const FINGERPRINT_FILE = "supabase/fingerprint.json";

/** The file's text. Pure. */
export function fingerprintText(catalogue: Catalogue): string {
  return `${JSON.stringify(catalogue, null, 2)}\n`;
}

async function main(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), "launchpad-fingerprint-"));
  try {
    const server = await startPostgres({ dataDir, port: 0, durable: false });
    try {
      const reference = {
        superuserUrl: onDatabase(server.superuserUrl, "template1"),
        url: (database: string) => server.url("postgres", database),
      };
      const catalogue = await withReference(reference, root, async (connectionString) => {
        const client = new pg.Client({ connectionString });
        await client.connect();
        try {
          return await readCatalogue(client);
        } finally {
          await client.end();
        }
      });
      writeFileSync(join(root, FINGERPRINT_FILE), fingerprintText(catalogue));
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

if (import.meta.main) await main();
