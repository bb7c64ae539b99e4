// The RLS matrix: table × caller × verb. What each policy must allow and refuse is data; the checks run in one transaction
// that is rolled back, so that a mutant of a policy can be judged without touching the database.
// A new table with user_id gets a line in `owned`, one without in `shared`, or the matrix fails.
import type pg from "pg";
import type { TestDatabase } from "./database.ts";

type Permission = "agents:read" | "monitoring:read";

/** Verbs: r(ead), i(nsert), u(pdate), d(elete). */
export interface Owned {
  /** What policies alone let the row's owner do, were every privilege granted. */
  owner: string;
  /** The permission that reading takes. */
  takes: Permission | null;
  /** What grants and policies together let the owner do. Inserts go through column grants and are tested apart. */
  granted: string;
  /** The same for service_role. */
  service: string;
  /** How many policies there are. */
  policies: number;
  /** Whether rows of nobody are read by all who may read their own. */
  common?: true;
}

const readable = (policies: number, takes: Permission | null = "agents:read", service = "r"): Owned => ({
  owner: "r",
  takes,
  granted: "r",
  service,
  policies,
});

/** Tables whose rows are somebody's. */
export const owned: Readonly<Record<string, Owned>> = {
  agents: { owner: "riud", takes: "agents:read", granted: "rud", service: "rud", policies: 4 },
  agent_conversations: readable(1, "agents:read", "rud"),
  agent_events: readable(1),
  agent_keys: readable(1),
  agent_logs: readable(1, "monitoring:read"),
  agent_metrics: readable(1, "monitoring:read"),
  agent_metrics_minute: readable(1, "monitoring:read"),
  agent_metrics_hour: readable(1, "monitoring:read"),
  agent_revisions: readable(1),
  agent_secrets: readable(4),
  answer_steps: readable(1),
  agent_tools: { owner: "riud", takes: "agents:read", granted: "rud", service: "rud", policies: 4 },
  budgets: readable(1),
  knowledge_files: readable(1),
  messages: { owner: "rid", takes: "agents:read", granted: "rd", service: "rd", policies: 4 },
  profiles: readable(1, null),
  quotas: readable(1, null, "rud"),
  security_events: readable(1, "monitoring:read"),
  security_scans: readable(1, "monitoring:read"),
  storage_usage: readable(1),
  swarms: { owner: "riud", takes: "agents:read", granted: "rud", service: "rud", policies: 4 },
  swarm_agents: { owner: "riud", takes: "agents:read", granted: "rud", service: "rud", policies: 4 },
  tools: { owner: "riud", takes: "agents:read", granted: "rud", service: "rud", policies: 4, common: true },
  usage_daily: readable(1),
  user_permissions: readable(1, null, "rud"),
  user_secrets: readable(4),
};

/** Tables of nobody's rows: who may read them. Nobody but service_role writes them. */
export const shared: Readonly<Record<string, { anon: boolean; policies: number }>> = {
  frameworks: { anon: true, policies: 1 },
  models: { anon: true, policies: 1 },
  model_prices: { anon: true, policies: 1 },
  rate_limits: { anon: false, policies: 1 },
  row_quotas: { anon: false, policies: 1 },
};

/** Columns that identify Alice's rows where user_id cannot be read. */
const filters: Readonly<Record<string, "agent_id">> = { agent_secrets: "agent_id" };

/** Two users, one of whom owns a row in every owned table. */
export interface Cast {
  alice: string;
  bob: string;
  agentId: string;
}

/** Values that a column's type alone does not tell. */
const values: Readonly<Record<string, unknown>> = {
  role: "user",
  level: "INFO",
  status: "COMPLETED",
  severity: "LOW",
  permission: "agents:read",
  framework: "openai",
  reply_mode: "all",
  sender_type: "user",
  category: "custom",
};

/** Columns beyond the required ones that a table's own checks want. */
const extra: Readonly<Record<string, Record<string, unknown>>> = {
  messages: { swarm_id: crypto.randomUUID() },
  answer_steps: { kind: "tool", status: "ok" },
  budgets: { period: "day" },
};

