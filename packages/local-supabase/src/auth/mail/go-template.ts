// Renders the part of Go's html/template that mail templates use.
//
// {{ .Field.sub }}, {{ if }} {{ else if }} {{ else }} {{ end }}, {{ with }}, {{ range }}, comments, {{- trimming -}}, pipes, and
// the functions below. A value is escaped for the place where it stands: text, a link's beginning, or a link's query.

/** A template's data: missing fields are empty. */
export type TemplateData = Readonly<Record<string, unknown>>;

/** A template that was read. */
export interface Template {
  /** The text for this data. Throws when a function gets what it cannot work with. */
  render(data: TemplateData): string;
}

/** A template that cannot be read; the message says why and where. */
export class TemplateError extends Error {
  override name = "TemplateError";
}

type Expression = (scope: Scope) => unknown;
interface Scope {
  dot: unknown;
  root: TemplateData;
}
type Part = (scope: Scope) => string;

/** What escapes a value at one place. */
type Escape = (value: string) => string;

/**
 * Reads a template.
 * @param source its text
 * @param form html escapes values; text leaves them as they are
 * Throws TemplateError.
 */
export function parseTemplate(source: string, form: "html" | "text"): Template {
  const pieces = piecesOf(source);
  let next = 0;
  const { parts } = block([]);
  if (next < pieces.length) throw fault("{{ end }} or {{ else }} without a beginning", pieces[next]!);
  return { render: (data) => parts.map((part) => part({ dot: data, root: data })).join("") };

  /** Reads up to one of the words that end a block. */
  function block(ends: readonly string[]): { parts: Part[]; end: string } {
    const parts: Part[] = [];
    while (next < pieces.length) {
      const piece = pieces[next]!;
      if (piece.kind === "text") {
        parts.push(() => piece.text);
        next += 1;
        continue;
      }
      const word = /^(if|with|range|else|end)\b/.exec(piece.text)?.[1];
      if (word === "else" || word === "end") {
        if (ends.length === 0) return { parts, end: "" };
        next += 1;
        return { parts, end: piece.text };
      }
      next += 1;
      if (word !== undefined) parts.push(control(word, piece.text.slice(word.length), piece));
      else if (piece.text !== "" && !piece.text.startsWith("/*")) parts.push(output(piece));
    }
    const opener = pieces[pieces.length - 1];
    if (ends.length > 0) throw fault("{{ end }} is missing", opener);
    return { parts, end: "" };
  }

  function control(word: string, condition: string, piece: Piece): Part {
    const expression = parseExpression(condition, piece);
    const { parts: inner, end } = block(["else", "end"]);
    let otherwise: Part[] = [];
    const chained = /^else\s+(if|with)\b(.*)$/s.exec(end);
    if (chained) otherwise = [control(chained[1]!, chained[2]!, piece)];
    else if (end === "else") otherwise = block(["end"]).parts;
    const run = (parts: readonly Part[], scope: Scope) => parts.map((part) => part(scope)).join("");
    return (scope) => {
      const value = expression(scope);
      if (!isTrue(value)) return run(otherwise, scope);
      if (word === "if") return run(inner, scope);
      if (word === "with") return run(inner, { ...scope, dot: value });
      const items = Array.isArray(value) ? value : Object.values(value as object);
      return items.map((dot) => run(inner, { ...scope, dot })).join("");
    };
  }

  function output(piece: Piece): Part {
    const expression = parseExpression(piece.text, piece);
    const escaped: Escape = form === "text" ? (value) => value : escapeAt(source.slice(0, piece.start));
    return (scope) => escaped(shown(expression(scope)));
  }
}

interface Piece {
  kind: "text" | "action";
  text: string;
  start: number;
  line: number;
}

function piecesOf(source: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trimNext = false;
  const add = (kind: Piece["kind"], text: string, start: number) =>
    pieces.push({ kind, text, start, line: source.slice(0, start).split("\n").length });
  while (at <= source.length) {
    const open = source.indexOf("{{", at);
    let text = source.slice(at, open < 0 ? undefined : open);
    if (trimNext) text = text.trimStart();
    if (open < 0) {
      add("text", text, at);
      return pieces;
    }
    const trimBefore = /^\{\{-\s/.test(source.slice(open, open + 4));
    const close = closingOf(source, open);
    if (close < 0) {
      add("action", "", open);
      throw fault("{{ is never closed", pieces[pieces.length - 1]);
    }
    add("text", trimBefore ? text.trimEnd() : text, at);
    const inner = source.slice(open + (trimBefore ? 3 : 2), close);
    trimNext = /\s-$/.test(inner);
    add("action", (trimNext ? inner.slice(0, -1) : inner).trim(), open);
    at = close + 2;
  }
  return pieces;
}

/** Where the action that opens at `open` closes; }} inside a quoted text or a comment does not count. */
function closingOf(source: string, open: number): number {
  const action = /\{\{(?:-\s)?\s*(?:\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|`[^`]*`|[^"`}]|\}(?!\}))*\}\}/y;
  action.lastIndex = open;
  return action.test(source) ? action.lastIndex - 2 : -1;
}

