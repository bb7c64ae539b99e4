// The statements that turn one database's schema into another's. @supabase/pg-delta reads both and orders them; what it
// does not know (operators, statistics, jobs, settings of roles) is added here. Nothing here runs anything.
import {
  type IntegrationProfile,
  type ResolvedProfile,
  resolveProfile,
  supabaseProfile,
} from "@supabase/pg-delta/integrations";
import { type Action, plan } from "@supabase/pg-delta/plan";
import type { Policy, Predicate } from "@supabase/pg-delta/policy";
import type pg from "pg";
import type { Named } from "./history.ts";

type Id = Action["destroys"][number];

export interface SchemaPlan {
  /** Settings that the statements run under. */
  settings: { name: string; value: string }[];
  statements: string[];
  /** What the database has and the release has not, and stays: it is not ours, or holds data. */
  kept: string[];
}

/** Says whether an object that the release has not may go. */
export type MayGo = (what: Named) => Promise<boolean>;

/** Policies of ours on tables of Storage and Realtime, and functions of ours in `extensions`, are ours as well. */
const OURS: Policy["filter"] = [
  { match: { all: [{ kind: "policy" }, { schema: ["storage", "realtime"] }] }, action: "include" },
  {
    match: { all: [{ kind: "function" }, { schema: "extensions" }, { name: "calm_*" }] },
    action: "include",
  },
  {
    match: {
      all: [
        { kind: ["acl", "comment"] },
        { target: { kind: "function", schema: "extensions", name: "calm_*" } },
      ],
    },
    action: "include",
  },
  // The platform's: which extensions there are, schemas beside ours, what is granted by default.
  {
    match: { kind: ["extension", "role", "membership", "eventTrigger", "language", "fdw", "server"] },
    action: "exclude",
  },
];

/**
 * Plans the way from one database to another.
 * @param current connections to the database that is to be changed, as its migrations' owner
 * @param wanted connections to the one that it should equal
 */
export async function planSchema(current: pg.Pool, wanted: pg.Pool, mayGo: MayGo): Promise<SchemaPlan> {
  const kept = new Map<string, Predicate>();
  // What stays is left out of the plan, and with it what depends on it; that may show more of the kind.
  for (;;) {
    const planned = await planWith(current, wanted, [...kept.values()]);
    const before = kept.size;
    for (const id of planned.actions.flatMap(({ destroys }) => destroys)) {
      const named = nameOf(id);
      if (named === undefined || kept.has(textOf(named)) || (await wantedAgain(planned.actions, id)))
        continue;
      if (!(await mayGo(named))) kept.set(textOf(named), keeping(named));
    }
    if (kept.size === before)
      return {
        settings: planned.preamble,
        statements: [...planned.actions.map(({ sql }) => sql), ...(await unmodelled(current, wanted))],
        kept: [...kept.keys()].sort(),
      };
  }
}

async function planWith(current: pg.Pool, wanted: pg.Pool, keep: Predicate[]) {
  const profile: IntegrationProfile = {
    id: "agent-launchpad",
    handlers: [],
    policy: {
      ...(supabaseProfile.policy as Policy),
      id: "agent-launchpad",
      filter: [
        ...keep.map((match) => ({ match, action: "exclude" as const })),
        ...(OURS ?? []),
        ...(supabaseProfile.policy?.filter ?? []),
      ],
    },
  };
  const resolved: ResolvedProfile = await resolveProfile(current, profile);
  const [from, to] = await Promise.all([resolved.extract(current), resolved.extract(wanted)]);
  return plan(from.factBase, to.factBase, { ...resolved.planOptions, renames: "off" });
}

/** Whether the plan makes again what it drops: a changed policy, a changed constraint. */
async function wantedAgain(actions: readonly Action[], id: Id): Promise<boolean> {
  const key = JSON.stringify(id);
  return actions.some(({ produces }) => produces.some((other) => JSON.stringify(other) === key));
}

function nameOf(id: Id): Named | undefined {
  if (!("schema" in id) || !("name" in id)) return undefined;
  return { kind: id.kind, schema: id.schema, name: id.name, ...("table" in id ? { table: id.table } : {}) };
}

const textOf = ({ kind, schema, table, name }: Named) =>
  `${kind} ${[schema, table, name].filter(Boolean).join(".")}`;

/** Matches an object, what belongs to it, and what is said of it. */
function keeping({ kind, schema, table, name }: Named): Predicate {
  const itself: Predicate = {
    all: [
      { kind },
      { schema },
      { name },
      ...(table === undefined ? [] : [{ idField: { field: "table", glob: table } }]),
    ],
  };
  if (table !== undefined) return itself;
  return {
    any: [
      itself,
      { all: [{ schema }, { idField: { field: "table", glob: name } }] },
      { target: { schema, name } },
    ],
  };
}

/** What pg-delta leaves alone, as statements. */
async function unmodelled(current: pg.Pool, wanted: pg.Pool): Promise<string[]> {
  const all = `
    select 'statistics ' || format('%I.%I', n.nspname, s.stxname) as what, pg_get_statisticsobjdef(s.oid) as sql
    from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where n.nspname in ('public', 'private')
    union all
    select 'operator ' || o.oid::regoperator, format('create operator %I.%s (function = %s%s, rightarg = %s)', n.nspname, o.oprname,
      o.oprcode, case when o.oprleft = 0 then '' else format(', leftarg = %s', o.oprleft::regtype) end, o.oprright::regtype)
    from pg_operator o join pg_namespace n on n.oid = o.oprnamespace
    where n.nspname in ('public', 'private', 'extensions') and o.oprowner = 'postgres'::regrole
    union all
    select 'job ' || jobname, format('select cron.schedule(%L, %L, %L)', jobname, schedule, command)
    from cron.job where jobname like 'launchpad-%'
    union all
    select 'setting ' || split_part(c, '=', 1), format('alter role authenticator set %s = %L', split_part(c, '=', 1), substr(c, position('=' in c) + 1))
    from pg_db_role_setting s cross join unnest(s.setconfig) c
    where s.setrole = 'authenticator'::regrole and s.setdatabase = 0 and c like any (array['pgrst.db_pre_request=%', 'pgrst.db_extra_search_path=%'])`;
  const read = async (pool: pg.Pool) => {
    const client = await pool.connect();
    try {
      await client.query("begin read only");
      await client.query("set local search_path = ''");
      return (await client.query<{ what: string; sql: string }>(all)).rows;
    } finally {
      await client.query("rollback");
      client.release();
    }
  };
  const [present, desired] = await Promise.all([read(current), read(wanted)]);
  const added = desired.filter(
    ({ what, sql }) => !present.some((each) => each.what === what && each.sql === sql),
  );
  const gone = present.filter(
    ({ what }) => what.startsWith("job ") && !desired.some((each) => each.what === what),
  );
  return [
    ...added.map(({ sql }) => sql),
    ...gone.map(({ what }) => `select cron.unschedule('${what.slice(4)}')`),
  ];
}
