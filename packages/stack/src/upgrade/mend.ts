// Mends a database that an older checkout made: its schema becomes the release's, in one transaction, and its data stays.

import { StackError } from "@agent-launchpad/local-supabase/errors.ts";
import pg from "pg";
import { catalogueWithin, type Difference, differences, readCatalogue } from "./catalogue.ts";
import { historyOf, isOurs, objectOf } from "./history.ts";
import { type MayGo, planSchema } from "./plan.ts";
import { bringRows, broughtRows, type TableRows } from "./rows.ts";

export interface MendOptions {
  /** The database, as `postgres`. */
  url: string;
  /** A database that the release's migrations have just made, as `postgres`. */
  referenceUrl: string;
  /** As a superuser, where there is one: dropping a trigger of a table of Auth's takes its owner. */
  superuserUrl?: string;
}

export interface Mended {
  /** What was otherwise before. */
  differences: Difference[];
  /** What the release has not and the database keeps. */
  kept: string[];
  statements: number;
}

/** Values for columns that must have one and have no default, for rows that were there before. */
const FILLED: Record<string, string> = {
  "private.agent_deployments.most_replicas": `case when target_replicas > 0 then greatest(target_replicas,
    (select (a.scaling_policy ->> 'max_replicas')::integer from public.agents a where a.id = agent_id)) else 0 end`,
};

/** Counters and indexes that triggers keep, of rows that were there before the triggers. */
const RECOUNTS = ["private.recount_rows()", "private.recount_files()", "private.resync_knowledge()"];

/**
 * Makes a database's schema equal to the reference's. All or nothing: when a statement fails, or the result is not equal,
 * nothing has changed. Throws a StackError that names the statement or the difference.
 */
export async function mendDatabase(options: MendOptions): Promise<Mended> {
  const current = poolOf(options.url);
  const wanted = poolOf(options.referenceUrl);
  try {
    const { before, after, brought, noted } = await readBoth(current, wanted);
    const found = differences(after, before);
    const planned = await planSchema(current, wanted, await judgeOf(current));
    const client = new pg.Client({ connectionString: options.superuserUrl ?? options.url });
    client.on("error", () => undefined);
    await client.connect();
    try {
      await client.query("begin");
      if (options.superuserUrl !== undefined) await client.query("set local role postgres");
      for (const { name, value } of planned.settings)
        await client.query("select set_config($1, $2, true)", [name, value]);
      await client.query("set local search_path = ''");
      const superuser = options.superuserUrl !== undefined;
      // Columns that are new may point to rows that the release brings.
      const late = planned.statements.filter((sql) => FOREIGN_KEY.test(sql));
      for (const sql of planned.statements) if (!late.includes(sql)) await run(client, sql, superuser);
      const added = found.flatMap(({ state, what }) =>
        state === "missing" && what.startsWith("column ") ? [what.slice(7)] : [],
      );
      await bringRows(client, brought, new Set(added));
      await replaceRetiredDefaults(client, brought);
      for (const sql of late) await run(client, sql, superuser);
      for (const recount of RECOUNTS)
        if (`function ${recount}` in after) await client.query(`select ${recount}`);
      await client.query("delete from supabase_migrations.schema_migrations where true");
      await client.query(
        `insert into supabase_migrations.schema_migrations (version, name, statements)
         select m.version, m.name, m.statements from jsonb_to_recordset($1) m (version text, name text, statements text[])`,
        [JSON.stringify(noted)],
      );
      refuse(differences(after, await catalogueWithin(client)), planned.kept);
      await client.query("commit");
      await client.query("notify pgrst, 'reload schema'");
      return { differences: found, kept: planned.kept, statements: planned.statements.length };
    } catch (error) {
      await client.query("rollback").catch(() => undefined);
      throw error;
    } finally {
      await client.end();
    }
  } finally {
    await Promise.all([current.end(), wanted.end()]);
  }
}

