// Values as hosted renders them in a change: to_jsonb(text::type) (realtime.cast in its migrations). What Node can say
// with certainty is said here; undefined asks the database.

const BOOL = 16;
const BYTEA = 17;
const FIRST_CUSTOM_OID = 16_384;
const INTEGERS = new Set([20, 21, 23, 26]);
const FLOATS = new Set([700, 701, 1700]);
const JSONS = new Set([114, 3802]);
const TIMESTAMP = 1114;
const TIMESTAMPTZ = 1184;

/** What of a type decides its rendering. */
export interface TypeFacts {
  oid: number;
  /** pg_type.typtype: b(ase), c(omposite), d(omain), e(num), p(seudo), r(ange), m(ultirange). */
  kind: string;
  /** The type of an array's elements; 0 for what is no array. */
  element: number;
  /** The delimiter of the array's elements and whether they are of a plain base type or an enum. */
  elementKind: string;
}

/** The JSON text of a value, or undefined when only the database can tell. */
export function renderValue(text: string | null, type: TypeFacts): string | undefined {
  if (text === null) return "null";
  if (type.oid === BYTEA) return JSON.stringify(text);
  if (type.element !== 0) {
    const scalar = { oid: type.element, kind: type.elementKind, element: 0, elementKind: "" };
    return renderArray(text, scalar);
  }
  return renderScalar(text, type);
}

function renderScalar(text: string, type: TypeFacts): string | undefined {
  if (type.oid === BOOL) return text === "t" ? "true" : "false";
  if (INTEGERS.has(type.oid)) return text;
  // NaN and the infinities are no JSON numbers; to_jsonb makes them strings.
  if (FLOATS.has(type.oid)) return /^-?[0-9.]+(e[+-]?[0-9]+)?$/.test(text) ? text : JSON.stringify(text);
  if (JSONS.has(type.oid)) return text;
  if (type.oid === TIMESTAMP) return JSON.stringify(text.replace(" ", "T"));
  // The stream's time zone is UTC, written +00; JSON's form is ISO 8601.
  if (type.oid === TIMESTAMPTZ)
    return JSON.stringify(text.replace(" ", "T").replace(/\+00(?= BC$|$)/, "+00:00"));
  if (type.kind === "e") return JSON.stringify(text);
  // Every other built-in base or range type casts to JSON as its text; composites, domains and extensions' types may not.
  const plain = type.oid < FIRST_CUSTOM_OID && (type.kind === "b" || type.kind === "r");
  return plain ? JSON.stringify(text) : undefined;
}

function renderArray(text: string, element: TypeFacts): string | undefined {
  const parsed = parseArray(text);
  if (!parsed) return undefined;
  const render = (item: Nested): string | undefined => {
    if (!Array.isArray(item)) return item === null ? "null" : renderScalar(item, element);
    const items = item.map(render);
    return items.includes(undefined) ? undefined : `[${items.join(",")}]`;
  };
  return render(parsed);
}

export type Nested = string | null | Nested[];

/** Reads an array literal; undefined for what is none, or has bounds of its own (`[0:1]={…}`). */
export function parseArray(text: string): Nested[] | undefined {
  if (!text.startsWith("{")) return undefined;
  const stack: Nested[][] = [];
  let at = 0;
  let result: Nested[] | undefined;
  while (at < text.length && !result) {
    const char = text[at] as string;
    if (char === "{") {
      stack.push([]);
      at += 1;
    } else if (char === "}") {
      const done = stack.pop();
      if (!done) return undefined;
      const outer = stack.at(-1);
      if (outer) outer.push(done);
      else result = done;
      at += 1;
    } else if (char === ",") {
      at += 1;
    } else {
      const item = /"((?:[^"\\]|\\.)*)"|([^",{}]+)/sy;
      item.lastIndex = at;
      const found = item.exec(text);
      if (!found) return undefined;
      at = item.lastIndex;
      const [, quoted, bare] = found;
      const value =
        quoted !== undefined ? quoted.replaceAll(/\\(.)/gs, "$1") : bare === "NULL" ? null : (bare as string);
      stack.at(-1)?.push(value);
    }
  }
  return result && at === text.length ? result : undefined;
}

/** An array literal of these texts, for a query's parameter. */
export function arrayLiteral(values: readonly (string | null)[]): string {
  const items = values.map((value) =>
    value === null ? "NULL" : `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`,
  );
  return `{${items.join(",")}}`;
}