function fault(message: string, piece: Piece | undefined): TemplateError {
  return new TemplateError(`line ${piece?.line ?? 1}: ${message}`);
}

const TOKEN =
  /\s*("(?:[^"\\]|\\.)*"|`[^`]*`|-?\d+(?:\.\d+)?|\$?\.?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\$|\.|\(|\)|\|)/y;

function parseExpression(text: string, piece: Piece): Expression {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const token = TOKEN.exec(text)?.[1];
    if (token === undefined) throw fault(`"${text.slice(at).trim()}" is not supported`, piece);
    tokens.push(token);
  }
  const value = pipeline();
  if (tokens.length > 0) throw fault(`"${tokens[0]}" is not expected here`, piece);
  return value;

  function pipeline(): Expression {
    let value = command();
    while (tokens[0] === "|") {
      tokens.shift();
      value = command(value);
    }
    return value;
  }

  function command(piped?: Expression): Expression {
    const name = tokens[0];
    const called = name !== undefined && Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (!called) {
      if (piped) throw fault(`"${name ?? ""}" is not a known function`, piece);
      return operand();
    }
    tokens.shift();
    const given: Expression[] = [];
    while (tokens.length > 0 && tokens[0] !== ")" && tokens[0] !== "|") given.push(operand());
    if (piped) given.push(piped);
    return (scope) => called(given.map((one) => one(scope)));
  }

  function operand(): Expression {
    const token = tokens.shift();
    if (token === undefined) throw fault("a value is missing", piece);
    if (token === "(") {
      const inner = pipeline();
      if (tokens.shift() !== ")") throw fault(") is missing", piece);
      return inner;
    }
    if (token.startsWith('"')) {
      const unquoted: unknown = JSON.parse(token);
      return () => unquoted;
    }
    if (token.startsWith("`")) return () => token.slice(1, -1);
    if (/^-?\d/.test(token)) return () => Number(token);
    if (token === "true" || token === "false") return () => token === "true";
    if (token === "nil") return () => undefined;
    if (token === ".") return ({ dot }) => dot;
    if (token.startsWith("$")) return ({ root }) => field(root, token.slice(1).split(".").filter(Boolean));
    if (token.startsWith(".")) return ({ dot }) => field(dot, token.slice(1).split("."));
    throw fault(`"${token}" is not a known function`, piece);
  }
}

function field(from: unknown, path: readonly string[]): unknown {
  let value = from;
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = Reflect.get(value, name);
  }
  return value;
}

function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const compare = (test: (order: number) => boolean) => (values: unknown[]) => {
  const [a, b] = values;
  if (typeof a === "number" && typeof b === "number") return test(a - b);
  return test(shown(a) < shown(b) ? -1 : shown(a) > shown(b) ? 1 : 0);
};

const FUNCTIONS: Readonly<Record<string, (values: unknown[]) => unknown>> = {
  eq: ([first, ...others]) => others.some((other) => other === first),
  ne: ([a, b]) => a !== b,
  lt: compare((order) => order < 0),
  le: compare((order) => order <= 0),
  gt: compare((order) => order > 0),
  ge: compare((order) => order >= 0),
  and: (values) => (values.every(isTrue) ? values.at(-1) : values.find((value) => !isTrue(value))),
  or: (values) => values.find(isTrue) ?? values.at(-1),
  not: ([value]) => !isTrue(value),
  len: ([value]) =>
    typeof value === "string" || Array.isArray(value) ? value.length : Object.keys(value ?? {}).length,
  index: ([value, ...path]) => field(value, path.map(shown)),
  print: (values) => values.map(shown).join(""),
  printf: ([format, ...values]) =>
    shown(format).replace(/%[svdq%]/g, (verb) => (verb === "%%" ? "%" : shown(values.shift()))),
  urlquery: (values) => encodeURIComponent(values.map(shown).join("")),
};

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};
const escapeHtml: Escape = (value) => value.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char);

/** What a value needs after this text: a link's beginning may not be a script, a link's query is encoded. */
function escapeAt(before: string): Escape {
  const inLink = /<[^>]*\b(?:href|src|action|formaction|cite|poster)\s*=\s*(?:"([^"]*)|'([^']*))$/i.exec(
    before,
  );
  if (!inLink) return escapeHtml;
  const start = inLink[1] ?? inLink[2] ?? "";
  if (/[?#]/.test(start)) return encodeURIComponent;
  if (start !== "") return (value) => escapeHtml(normalised(value));
  return (value) =>
    /^[^/?#]*:/.test(value) && !/^(?:https?|mailto):/i.test(value)
      ? "#ZgotmplZ"
      : escapeHtml(normalised(value));
}

/** Percent-encodes what may not stand in a link, and leaves what is encoded already. */
function normalised(value: string): string {
  return value.replace(/[^\w\-.~:/?#[\]@!$&()*+,;=%]/gu, (char) =>
    encodeURIComponent(char).replace(/'/g, "%27"),
  );
}
