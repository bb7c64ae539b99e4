// SQL as tokens: enough of PostgreSQL's lexical rules to break a line without changing what it says.

export interface Token {
  kind: "space" | "comment" | "string" | "name" | "word" | "other";
  text: string;
}

const SIMPLE: [Token["kind"], RegExp][] = [
  ["space", /\s+/y],
  ["comment", /--[^\n]*|\/\*[\s\S]*?\*\//y],
  ["string", /[eE]'(?:[^'\\]|\\[\s\S]|'')*'|(?:[bBxX]|[uU]&)?'(?:[^']|'')*'/y],
  ["name", /"(?:[^"]|"")*"/y],
  ["word", /[\p{L}_][\p{L}\p{N}_$]*|\d[\w.]*/uy],
  ["other", /::|:=|\.\.|[-+*/<>=~!@#%^&|`?]+?(?=--|\/\*|[^-+*/<>=~!@#%^&|`?]|$)|[\s\S]/y],
];
const DOLLAR = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;

/**
 * Splits SQL into tokens whose texts make the whole again. The body of `as $$ … $$` and `do $$ … $$` is code, so it is split
 * too; other dollar quotes are one string. Pure.
 */
export function tokensOf(sql: string): Token[] {
  const tokens: Token[] = [];
  let body: string | undefined;
  for (let at = 0; at < sql.length; ) {
    const token = dollarAt(sql, at, body, tokens) ?? simpleAt(sql, at);
    if (token.kind === "other" && DOLLAR_ALONE.test(token.text))
      body = body === undefined ? token.text : undefined;
    tokens.push(token);
    at += token.text.length;
  }
  return tokens;
}

const DOLLAR_ALONE = /^\$.*\$$/s;

function dollarAt(
  sql: string,
  at: number,
  body: string | undefined,
  before: readonly Token[],
): Token | undefined {
  DOLLAR.lastIndex = at;
  const mark = DOLLAR.exec(sql)?.[0];
  if (mark === undefined) return undefined;
  const last = before.findLast(({ kind }) => kind !== "space" && kind !== "comment");
  if (mark === body || (body === undefined && /^(?:as|do)$/i.test(last?.text ?? "")))
    return { kind: "other", text: mark };
  const end = sql.indexOf(mark, at + mark.length);
  return { kind: "string", text: sql.slice(at, end === -1 ? sql.length : end + mark.length) };
}

function simpleAt(sql: string, at: number): Token {
  for (const [kind, pattern] of SIMPLE) {
    pattern.lastIndex = at;
    const text = pattern.exec(sql)?.[0];
    if (text !== undefined) return { kind, text };
  }
  throw new Error(`SQL cannot be read at ${at}`);
}

/** What SQL says: its tokens without space and comments, strings that follow each other on lines of their own as one. Pure. */
export function meaningOf(sql: string): string[] {
  const said: string[] = [];
  let joins = false;
  for (const { kind, text } of tokensOf(sql)) {
    const last = said.at(-1);
    if (kind === "space" || kind === "comment") continue;
    if (kind === "string" && text.startsWith("'") && joins && last !== undefined)
      said[said.length - 1] = `${last.slice(0, -1)}${text.slice(1)}`;
    else said.push(text);
    joins = kind === "string" && text.startsWith("'");
  }
  return said;
}

/** The words of all comments, sorted. Pure. */
export function commentWords(sql: string): string[] {
  const comments = tokensOf(sql).filter(({ kind }) => kind === "comment");
  return comments
    .flatMap(({ text }) => text.replace(/^--/, "").split(/\s+/))
    .filter(Boolean)
    .sort();
}