/** Gives Alice a row in each owned table that has none yet, by column types; triggers and foreign keys do not run. */
export async function fillOwnedTables(db: TestDatabase, { alice, agentId }: Cast): Promise<void> {
  await inTransaction(db, "commit", async (client) => {
    for (const table of Object.keys(owned)) {
      const { rows: columns } = await client.query<{ name: string; type: string }>(
        `select a.attname as name, format_type(a.atttypid, null) as type from pg_attribute a
         where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = ''
           and (a.attnotnull and not a.atthasdef or a.attname = 'user_id')`,
        [`public.${table}`],
      );
      const row = {
        ...Object.fromEntries(columns.map(({ name, type }) => [name, valueFor(name, type, alice, agentId)])),
        ...extra[table],
      };
      const list = Object.keys(row).map(quoted).join(", ");
      await client.query(
        `insert into public.${table} (${list}) select ${list} from jsonb_populate_record(null::public.${table}, $1)
         where not exists (select from public.${table} where user_id = $2)`,
        [JSON.stringify(row), alice],
      );
    }
  });
}

function valueFor(name: string, type: string, alice: string, agentId: string): unknown {
  if (name === "user_id") return alice;
  if (name === "agent_id") return agentId;
  if (name in values) return values[name];
  if (type === "uuid") return crypto.randomUUID();
  if (type.startsWith("timestamp") || type === "date") return new Date().toISOString();
  if (/^(bigint|integer|smallint|double|real|numeric)/.test(type)) return 1;
  if (type === "boolean") return true;
  if (type === "jsonb") return {};
  return type.endsWith("[]") ? [] : "x";
}

/** What judges a table (or all): every deviation from what is expected, as sentences; [] when all holds. */
export async function deviations(
  db: TestDatabase,
  cast: Cast,
  options: { tables?: readonly string[]; mutation?: string } = {},
): Promise<string[]> {
  const found: string[] = [];
  await inTransaction(db, "rollback", async (client) => {
    const rows = await ownedRows(client, cast, options.tables);
    if (options.mutation !== undefined) await client.query(options.mutation);
    const wanted = (table: string) => options.tables?.includes(table) ?? true;
    for (const [table, expected] of Object.entries(owned)) {
      if (!wanted(table)) continue;
      found.push(...(await judgeOwned(client, cast, table, expected, rows.get(table))));
    }
    for (const [table, expected] of Object.entries(shared)) {
      if (wanted(table)) found.push(...(await judgeShared(client, table, expected)));
    }
  });
  return found;
}

/** What Bob is told when he inserts a row that names Alice, by table: of what she has, and of what nobody has. */
export async function foreignInserts(
  db: TestDatabase,
  { alice, bob }: Cast,
): Promise<Record<string, string[]>> {
  const told: Record<string, string[]> = {};
  const { rows: tables } = await db.superuser.query<{ name: string; columns: string[] }>(
    `select c.relname as name, array_agg(quote_ident(a.attname)) as columns from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
       and has_column_privilege('authenticated', c.oid, a.attnum, 'INSERT')
     group by c.oid having 'user_id' = any (array_agg(a.attname)) order by 1`,
  );
  for (const { name, columns } of tables) {
    const { rows } = await db.superuser.query<{ row: Record<string, unknown> }>(
      `select to_jsonb(t) as row from public.${name} t where user_id = $1 limit 1`,
      [alice],
    );
    const hers = rows[0]?.row;
    if (!hers) throw new Error(`Alice has no row in ${name}`);
    const none = Object.fromEntries(
      Object.entries(hers).map(([column, value]) => [
        column,
        column.endsWith("_id") && column !== "user_id" && value !== null ? crypto.randomUUID() : value,
      ]),
    );
    told[name] = [];
    for (const row of [hers, none]) {
      const asked = db.as({ role: "authenticated", user: bob }, (client) =>
        client.query(
          `insert into public.${name} (${columns}) select ${columns} from jsonb_populate_record(null::public.${name}, $1)`,
          [JSON.stringify(row)],
        ),
      );
      told[name].push(
        await asked.then(
          () => "it is there",
          ({ code, message }: { code: string; message: string }) => `${code} ${message}`,
        ),
      );
    }
  }
  return told;
}

