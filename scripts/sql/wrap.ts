// Breaks lines of SQL that are too long where a person would: after a comma, before a keyword, outside of parentheses first.
import { commentWords, meaningOf, type Token, tokensOf } from "./tokens.ts";

/** The longest line that SQL has here. */
export const WIDTH = 120;

/** Words that begin a line well. */
const BEFORE =
  /^(?:and|or|from|where|join|left|cross|inner|group|order|limit|having|union|returning|returns|language|security|using|with|when|then|else|on|for|set|to|values|check|references|loop|order|execute)$/i;
/** Words that are not left at the end of a line by a break before them. */
const JOINED = /^(?:join|by|check|time|zone|only)$/i;

/**
 * The same SQL with no line above the width, as far as it can be broken. Pure.
 * @throws {Error} when a break changed what it says, which is a fault of this file
 */
export function wrap(sql: string): string {
  const tokens = tokensOf(sql);
  const lines: Token[][] = [[]];
  for (const token of tokens) {
    const [first = "", ...rest] = token.text.split("\n");
    // A string over several lines cannot be broken, so its parts stay as they are.
    const kind = rest.length > 0 && token.kind !== "space" ? "name" : token.kind;
    lines.at(-1)?.push({ kind, text: first });
    for (const text of rest) lines.push([{ kind, text }]);
  }
  const code = lines.flatMap((line) => wrapLine(line.filter(({ text }) => text !== "")));
  const wrapped = wrapComments(code).join("\n");
  if (JSON.stringify(meaningOf(wrapped)) !== JSON.stringify(meaningOf(sql)))
    throw new Error("Breaking lines changed what the SQL says.");
  if (commentWords(wrapped).join(" ") !== commentWords(sql).join(" "))
    throw new Error("Breaking lines changed a comment.");
  return wrapped;
}

const textOf = (tokens: readonly Token[]) => tokens.map(({ text }) => text).join("");

function wrapLine(tokens: Token[]): string[] {
  if (textOf(tokens).length <= WIDTH || tokens.filter(({ kind }) => kind !== "space").length === 0)
    return [textOf(tokens)];
  const indent = tokens[0]?.kind === "space" ? tokens[0].text : "";
  const rest = tokens.slice(indent === "" ? 0 : 1);
  const last = rest.at(-1);
  if (last?.kind === "comment") {
    if (rest.length === 1) return [textOf(tokens)];
    const before = rest.slice(0, -1);
    if (before.at(-1)?.kind === "space") before.pop();
    return [`${indent}${last.text}`, ...wrapLine([{ kind: "space", text: indent }, ...before])];
  }
  return breakUp(rest, indent, `${indent}  `);
}

/** @param indent of the first line @param next of those that follow */
function breakUp(tokens: Token[], indent: string, next: string): string[] {
  const whole = textOf(tokens);
  if (indent.length + whole.length <= WIDTH) return [indent + whole];
  const cut = cutString(tokens, indent.length, next.length);
  if (cut !== undefined) return [indent + cut.head, ...breakUp(cut.tail, next, next)];
  const at = bestBreak(tokens, indent.length);
  if (at === undefined) return [indent + whole];
  const rest = tokens.slice(tokens[at]?.kind === "space" ? at + 1 : at);
  return [indent + textOf(tokens.slice(0, at)), ...breakUp(rest, next, next)];
}

/** A string that is longer than a line of its own becomes two, which PostgreSQL reads as one. */
function cutString(tokens: readonly Token[], indent: number, next: number) {
  const found = tokens.findIndex(({ kind, text }) => kind === "string" && text.length > WIDTH - next - 1);
  const long = tokens[found];
  if (long === undefined || !long.text.startsWith("'")) return undefined;
  const before = textOf(tokens.slice(0, found));
  const room = WIDTH - indent - before.length - 1;
  const at = room < 40 ? undefined : placeIn(long.text, room);
  if (at === undefined) return undefined;
  const tail: Token[] = [{ kind: "string", text: `'${long.text.slice(at)}` }, ...tokens.slice(found + 1)];
  return { head: `${before}${long.text.slice(0, at)}'`, tail };
}

