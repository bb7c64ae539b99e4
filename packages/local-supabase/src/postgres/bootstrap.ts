// Gives a new cluster the roles and schemas of a hosted project.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "pg";
import { StackError } from "../errors.ts";
import { BOOTSTRAP_FOLDER } from "./paths.ts";

interface Step {
  name: string;
  sql: () => string;
}

function steps(): Step[] {
  return readdirSync(BOOTSTRAP_FOLDER)
    .filter((name) => name.endsWith(".sql"))
    .sort()
    .map((name) => ({ name, sql: () => readFileSync(join(BOOTSTRAP_FOLDER, name), "utf8") }));
}

/** @returns a value that changes whenever the bootstrap would do something else. */
export function bootstrapKey(distributionKey: string): string {
  const hash = createHash("sha256").update(`${distributionKey}\n`);
  for (const step of steps()) hash.update(`${step.name}\n${step.sql()}\n`);
  return hash.digest("hex").slice(0, 16);
}

// Which bootstrap a cluster has is noted where no dump, no schema diff and no type generator sees it.
const NOTE = "Agent Launchpad bootstrap ";

/** @returns the key of the bootstrap that the database has, or undefined. */
export async function bootstrappedWith(superuser: Client): Promise<string | undefined> {
  const { rows } = await superuser.query<{ note: string | null }>(
    "select shobj_description(oid, 'pg_database') as note from pg_database where datname = current_database()",
  );
  const note = rows[0]?.note;
  return note?.startsWith(NOTE) ? note.slice(NOTE.length) : undefined;
}

/**
 * Makes the database behave as a hosted Supabase project does, in one transaction. Every step may run again on a database
 * that has it. Throws a StackError naming the step that failed.
 *
 * @param superuser a connection of supabase_admin to the database.
 */
export async function bootstrap(superuser: Client, key: string): Promise<void> {
  await superuser.query("begin");
  try {
    for (const step of steps()) {
      await superuser.query(step.sql()).catch((error: unknown) => {
        throw new StackError(
          `The database could not be prepared (${step.name}): ${error instanceof Error ? error.message : error}`,
        );
      });
    }
    await superuser.query(
      `do $$ begin execute format('comment on database %I is %L', current_database(), '${NOTE}${key}'); end $$`,
    );
    await superuser.query("commit");
  } catch (error) {
    await superuser.query("rollback").catch(() => undefined);
    throw error;
  }
}
