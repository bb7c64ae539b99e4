// Applies migrations through the Supabase CLI.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { arch } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { StackError } from "../errors.ts";
import { CACHE_FOLDER } from "./paths.ts";

export interface Migrations {
  /** Versions that this call applied. */
  applied: string[];
  /** true: everything was there already, and the CLI was not started. */
  upToDate: boolean;
}

/** @returns the versions of the migrations in a project's supabase/migrations, in order. */
export function localVersions(projectFolder: string): string[] {
  const folder = join(projectFolder, "supabase", "migrations");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((name) => /^(\d+)_.*\.sql$/.exec(name)?.[1] ?? [])
    .sort();
}

/** What the database says it has: migration versions and seed files, as the CLI notes them. */
async function history(url: string): Promise<{ versions: string[]; seeds: string[] }> {
  const client = new pg.Client({ connectionString: url });
  // A server that ends meanwhile rejects the query under way; unheard, the event would end the whole stack.
  client.on("error", () => undefined);
  await client.connect();
  try {
    const list = async (table: string, column: string) => {
      const { rows } = await client.query<{ there: boolean }>("select to_regclass($1) is not null as there", [
        table,
      ]);
      if (!rows[0]?.there) return [];
      const result = await client.query<{ value: string }>(
        `select ${column} as value from ${table} order by 1`,
      );
      return result.rows.map((row) => row.value);
    };
    return {
      versions: await list("supabase_migrations.schema_migrations", "version"),
      seeds: await list("supabase_migrations.seed_files", "path"),
    };
  } finally {
    await client.end();
  }
}

/** The CLI's own executable: its launcher script would be one more process, and one that a killed parent leaves behind. */
function cliBinary(): string {
  const require = createRequire(createRequire(import.meta.url).resolve("supabase/package.json"));
  const os = process.platform === "win32" ? "windows" : process.platform;
  for (const suffix of [`${os}-${arch()}`, `${os}-${arch()}-musl`]) {
    try {
      const folder = dirname(require.resolve(`@supabase/cli-${suffix}/package.json`));
      return join(folder, "bin", process.platform === "win32" ? "supabase.exe" : "supabase");
    } catch {
      // try the next one
    }
  }
  throw new StackError(
    `There is no Supabase CLI for ${os}-${arch()} (npm package @supabase/cli-…); is it installed?`,
  );
}

/**
 * Runs the real Supabase CLI against a database: quiet, without prompts, telemetry, update check, keyring or network.
 *
 * @param url a connection URL; its password goes through the environment, not into the process list.
 * @returns what it printed. Throws a StackError with its messages when it fails.
 */
export async function runSupabaseCli(
  args: string[],
  opts: { url: string; projectFolder: string; cacheFolder?: string },
): Promise<string> {
  const url = new URL(opts.url);
  const password = decodeURIComponent(url.password);
  url.password = "";
  const home = join(opts.cacheFolder ?? CACHE_FOLDER, "supabase-home");
  mkdirSync(home, { recursive: true });
  const child = spawn(
    cliBinary(),
    [...args, `--remote=${url}`, "--workdir", opts.projectFolder, "--agent", "no"],
    {
      cwd: opts.projectFolder,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env.PATH ?? "",
        HOME: home,
        SUPABASE_HOME: home,
        PGPASSWORD: password,
        DO_NOT_TRACK: "1",
        SUPABASE_TELEMETRY_DISABLED: "1",
        SUPABASE_NO_UPDATE_NOTIFIER: "1",
        SUPABASE_NO_KEYRING: "1",
        CI: "1",
        NO_COLOR: "1",
      },
    },
  );
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new StackError(`supabase ${args.slice(0, 2).join(" ")} failed:\n${printed.trim()}`);
  return printed;
}

/**
 * Brings a database to the project's migrations with `supabase db push`, as the non-superuser `postgres`, and seeds it with
 * supabase/seed.sql once (the CLI notes which seed files it ran). Starting the CLI takes 0.5 s, so it is not started when
 * the database already lists every local version and its seed.
 *
 * Throws a StackError when a migration fails.
 */
export async function pushMigrations(opts: {
  url: string;
  projectFolder: string;
  seed: boolean;
  cacheFolder?: string;
}): Promise<Migrations> {
  const local = localVersions(opts.projectFolder);
  const before = await history(opts.url);
  const applied = local.filter((version) => !before.versions.includes(version));
  const unseeded =
    opts.seed && before.seeds.length === 0 && existsSync(join(opts.projectFolder, "supabase", "seed.sql"));
  if (applied.length === 0 && !unseeded) return { applied: [], upToDate: true };
  await runSupabaseCli(
    ["db", "push", "--yes", "--include-all", "--skip-vault", ...(opts.seed ? ["--include-seed"] : [])],
    opts,
  );
  return { applied, upToDate: false };
}
