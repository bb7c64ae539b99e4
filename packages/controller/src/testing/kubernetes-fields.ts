/** An object as a flat map from paths to values: named elements of a list by their names, other lists as one value. */
export type Fields = Map<string, unknown>;

const SEPARATOR = "\u0000";

/** Takes an object apart. Empty records are values of their own. */
export function flatten(value: unknown, path: readonly string[] = [], into: Fields = new Map()): Fields {
  if (isNamedList(value)) {
    for (const element of value) flatten(element, [...path, `[${element.name}]`], into);
  } else if (isRecord(value) && Object.keys(value).length > 0) {
    for (const [name, field] of Object.entries(value)) {
      if (field !== undefined && field !== null) flatten(field, [...path, name], into);
    }
  } else into.set(path.join(SEPARATOR), value);
  return into;
}

/** Puts an object together again. */
export function unflatten(fields: Fields): Record<string, unknown> {
  const root: Node = { children: new Map() };
  for (const [key, value] of fields) {
    let node = root;
    for (const part of key.split(SEPARATOR)) {
      const next: Node = node.children.get(part) ?? { children: new Map() };
      node.children.set(part, next);
      node = next;
    }
    node.value = copyOf(value);
  }
  return build(root) as Record<string, unknown>;
}

/** A copy of a JSON value. Half the time of a simulation went to structuredClone, which asks much more of a value. */
export function copyOf<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copyOf) as T;
  if (!isRecord(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value)) copy[name] = copyOf(value[name]);
  return copy as T;
}

/** Of a path of {@link flatten}: its parts. */
export function parts(path: string): string[] {
  return path.split(SEPARATOR);
}

interface Node {
  children: Map<string, Node>;
  value?: unknown;
}

function build(node: Node): unknown {
  if (node.children.size === 0) return node.value;
  const entries = [...node.children];
  if (entries.every(([name]) => name.startsWith("["))) return entries.map(([, child]) => build(child));
  return Object.fromEntries(entries.map(([name, child]) => [name, build(child)]));
}

function isNamedList(value: unknown): value is { name: string }[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((element) => isRecord(element) && typeof element.name === "string")
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

export function sameValue(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
