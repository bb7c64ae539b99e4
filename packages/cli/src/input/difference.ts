// Compares a definition in a file with the agent it describes.

/** One field that a definition would change. */
export interface Difference {
  /** As errors name it: `resources.memory`, `plugins[0]`. */
  field: string;
  /** The value now; undefined where the agent has none. */
  before: unknown;
  /** The value afterwards; undefined where it goes. */
  after: unknown;
}

/** Objects of which an update changes only what it names; others are replaced whole. */
const MERGED = new Set(["resources"]);

/**
 * What an update with `wanted` would change. Pure. A field that `wanted` leaves out stays as it is; null clears one.
 * @param now the agent's definition
 * @param wanted the definition of the file, without its secrets
 * @returns the fields that differ, in the order of the file
 */
export function differences(
  now: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): Difference[] {
  return Object.entries(wanted).flatMap(([field, after]) =>
    compare(field, now[field], after, MERGED.has(field)),
  );
}

function compare(field: string, before: unknown, after: unknown, merged: boolean): Difference[] {
  if (isObject(before) && isObject(after)) {
    const names = merged ? Object.keys(after) : [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return names.flatMap((name) => compare(`${field}.${name}`, before[name], after[name], merged));
  }
  if (isEmpty(before) && isEmpty(after)) return [];
  if (same(before, after)) return [];
  return [{ field, before: before ?? undefined, after: after ?? undefined }];
}

/** An absent field, null and an empty list are stored alike. */
const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0);

function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((each, index) => same(each, b[index]));
  }
  if (isObject(a) && isObject(b)) {
    const names = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...names].every((name) => same(a[name], b[name]));
  }
  return Object.is(a, b);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
