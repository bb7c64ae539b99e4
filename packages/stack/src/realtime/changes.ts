import type pg from "pg";
import { askEach, quote } from "./ask.ts";
import { bypassingRoles, describeTables, type TableFacts } from "./catalog.ts";
import type { Database } from "./database.ts";
import { judge, judgeSql } from "./matching.ts";
import { type ChangeFacts, dataJson, type Rendered, refusalJson } from "./payload.ts";
import type { Value } from "./pgoutput.ts";
import type { ChangeTarget, Entry, FilterGroup, Registry } from "./registry.ts";
import { renderValue } from "./render.ts";
import type { Change } from "./replication.ts";
import { type VisibilityQuestion, visibleRows } from "./visibility.ts";

/** A row's values as text by column name; a column that the log does not carry is missing. */
type Row = Map<string, string | null>;

/** A change on its way to those whom it may concern. */
interface Candidate {
  facts: ChangeFacts;
  oid: number;
  row: Row;
  old: Row;
  groups: FilterGroup[];
}

type Described = Candidate & { table: TableFacts };

/**
 * Hands a batch of changes to the subscribers who may see them, in order. Filters that text can judge are judged here; the
 * rest, visibility and rare types are asked in one statement each, whatever the number of changes and subscribers.
 * Throws when the database is away: nothing has been delivered then, and the batch may be tried again.
 */
export async function deliverChanges(
  database: Database,
  registry: Registry,
  changes: readonly Change[],
  options: { recordBytes: number; onLog: (line: string) => void },
): Promise<void> {
  const candidates = changes.flatMap((change) => candidateOf(registry, change) ?? []);
  if (candidates.length === 0) return;
  const roles = new Set(candidates.flatMap(({ groups }) => groups.flatMap(rolesOf)));
  const [tables, bypassing] = await Promise.all([
    describeTables(database.admin, [...new Set(candidates.map(({ oid }) => oid))], [...roles]),
    bypassingRoles(database.admin, [...roles]),
  ]);
  const described = candidates.flatMap((candidate) => {
    const table = tables.get(candidate.oid);
    return table ? [{ ...candidate, table }] : []; // a table that is gone has nobody who may read it
  });
  const refused = described.map(refusalsOf);
  const passed = await passFilters(database.admin, described);
  const receivers = passed.map((groups, i) =>
    groups.flatMap((group) => [...group.entries].filter((entry) => !refused[i]?.has(entry))),
  );
  const seen = await passPolicies(database.api, described, receivers, bypassing, options.onLog);
  const rendered = await renderRows(database.admin, described, seen);

  described.forEach((candidate, i) => {
    const rows = rendered[i];
    if (rows) deliver(candidate, seen[i] ?? [], rows, options.recordBytes);
    for (const [entry, error] of refused[i] ?? [])
      entry.target.deliver([entry.id], refusalJson(candidate.facts, error));
  });
}

const rolesOf = (group: FilterGroup): string[] => [...group.entries].map(({ identity }) => identity.role);

function candidateOf(registry: Registry, change: Change): Candidate | undefined {
  const row = valuesOf(change, change.row);
  const old = oldValuesOf(change);
  const judged = change.action === "DELETE" ? old : row;
  const { oid, schema, table } = change.relation;
  const groups = registry.candidates(oid, change.action, (column) => judged.get(column));
  const facts = { action: change.action, schema, table, committedAt: change.committedAt };
  return groups.length > 0 ? { facts, oid, row, old, groups } : undefined;
}

function valuesOf(change: Change, values: Value[] | undefined): Row {
  const result: Row = new Map();
  change.relation.columns.forEach(({ name }, i) => {
    const value = values?.[i];
    if (value !== undefined) result.set(name, value);
  });
  return result;
}

/** The old row as hosted has it (wal2json's `identity`): what the log holds of it, else the identity columns of the new row. */
function oldValuesOf(change: Change): Row {
  if (change.action === "INSERT") return new Map();
  const values = valuesOf(change, change.old ?? change.row);
  if (change.old && !change.oldIsKey) return values;
  for (const { name, isIdentity } of change.relation.columns) if (!isIdentity) values.delete(name);
  return values;
}

/**
 * Who cannot be shown the change at all, and why (the words are realtime.apply_rls's): everyone where the table has no
 * primary key, else those whose role may not read it. Hosted tells all who listen to the table, whatever their filter.
 */
function refusalsOf({ facts, table, groups }: Described): Map<Entry, string> {
  const result = new Map<Entry, string>();
  if (facts.action === "DELETE") return result;
  const keys = table.columns.filter(({ isKey }) => isKey);
  for (const entry of groups.flatMap((group) => [...group.entries])) {
    if (keys.length === 0) result.set(entry, "Error 400: Bad Request, no primary key");
    else if (!keys.every(({ roles }) => roles.includes(entry.identity.role)))
      result.set(entry, "Error 401: Unauthorized");
  }
  return result;
}