/** Where the line breaks: the index of the space that goes, or of the token that begins the next line. */
function bestBreak(tokens: readonly Token[], indent: number): number | undefined {
  let [depth, width, between] = [0, indent, false];
  const whole = indent + textOf(tokens).length;
  let best: { at: number; cost: number } | undefined;
  const lowest = Math.min(0, ...depthsOf(tokens));
  for (const [at, token] of tokens.entries()) {
    if (token.kind === "word" && /^between$/i.test(token.text)) between = true;
    const kind = costAt(tokens, at, between);
    if (token.kind === "word" && /^and$/i.test(token.text)) between = false;
    if (at > 0 && kind !== undefined && width <= WIDTH) {
      const cost =
        kind +
        (depth - lowest) * 12 +
        (WIDTH - width) * 0.25 +
        (width < indent + 30 ? 20 : 0) +
        (whole - width < 15 ? 20 : 0);
      if (best === undefined || cost <= best.cost) best = { at, cost };
    }
    depth += OPENS.test(token.text) ? 1 : 0;
    depth -= CLOSES.test(token.text) ? 1 : 0;
    width += token.text.length;
  }
  return best?.at;
}

const OPENS = /^(?:[([]|case)$/i;
const CLOSES = /^(?:[)\]]|end)$/i;

function depthsOf(tokens: readonly Token[]): number[] {
  let depth = 0;
  return tokens.map(({ text }) => {
    depth += (OPENS.test(text) ? 1 : 0) - (CLOSES.test(text) ? 1 : 0);
    return depth;
  });
}

/** How bad a break at a token is; undefined: it cannot be. */
function costAt(tokens: readonly Token[], at: number, between: boolean): number | undefined {
  const [before, token, after] = [tokens[at - 1], tokens[at], tokens[at + 1]];
  if (before?.text === "(" && token?.kind !== "space" && token?.text !== ")") return 14;
  if (token?.kind !== "space" || before === undefined || after === undefined) return undefined;
  // A key of jsonb_build_object stays with its value.
  if (before.text === ",") return /^'\w+'$/.test(tokens[at - 2]?.text ?? "") ? 6 : 0;
  if (/^is$/i.test(before.text) && after.kind === "string") return 0;
  if (JOINED.test(after.text) && /^(?:left|cross|inner|order|group|with|at|set)$/i.test(before.text))
    return 40;
  if (/^and$/i.test(after.text) && between) return 30;
  if (/^distinct$/i.test(before.text) || /^->>?$/.test(after.text)) return 20;
  if (/^(?:then|else|loop|returns|:=|=>|in|=|between)$/i.test(before.text)) return 10;
  if (/^as$/i.test(after.text)) return 12;
  if (BEFORE.test(after.text) || /^(?:\|\||&&|\+)$/.test(after.text)) return 2;
  return 25;
}

/** After a space, else between two groups of a pattern; never within a doubled quote or after a backslash. */
function placeIn(text: string, room: number): number | undefined {
  for (const good of [/ (?! )/g, /\|/g, /,/g]) {
    const places = [...text.slice(0, room).matchAll(good)].map(({ index }) => index + 1);
    const cut = places
      .filter((place) => place > 20 && text[place - 2] !== "\\" && text[place] !== "'")
      .at(-1);
    if (cut !== undefined) return cut;
  }
  return undefined;
}

/** Where a comment breaks whose last line would hold a word or two. */
const BALANCED = 95;

const COMMENT = /^(\s*)-- (.*)$/;

/** Words that do not fit go to the next line of the same comment. */
function wrapComments(lines: readonly string[]): string[] {
  const out: string[] = [];
  let over: { indent: string; words: string } | undefined;
  for (const line of lines) {
    const [, indent = "", words = ""] = COMMENT.exec(line) ?? [];
    let rest = line;
    if (over !== undefined) {
      if (words !== "" && indent === over.indent) rest = `${indent}-- ${over.words} ${words}`;
      else out.push(`${over.indent}-- ${over.words}`);
      over = undefined;
    }
    while (rest.length > WIDTH && COMMENT.test(rest)) {
      let cut = rest.lastIndexOf(" ", WIDTH);
      if (rest.length - cut < 25 && /[.;:]$/.test(rest)) cut = rest.lastIndexOf(" ", BALANCED);
      if (cut <= indent.length + 2) break;
      const tail = rest.slice(cut + 1);
      out.push(rest.slice(0, cut));
      rest = `${indent}-- ${tail}`;
      if (!/[.;:]$/.test(tail) && rest.length <= WIDTH) {
        over = { indent, words: tail };
        break;
      }
    }
    if (over === undefined) out.push(rest);
  }
  if (over !== undefined) out.push(`${over.indent}-- ${over.words}`);
  return out;
}
