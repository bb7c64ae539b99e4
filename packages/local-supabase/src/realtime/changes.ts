// A batch of changes on its way to those who may see them: cheap filters, policies, costly filters, payloads.
import type pg from "pg";
import { askEach, quote } from "./ask.ts";
import { bypassingRoles, describeTables, type TableFacts } from "./catalog.ts";
import type { Database } from "./database.ts";
import type { Judge, Questions } from "./judging.ts";
import { judge, judgeSql } from "./matching.ts";
import type { Past } from "./past.ts";
import { type ChangeFacts, dataJson, type Rendered } from "./payload.ts";
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

/** A group whose filters passed as far as this process can judge them, and what is left to ask the database. */
interface Passed {
  entries: Entry[];
  asked: string[];
}

/**
 * Hands a batch of changes to the subscribers who may see them, in order. Filters that text can judge are judged here; then
 * policies say who sees which row; only then are the other filters judged, on rows that their owner sees: no filter runs
 * on another user's row. Each is one statement, whatever the number of changes and subscribers (costly filters: one
 * for each owner). Throws when the database is not reachable: nothing has been delivered then, and the batch may be tried again.
 */
export async function deliverChanges(
  database: Pick<Database, "feed" | "api">,
  registry: Registry,
  changes: readonly Change[],
  options: {
    recordBytes: number;
    judge: Judge;
    past: Pick<Past, "visible">;
    onLog: (line: string) => void;
  },
): Promise<void> {
  const candidates = changes.flatMap((change) => candidateOf(registry, change) ?? []);
  if (candidates.length === 0) return;
  const roles = new Set(candidates.flatMap(({ groups }) => groups.flatMap(rolesOf)));
  const [tables, bypassing] = await Promise.all([
    describeTables(database.feed, [...new Set(candidates.map(({ oid }) => oid))], [...roles]),
    bypassingRoles(database.feed, [...roles]),
  ]);
  const described = candidates.flatMap((candidate) => {
    const table = tables.get(candidate.oid);
    return table ? [{ ...candidate, table }] : []; // no role can read a table that is gone
  });
  const passed = described.map(passHere);
  const receivers = passed.map((groups) => groups.flatMap(({ entries }) => entries));
  const visible = await passPolicies(database.api, described, receivers, bypassing, options);
  const seen = await passJudge(options.judge, described, passed, visible);
  const rendered = await renderRows(database.feed, described, seen);

  described.forEach((candidate, i) => {
    const rows = rendered[i];
    if (rows) deliver(candidate, seen[i] ?? [], rows, options.recordBytes);
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
 * The groups whose filters pass here, with those entries whose role can read the table's primary key. A filter whose column
 * is not in the log fails.
 */
function passHere({ facts, table, groups, row, old }: Described): Passed[] {
  const values = facts.action === "DELETE" ? old : row;
  const keys = table.columns.filter(({ isKey }) => isKey);
  if (keys.length === 0) return [];
  const canRead = ({ identity }: Entry) => keys.every(({ roles }) => roles.includes(identity.role));
  return groups.flatMap(({ filters, entries }) => {
    const asked: string[] = [];
    for (const filter of filters) {
      const value = values.get(filter.column);
      const verdict = value === undefined ? false : judge(filter, value);
      if (!verdict) return [];
      if (verdict === "ask") asked.push(judgeSql(filter, value ?? "", quote));
    }
    const readers = [...entries].filter(canRead);
    return readers.length > 0 ? [{ entries: readers, asked }] : [];
  });
}

/** Drops those whose remaining filters fail. Each owner's filters are asked on the rows that this owner sees. */
async function passJudge(
  judgement: Judge,
  candidates: readonly Described[],
  passed: readonly Passed[][],
  visible: readonly Entry[][],
): Promise<Entry[][]> {
  const seen = visible.map((entries) => new Set(entries));
  const byOwner = new Map<string, Questions>();
  candidates.forEach((_, i) => {
    for (const { entries, asked } of passed[i] ?? []) {
      if (asked.length === 0) continue;
      const ofOwner = Map.groupBy(
        entries.filter((entry) => seen[i]?.has(entry)),
        ({ owner }) => owner,
      );
      for (const [owner, own] of ofOwner) {
        const questions = byOwner.get(owner) ?? { owner, targets: new Set(), asked: [] };
        byOwner.set(owner, questions);
        for (const { target } of own) questions.targets.add(target);
        const fails = () => {
          for (const entry of own) seen[i]?.delete(entry);
        };
        questions.asked.push({ sql: asked.join(" and "), fails });
      }
    }
  });
  await judgement.judge([...byOwner.values()]);
  return seen.map((entries) => [...entries]);
}

type Question = VisibilityQuestion & { rows: Map<number, number> };

/**
 * Who sees each change. Row-level security is asked once for each distinct set of claims: of a row that was written now, of
 * a row that was deleted in a snapshot from before.
 */
async function passPolicies(
  pool: pg.Pool,
  candidates: Described[],
  receivers: Entry[][],
  bypassing: Set<string>,
  { past, onLog }: { past: Pick<Past, "visible">; onLog: (line: string) => void },
): Promise<Entry[][]> {
  const questions = { written: new Map<string, Question>(), deleted: new Map<string, Question>() };
  const questionOf = (entry: Entry, { facts, table }: Described) => {
    const ofKind = facts.action === "DELETE" ? questions.deleted : questions.written;
    const key = `${table.oid} ${entry.identity.json}`;
    let question = ofKind.get(key);
    if (!question) {
      question = { identity: entry.identity, table, keys: [], rows: new Map() };
      ofKind.set(key, question);
    }
    return question;
  };
  const isFree = ({ table }: Described, entry: Entry) => !table.rls || bypassing.has(entry.identity.role);
  candidates.forEach((candidate, i) => {
    const keys = candidate.table.columns.filter(({ isKey }) => isKey);
    const values = candidate.facts.action === "DELETE" ? candidate.old : candidate.row;
    for (const entry of receivers[i] ?? []) {
      if (isFree(candidate, entry)) continue;
      const question = questionOf(entry, candidate);
      if (question.rows.has(i)) continue;
      question.rows.set(i, question.keys.length);
      question.keys.push(keys.map(({ name }) => values.get(name) ?? null));
    }
  });
  const written = inOrder(questions.written);
  const deleted = inOrder(questions.deleted);
  const deletions = candidates.filter(({ facts }) => facts.action === "DELETE");
  const before = Math.min(...deletions.map(({ facts }) => facts.committedAt.getTime()));
  const answers = await Promise.all([
    visibleRows(pool, written, onLog),
    past.visible(deleted, new Date(before)),
  ]);
  const sets = answers.flat();
  const answerOf = new Map([...written, ...deleted].map((question, n) => [question, sets[n]]));
  return candidates.map((candidate, i) =>
    (receivers[i] ?? []).filter((entry) => {
      if (isFree(candidate, entry)) return true;
      const question = questionOf(entry, candidate);
      const row = question.rows.get(i);
      return row !== undefined && answerOf.get(question)?.has(row) === true;
    }),
  );
}

/** In the order of identities, so that each is put on only once. */
const inOrder = (questions: Map<string, Question>): Question[] =>
  [...questions.values()].sort((a, b) => (a.identity.json < b.identity.json ? -1 : 1));

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
    const answer = answers === "late" ? null : answers[i];
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