/** Which groups of each change pass all their filters. A filter whose column is not in the log fails. */
async function passFilters(pool: pg.Pool, candidates: Described[]): Promise<FilterGroup[][]> {
  const asked: { sql: string; drop: () => void }[] = [];
  const passed = candidates.map(({ facts, groups, row, old }) => {
    const values = facts.action === "DELETE" ? old : row;
    const kept = new Set(groups);
    for (const group of groups) {
      for (const filter of group.filters) {
        const value = values.get(filter.column);
        const verdict = value === undefined ? false : judge(filter, value);
        if (verdict === "ask") {
          asked.push({ sql: judgeSql(filter, value ?? "", quote), drop: () => kept.delete(group) });
        } else if (!verdict) {
          kept.delete(group);
        }
      }
    }
    return kept;
  });
  const answers = await askEach(
    pool,
    asked.map(({ sql }) => sql),
    "boolean",
  );
  asked.forEach(({ drop }, i) => {
    if (answers[i] !== true) drop();
  });
  return passed.map((groups) => [...groups]);
}

/** Who sees each change. Row-level security asks once for each distinct set of claims; a deleted row can be asked about no more. */
async function passPolicies(
  pool: pg.Pool,
  candidates: Described[],
  receivers: Entry[][],
  bypassing: Set<string>,
  onLog: (line: string) => void,
): Promise<Entry[][]> {
  const questions = new Map<string, VisibilityQuestion & { rows: Map<number, number> }>();
  const questionOf = (entry: Entry, table: TableFacts) => {
    const key = `${table.oid} ${entry.identity.json}`;
    let question = questions.get(key);
    if (!question) {
      question = { identity: entry.identity, table, keys: [], rows: new Map() };
      questions.set(key, question);
    }
    return question;
  };
  const isFree = ({ facts, table }: Described, entry: Entry) =>
    !table.rls || facts.action === "DELETE" || bypassing.has(entry.identity.role);
  candidates.forEach((candidate, i) => {
    const keys = candidate.table.columns.filter(({ isKey }) => isKey);
    for (const entry of receivers[i] ?? []) {
      if (isFree(candidate, entry)) continue;
      const question = questionOf(entry, candidate.table);
      if (question.rows.has(i)) continue;
      question.rows.set(i, question.keys.length);
      question.keys.push(keys.map(({ name }) => candidate.row.get(name) ?? null));
    }
  });
  // In the order of identities, so that each is put on only once.
  const ordered = [...questions.values()].sort((a, b) => (a.identity.json < b.identity.json ? -1 : 1));
  const answers = await visibleRows(pool, ordered, onLog);
  const answerOf = new Map(ordered.map((question, n) => [question, answers[n]]));
  return candidates.map((candidate, i) =>
    (receivers[i] ?? []).filter((entry) => {
      if (isFree(candidate, entry)) return true;
      const question = questionOf(entry, candidate.table);
      const row = question.rows.get(i);
      return row !== undefined && answerOf.get(question)?.has(row) === true;
    }),
  );
}

/** The JSON of each change's values, for those changes that somebody gets. */
async function renderRows(
  pool: pg.Pool,
  candidates: Described[],
  seen: Entry[][],
): Promise<({ row: Rendered; old: Rendered } | undefined)[]> {
  const asked: { sql: string; put: (json: string) => void }[] = [];
  const result = candidates.map(({ table, row, old }, i) => {
    if ((seen[i]?.length ?? 0) === 0) return undefined;
    const render = (values: Row): Rendered => {
      const texts: Rendered = new Map();
      for (const column of table.columns) {
        const value = values.get(column.name);
        if (value === undefined) continue;
        const text = renderValue(value, column);
        texts.set(column.name, text ?? "null");
        if (text !== undefined || value === null) continue;
        asked.push({
          sql: `to_jsonb(${quote(value)}::${column.sqlType})::text`,
          put: (json) => texts.set(column.name, json),
        });
      }
      return texts;
    };
    return { row: render(row), old: render(old) };
  });
  const answers = await askEach(
    pool,
    asked.map(({ sql }) => sql),
    "text",
  );
  asked.forEach(({ put }, i) => {
    const answer = answers[i];
    if (typeof answer === "string") put(answer);
  });
  return result;
}

/** One message per channel, with the ids of all its subscriptions that match; one text per role and selection. */
function deliver(
  { facts, table, row, old }: Described,
  entries: Entry[],
  rendered: { row: Rendered; old: Rendered },
  recordBytes: number,
): void {
  const tooLarge = bytesOf(row) + bytesOf(old) > recordBytes;
  const texts = new Map<string, string>();
  const messages = new Map<ChangeTarget, Map<string, number[]>>();
  for (const { identity, select, target, id } of entries) {
    const view = JSON.stringify([identity.role, select]);
    if (!texts.has(view)) {
      texts.set(
        view,
        dataJson(facts, table, rendered.row, rendered.old, { role: identity.role, select, tooLarge }),
      );
    }
    let ofTarget = messages.get(target);
    if (!ofTarget) {
      ofTarget = new Map();
      messages.set(target, ofTarget);
    }
    const ids = ofTarget.get(view);
    if (ids) ids.push(id);
    else ofTarget.set(view, [id]);
  }
  for (const [target, views] of messages) {
    for (const [view, ids] of views) target.deliver(ids, texts.get(view) as string);
  }
}

function bytesOf(row: Row): number {
  let bytes = 0;
  for (const [name, value] of row) bytes += name.length + Buffer.byteLength(value ?? "");
  return bytes;
}
