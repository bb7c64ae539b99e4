/** Reading JSON that others wrote: where it is malformed, and what in it Postgres could not store. */
import { safeText } from "./problems.ts";

export interface JsonFault {
  /** Characters before the fault. */
  readonly position: number;
  readonly line: number;
  readonly column: number;
  readonly problem: string;
}

/**
 * Parses JSON text.
 * @param text what a client sent
 * @returns the value, or where and why it is not JSON
 */
export function parseJson(text: string): { value: unknown } | { fault: JsonFault } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return { fault: locateFault(text) };
  }
}

/**
 * Finds the first place where a text stops being JSON. Engines word it differently or leave it out.
 * @param text a text that JSON.parse refuses
 */
export function locateFault(text: string): JsonFault {
  const { position, problem } = scan(text);
  const before = text.slice(0, position);
  const line = before.split("\n").length;
  return { position, line, column: position - before.lastIndexOf("\n"), problem };
}

type Expect = "value" | "value or ]" | "key" | "key or }" | "colon" | "comma";

function scan(text: string): { position: number; problem: string } {
  const open: string[] = [];
  let expect: Expect = "value";
  let at = 0;
  const wrong = (problem: string, position = at) => ({
    position,
    problem: position >= text.length ? "unexpected end of text" : problem,
  });
  for (;;) {
    while (at < text.length && " \t\n\r".includes(text[at]!)) at++;
    const char = text[at];
    if (expect === "comma" && open.length === 0) {
      return wrong(`unexpected ${quoted(char)} after the value`);
    }
    if (char === undefined) return wrong("");
    if (expect === "comma") {
      const closes = open.at(-1) === "{" ? "}" : "]";
      if (char === ",") expect = closes === "}" ? "key" : "value";
      else if (char === closes) open.pop();
      else return wrong(`expected , or ${closes} instead of ${quoted(char)}`);
      at++;
    } else if (expect === "colon") {
      if (char !== ":") return wrong(`expected : instead of ${quoted(char)}`);
      expect = "value";
      at++;
    } else if (expect.startsWith("key")) {
      if (char === "}" && expect === "key or }") {
        open.pop();
        expect = "comma";
        at++;
      } else {
        if (char !== '"') return wrong(`expected a name in double quotes instead of ${quoted(char)}`);
        const end = stringEnd(text, at);
        if (!end.ok) return wrong(end.problem, end.position);
        at = end.position;
        expect = "colon";
      }
    } else if (char === "]" && expect === "value or ]") {
      open.pop();
      expect = "comma";
      at++;
    } else if (char === "{" || char === "[") {
      open.push(char);
      expect = char === "{" ? "key or }" : "value or ]";
      at++;
    } else {
      const end = char === '"' ? stringEnd(text, at) : scalarEnd(text, at);
      if (!end.ok) return wrong(end.problem, end.position);
      at = end.position;
      expect = "comma";
    }
  }
}

type End = { ok: true; position: number } | { ok: false; position: number; problem: string };

function stringEnd(text: string, start: number): End {
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at]!;
    if (char === '"') return { ok: true, position: at + 1 };
    if (char < " ") return { ok: false, position: at, problem: "unescaped control character in a string" };
    if (char !== "\\") continue;
    const sequence = /^(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(text.slice(at + 1, at + 6));
    if (sequence === null) return { ok: false, position: at, problem: "unknown escape in a string" };
    at += sequence[0].length;
  }
  return { ok: false, position: text.length, problem: "" };
}

function scalarEnd(text: string, start: number): End {
  const scalar = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;
  scalar.lastIndex = start;
  return scalar.test(text)
    ? { ok: true, position: scalar.lastIndex }
    : { ok: false, position: start, problem: `unexpected ${quoted(text[start])}` };
}

const quoted = (char: string | undefined): string => (char === undefined ? "end" : JSON.stringify(char));

const MAX_DEPTH = 64;
/** More than fit into any bounded field; found before a schema would complain of each one. */
const MAX_ITEMS = 32_768;

/**
 * What in a parsed value Postgres could not keep in jsonb, or would be too deep or long to look at.
 * @param root a value from JSON.parse
 * @returns path → problem, of the first such place; empty when absent
 */
export function storageProblems(root: unknown): Record<string, string> {
  const pending: { value: unknown; path: Path }[] = [{ value: root, path: null }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { value, path } = next;
    const problem = scalarProblem(value);
    if (problem !== undefined) return { [pathText(path)]: problem };
    if (typeof value !== "object" || value === null) continue;
    const depth = (path?.depth ?? 0) + 1;
    if (depth > MAX_DEPTH) return { [pathText(path)]: `Nested deeper than ${MAX_DEPTH} levels` };
    const entries = Object.entries(value);
    if (entries.length > MAX_ITEMS) return { [pathText(path)]: "Has too many items" };
    for (const [key, inner] of entries) {
      const at = { parent: path, key, depth };
      if (scalarProblem(key) !== undefined)
        return { [pathText(at)]: "Has a character that cannot be stored" };
      if (inner !== null && typeof inner !== "boolean") pending.push({ value: inner, path: at });
    }
  }
  return {};
}

type Path = { readonly parent: Path; readonly key: string; readonly depth: number } | null;

function scalarProblem(value: unknown): string | undefined {
  if (typeof value === "string" && (value.includes("\u0000") || !value.isWellFormed())) {
    return "Has a character that cannot be stored";
  }
  return typeof value === "number" && !Number.isFinite(value) ? "Is too large a number" : undefined;
}

function pathText(path: Path): string {
  const keys: string[] = [];
  for (let step = path; step !== null; step = step.parent) keys.unshift(step.key);
  return keys.length === 0 ? "body" : safeText(keys.join("."), 200);
}