export type Client = pg.PoolClient;
/** An owner from whom the permission was taken that reading takes is stripped, one who has no other is bare. */
type Who = "owner" | "stripped" | "bare" | "other" | "anon" | "service";

async function ownedRows(client: Client, { alice }: Cast, tables: readonly string[] | undefined) {
  const rows = new Map<string, string>();
  for (const table of tables ?? Object.keys(owned)) {
    if (!(table in owned)) continue;
    const { rows: found } = await client.query<{ row: unknown }>(
      `select to_jsonb(t) as row from public.${table} t where user_id = $1 limit 1`,
      [alice],
    );
    if (found[0] !== undefined) rows.set(table, JSON.stringify(found[0].row));
  }
  return rows;
}

async function judgeOwned(
  client: Client,
  cast: Cast,
  table: string,
  expected: Owned,
  row: string | undefined,
): Promise<string[]> {
  if (row === undefined) return [`${table}: Alice has no row to judge by`];
  const found = await judgePolicies(client, `public.${table}`, expected.policies);
  const compare = async (who: Who, mode: "granted" | "alone", verbs: string, allowed: string) => {
    for (const verb of verbs) {
      const text = await statement(client, table, verb, row, cast, mode);
      const reached = await reaches(client, cast, who, mode, table, text, "gte".includes(verb));
      if (reached !== allowed.includes(verb)) {
        found.push(`${table}: ${who} ${reached ? "may" : "may not"} ${verb} (${mode})`);
      }
    }
  };
  await compare("owner", "granted", "rud", expected.granted);
  await compare("other", "granted", "rud", "");
  await compare("anon", "granted", "rud", "");
  await compare("service", "granted", "rud", expected.service);
  await compare("owner", "alone", "riud", expected.owner);
  // Blind ones name no column, so that no SELECT policy takes part: t(ake over), e(rase).
  await compare("other", "alone", "riudte", "");
  await compare("anon", "alone", "riud", "");
  await compare("stripped", "alone", "r", expected.takes === null ? "r" : "");
  await compare("bare", "alone", "r", "r");
  // Nor may an owner give a row to somebody else (g).
  await compare("owner", "alone", "g", "");
  if (expected.common) {
    for (const text of [
      `select from public.${table}`,
      `update public.${table} set user_id = user_id`,
      `delete from public.${table}`,
    ]) {
      for (const who of ["other", "stripped", "anon"] as const) {
        const reached = await reaches(client, cast, who, "alone", table, `${text} where user_id is null`);
        if (reached !== (who === "other" && text.startsWith("select"))) {
          found.push(`${table}: ${who} ${reached ? "may" : "may not"} ${text}, of rows of nobody`);
        }
      }
    }
  }
  return found;
}

async function judgeShared(
  client: Client,
  table: string,
  expected: { anon: boolean; policies: number },
): Promise<string[]> {
  const found = await judgePolicies(client, `public.${table}`, expected.policies);
  const cast = { alice: "", bob: crypto.randomUUID(), agentId: "" };
  const look = async (who: Who, mode: "granted" | "alone", verb: "r" | "d", allowed: boolean) => {
    const text = verb === "r" ? `select 1 from public.${table}` : `delete from public.${table}`;
    const reached = await reaches(client, cast, who, mode, table, text);
    if (reached !== allowed) found.push(`${table}: ${who} ${reached ? "may" : "may not"} ${verb} (${mode})`);
  };
  for (const mode of ["granted", "alone"] as const) {
    await look("other", mode, "r", true);
    await look("anon", mode, "r", expected.anon);
    await look("other", mode, "d", false);
    await look("anon", mode, "d", false);
  }
  return found;
}

