// Secrets by lines: headers, YAML and environment files, with the lines that belong to a value (`password: |`), and YAML's entries
// that name what they hold (`- name: DB_PASSWORD` over `value: …`). Each line is looked at once.
import { BLANK, isHolder, isProse, isSecret, namesSecret } from "./names.ts";

/** `name: value` or `name = value` with a line to itself, in a list or not. */
const LINE = /^([ \t]*(?:- +)*)((["']?)([\w.-]{1,100})\3(?:[ \t]?:[ \t]*|[ \t]+=[ \t]*))(.*)$/;
/** Where YAML says that the value is in the lines below. */
const BELOW = /^(?:[!&]\S*[ \t]+)*(?:[|>][-+\d]{0,2})?[ \t]*(?:#.*)?$/;

/** An entry of a mapping that is being read. */
interface Entry {
  readonly column: number;
  label: string | undefined;
  /** Lines that hold what a label may name. */
  readonly holders: number[];
}

const holds = (line = ""): boolean => isHolder(LINE.exec(line.trimEnd())?.[4] ?? "");
const indentOf = (line: string): number => line.length - line.trimStart().length;

/** A text without the secrets that its lines name. */
export function inLines(text: string): string {
  if (!/[:=]/.test(text)) return text;
  const lines = text.split("\n");
  const entries: Entry[] = [];
  /** Below this column lines belong to a secret. */
  let hidden: { readonly column: number; readonly list: boolean; shown: boolean } | undefined;
  const kept: (string | undefined)[] = [];

  /** Blanks a line's value; `until` is the line after those that may belong to it. */
  const hide = (at: number, column: number, until = at) => {
    const line = lines[at] ?? "";
    for (let next = at + 1; next < until && indentOf(lines[next] ?? "") > column; next++) {
      kept[next] = next === at + 1 ? `${" ".repeat(column + 2)}${BLANK}` : undefined;
    }
    const found = LINE.exec(line.trimEnd());
    if (found === null) return;
    const [, before = "", mark = "", , , value = ""] = found;
    const below = BELOW.test(value);
    kept[at] = below ? line : `${before}${mark}${BLANK}${line.endsWith("\r") ? "\r" : ""}`;
  };

  for (const [at, line] of lines.entries()) {
    kept[at] = line;
    if (line.trim() === "") continue;
    const indent = indentOf(line);
    if (hidden !== undefined) {
      const isItem = hidden.list && indent === hidden.column && line.startsWith("- ", indent);
      if (indent > hidden.column || isItem) {
        kept[at] = hidden.shown ? undefined : `${line.slice(0, indent)}${BLANK}`;
        hidden.shown = true;
        continue;
      }
      hidden = undefined;
    }
    const found = LINE.exec(line.trimEnd());
    if (found === null) continue;
    const [, before = "", , quote, name = "", value = ""] = found;
    const column = before.length;
    const below = BELOW.test(value);
    while (entries.length > 0 && (entries.at(-1)?.column ?? 0) > column) entries.pop();
    if (before.includes("-") && entries.at(-1)?.column === column) entries.pop(); // the next item of a list
    if (entries.at(-1)?.column !== column) entries.push({ column, label: undefined, holders: [] });
    const entry = entries.at(-1) as Entry;
    const said = value.replace(/^(["'])(.*)\1,?$/, "$2");
    if (namesSecret(name, said)) {
      entry.label = said;
      for (const holder of entry.holders.splice(0)) hide(holder, column, at);
    }
    if (isHolder(name) && entry.label === undefined) entry.holders.push(at);
    const isHeld =
      isHolder(name) && entry.label !== undefined && isSecret(entry.label, below ? undefined : said);
    if (/^key$/i.test(name) && (holds(lines[at + 1]) || holds(lines[at - 1]))) continue; // the name of an entry
    // Names in quotes are an object's: its values are found elsewhere, and end with the line or before.
    const isNamed =
      isSecret(name, below ? undefined : said) && !isProse(name, value) && (quote === "" || below);
    if (isHeld || (isNamed && !(below && /^key$/i.test(name) && value === ""))) {
      hide(at, column);
      hidden = { column, list: value === "", shown: false };
    }
  }
  return kept.filter((line) => line !== undefined).join("\n");
}