/** A framework's default that its provider retires gives way to the release's: it could not be set again. */
async function replaceRetiredDefaults(client: pg.Client, brought: readonly TableRows[]): Promise<void> {
  const frameworks = brought.find(({ table }) => table === "public.frameworks");
  if (frameworks === undefined) return;
  await client.query(
    `update public.frameworks f set default_model = r.default_model
     from jsonb_to_recordset($1) r (name text, default_model text), public.models m
     where r.name = f.name and m.framework = f.name and m.name = f.default_model and m.retires_at is not null`,
    [JSON.stringify(frameworks.rows)],
  );
}

function poolOf(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 3 });
  pool.on("error", () => undefined);
  return pool;
}

async function readBoth(current: pg.Pool, wanted: pg.Pool) {
  const before = await withClient(current, readCatalogue);
  return await withClient(wanted, async (client) => ({
    before,
    after: await readCatalogue(client),
    brought: await broughtRows(client),
    noted: (await client.query("select version, name, statements from supabase_migrations.schema_migrations"))
      .rows,
  }));
}

async function withClient<T>(pool: pg.Pool, fn: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    return await fn(client);
  } finally {
    client.release();
  }
}

/**
 * What may go: what a migration made that the database has had, as far as no data is in it. What its users made stays.
 */
async function judgeOf(current: pg.Pool): Promise<MayGo> {
  const history = await historyOf(current);
  return async (what) => {
    if (!isOurs(history, what)) return false;
    const { kind, schema, table, name } = what;
    const quoted = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table ?? name)}`;
    const data: Record<string, string> = {
      table: "true",
      column: `${pg.escapeIdentifier(name)} is not null`,
    };
    const held = data[kind];
    if (held === undefined) return kind !== "sequence" && kind !== "materializedView";
    return (await current.query(`select from ${quoted} where ${held} limit 1`)).rowCount === 0;
  };
}

const FOREIGN_KEY = /^ALTER TABLE .* ADD CONSTRAINT .* FOREIGN KEY |^COMMENT ON CONSTRAINT /;
const NEW_COLUMN = /^ALTER TABLE ("[^"]+"\."[^"]+") ADD COLUMN ("[^"]+") (.*) NOT NULL$/s;

async function run(client: pg.Client, sql: string, superuser: boolean): Promise<void> {
  const [, table, column] = NEW_COLUMN.exec(sql) ?? [];
  try {
    if (table !== undefined && column !== undefined) {
      const value = FILLED[`${table}.${column}`.replaceAll('"', "")];
      await client.query(value === undefined ? sql : sql.replace(/ NOT NULL$/, ""));
      if (value !== undefined) {
        await client.query(`update ${table} set ${column} = ${value} where true`);
        await client.query(`alter table ${table} alter column ${column} set not null`);
      }
      return;
    }
    const foreign = superuser && /^DROP TRIGGER .* ON "(auth|storage|realtime)"\./s.test(sql);
    if (foreign) await client.query("set local role none");
    await client.query(sql);
    if (foreign) await client.query("set local role postgres");
  } catch (error) {
    const first = sql.split("\n")[0]?.slice(0, 160);
    throw new StackError(
      `The database could not be mended, and nothing in it has changed. ${error instanceof Error ? error.message : error} (${first})`,
    );
  }
}

/** Refuses a result that is not what it should be: what stays is the users' own, or is kept. */
function refuse(left: readonly Difference[], kept: readonly string[]): void {
  const wrong = left.filter(({ state, what }) => {
    const object = objectOf(what);
    if (state !== "unknown" || object === undefined) return true;
    const { schema, table, name } = object;
    const names = [[schema, table, name].filter(Boolean).join("."), `${schema}.${table ?? name}`];
    return !kept.some((each) => names.some((named) => each.endsWith(` ${named}`)));
  });
  if (wrong.length === 0) return;
  const named = wrong.slice(0, 10).map(({ state, what }) => `${state} ${what}`);
  throw new StackError(
    `The database could not be mended, and nothing in it has changed: ${wrong.length} differences would stay (${named.join("; ")}).`,
  );
}