/** What is wrong with a table's row-level security as such: switched off, or more or fewer policies than expected. */
export async function judgePolicies(client: Client, table: string, expected: number): Promise<string[]> {
  const { rows } = await client.query<{ policies: number; on: boolean }>(
    `select (select count(*)::int from pg_policy p where p.polrelid = c.oid) as policies, c.relrowsecurity as on
     from pg_class c where c.oid = $1::regclass`,
    [table],
  );
  const { policies, on } = rows[0] ?? { policies: 0, on: false };
  return [
    ...(on ? [] : [`${table}: row-level security is off`]),
    ...(policies === expected ? [] : [`${table}: ${policies} policies instead of ${expected}`]),
  ];
}

async function statement(
  client: Client,
  table: string,
  verb: string,
  row: string,
  { alice, bob, agentId }: Cast,
  mode: "granted" | "alone",
): Promise<string> {
  const by = filters[table] ?? "user_id";
  const where = `where ${by} = ${literal(by === "user_id" ? alice : agentId)}`;
  if (verb === "r") return `select ${by} from public.${table} ${where}`;
  if (verb === "d") return `delete from public.${table} ${where}`;
  if (verb === "e") return `delete from public.${table}`;
  if (verb === "g" || verb === "t") return `update public.${table} set user_id = ${literal(bob)}`;
  if (verb === "u") {
    const column = mode === "alone" ? "user_id" : await updatable(client, table);
    return `update public.${table} set ${quoted(column)} = ${quoted(column)} ${where}`;
  }
  const { rows } = await client.query<{ list: string }>(
    `select string_agg(quote_ident(a.attname), ', ' order by a.attnum) as list from pg_attribute a
     where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''`,
    [`public.${table}`],
  );
  const list = rows[0]?.list;
  return `insert into public.${table} (${list}) overriding system value
    select ${list} from jsonb_populate_record(null::public.${table}, ${literal(row)})`;
}

/** A column that signed-in users may write, or user_id where there is none. */
async function updatable(client: Client, table: string): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `select a.attname as name from pg_attribute a where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped
       and has_column_privilege('authenticated', a.attrelid, a.attnum, 'UPDATE') limit 1`,
    [`public.${table}`],
  );
  return rows[0]?.name ?? "user_id";
}

/**
 * Whether a statement of a caller reaches a row: it touches one, or fails for another reason than privileges and policies
 * (a unique index meets the row after its policy has let it in). A blind one reaches when Alice's rows are gone.
 */
async function reaches(
  client: Client,
  { alice, bob }: Cast,
  who: Who,
  mode: "granted" | "alone",
  table: string,
  text: string,
  blind = false,
): Promise<boolean> {
  await client.query("savepoint before_statement");
  try {
    if (mode === "alone") await client.query(`grant all on public.${table} to authenticated, anon`);
    if ((who === "stripped" || who === "bare") && table !== "user_permissions") {
      await client.query(
        `delete from public.user_permissions where user_id = $1 and (permission is not distinct from $2) = $3`,
        [alice, owned[table]?.takes ?? null, who === "stripped"],
      );
    }
    const role = who === "anon" ? "anon" : who === "service" ? "service_role" : "authenticated";
    const sub = who === "other" ? bob : alice;
    const claims = role === "authenticated" ? { role, sub } : { role };
    await client.query(
      "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true), set_config('launchpad.permissions', '', true)",
      [role, JSON.stringify(claims)],
    );
    const { rowCount } = await client.query(text);
    if (!blind) return (rowCount ?? 0) > 0;
    await client.query("reset role");
    const left = await client.query(`select from public.${table} where user_id = $1`, [alice]);
    return left.rowCount === 0;
  } catch (error) {
    return (error as { code?: string }).code !== "42501";
  } finally {
    await client.query("rollback to savepoint before_statement");
  }
}

/** One transaction of the superuser in which no trigger and no foreign key takes part. */
export async function inTransaction(
  db: TestDatabase,
  end: "commit" | "rollback",
  work: (client: Client) => Promise<void>,
): Promise<void> {
  const client = await db.superuser.connect();
  try {
    await client.query("begin");
    await client.query("set local session_replication_role = replica");
    await work(client);
    await client.query(end);
  } catch (error) {
    await client.query("rollback");
    throw error;
  } finally {
    client.release();
  }
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
export const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
