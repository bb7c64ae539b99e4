// Indexes subscriptions by table, so that changes find their channels.

import type { Identity } from "./claims.ts";
import type { Action } from "./filters.ts";
import { type CompiledFilter, isExact } from "./matching.ts";
import type { Owner } from "./owners.ts";

/** Where changes go: a joined channel. */
export interface ChangeTarget {
  deliver(ids: number[], dataJson: string): void;
  /** Says in a system message that changes are delivered from now on. */
  flows(): void;
  /** Says in a system message that a change is missing. */
  warn(message: string): void;
  /** Closes the channel and says why. */
  end(message: string): void;
}

/** One subscription to one table. */
export interface Entry {
  table: number;
  action: Action;
  filters: CompiledFilter[];
  select: string[] | null;
  identity: Identity;
  owner: Owner;
  /** Deletions must be looked up in the past: the table has row-level security that holds this role back. */
  needsPast: boolean;
  target: ChangeTarget;
  /** What the client knows the subscription by. */
  id: number;
}

/** Entries with the same table, action and filters: what they ask is asked once. */
export interface FilterGroup {
  action: Action;
  filters: CompiledFilter[];
  entries: Set<Entry>;
}

interface TableIndex {
  groups: Map<string, FilterGroup>;
  /** Groups with an exact `eq`: column → value → groups. The others are looked at one by one. */
  byValue: Map<string, Map<string, Set<FilterGroup>>>;
  others: Set<FilterGroup>;
}

/** Who listens to what. A change of a table finds its groups by value, however many subscriptions there are. */
export class Registry {
  readonly #tables = new Map<number, TableIndex>();
  #size = 0;
  #needingPast = 0;

  /** Whether somebody listens to deletions under row-level security. */
  get needsPast(): boolean {
    return this.#needingPast > 0;
  }

  get size(): number {
    return this.#size;
  }

  add(entry: Entry): void {
    let index = this.#tables.get(entry.table);
    if (!index) {
      index = { groups: new Map(), byValue: new Map(), others: new Set() };
      this.#tables.set(entry.table, index);
    }
    const key = groupKey(entry);
    let group = index.groups.get(key);
    if (!group) {
      group = { action: entry.action, filters: entry.filters, entries: new Set() };
      index.groups.set(key, group);
      placeOf(index, group).add(group);
    }
    group.entries.add(entry);
    this.#size += 1;
    if (entry.needsPast) this.#needingPast += 1;
  }

  remove(entry: Entry): void {
    const index = this.#tables.get(entry.table);
    const key = groupKey(entry);
    const group = index?.groups.get(key);
    if (!index || !group?.entries.delete(entry)) return;
    this.#size -= 1;
    if (entry.needsPast) this.#needingPast -= 1;
    if (group.entries.size > 0) return;
    index.groups.delete(key);
    placeOf(index, group).delete(group);
    tidy(index, group);
    if (index.groups.size === 0) this.#tables.delete(entry.table);
  }

  /** The groups that a change may concern; takes the values of its columns (undefined: not in the log). */
  candidates(
    table: number,
    action: Action,
    textOf: (column: string) => string | null | undefined,
  ): FilterGroup[] {
    const index = this.#tables.get(table);
    if (!index) return [];
    const found = [...index.others];
    for (const [column, values] of index.byValue) {
      const value = textOf(column);
      if (typeof value === "string") found.push(...(values.get(value) ?? []));
    }
    return found.filter((group) => group.action === "*" || group.action === action);
  }
}

function groupKey({ action, filters }: Entry): string {
  return JSON.stringify([
    action,
    ...filters.map(({ column, op, negate, value }) => [column, op, negate, value]),
  ]);
}

/** Whether a change finds these filters by value. */
export const isIndexed = (filters: readonly CompiledFilter[]): boolean =>
  exactFilter({ filters }) !== undefined;

function exactFilter({ filters }: { filters: readonly CompiledFilter[] }): CompiledFilter | undefined {
  return filters.find((filter) => filter.op === "eq" && !filter.negate && isExact(filter));
}

function placeOf(index: TableIndex, group: FilterGroup): Set<FilterGroup> {
  const filter = exactFilter(group);
  const value = filter?.canonical[0];
  if (!filter || value === undefined) return index.others;
  let values = index.byValue.get(filter.column);
  if (!values) {
    values = new Map();
    index.byValue.set(filter.column, values);
  }
  let place = values.get(value);
  if (!place) {
    place = new Set();
    values.set(value, place);
  }
  return place;
}

function tidy(index: TableIndex, group: FilterGroup): void {
  const filter = exactFilter(group);
  const values = filter && index.byValue.get(filter.column);
  const value = filter?.canonical[0];
  if (!values || value === undefined || values.get(value)?.size !== 0) return;
  values.delete(value);
  if (values.size === 0) index.byValue.delete(filter.column);
}
