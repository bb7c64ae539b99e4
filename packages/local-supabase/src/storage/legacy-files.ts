/** Brings the files of release 0.2.0 to the places that they have now. */
import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Database } from "./database.ts";
import type { Files } from "./files.ts";

const digest = (text: string) => hash("sha256", text, "hex");
const BUCKET_FOLDER = /^[0-9a-f]{16}$/;

/**
 * Moves each object's bytes; a row without a version gets one. May be cut off and run again: what was moved is found no
 * more where it was. Files that no row names go with the old folders.
 * @returns how many objects were brought over
 */
export async function bringOverFiles(folder: string, database: Database, files: Files): Promise<number> {
  const entries = existsSync(folder) ? await readdir(folder) : [];
  const old = entries.filter((name) => BUCKET_FOLDER.test(name));
  if (old.length === 0) return 0;
  let moved = 0;
  const { rows } = await database.query<{ id: string; bucket: string; name: string; version: string | null }>(
    "select id, bucket_id as bucket, name, version from storage.objects",
  );
  for (const row of rows) {
    const path = join(folder, digest(row.bucket).slice(0, 16), digest(row.name));
    if (!existsSync(`${path}.bin`)) continue;
    const version = row.version || row.id;
    if (row.version !== version)
      await database.query("update storage.objects set version = $2 where id = $1", [row.id, version]);
    await files.place(`${path}.bin`, { bucket: row.bucket, name: row.name, version });
    moved += 1;
  }
  for (const name of old) await rm(join(folder, name), { recursive: true, force: true });
  return moved;
}
