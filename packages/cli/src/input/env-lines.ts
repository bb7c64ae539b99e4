// Parses the text of an .env file. Pure; reading the file is env-file.ts's job.

/** A line that is no assignment, or a quote without its end. `line` counts from 1. */
export class EnvSyntaxError extends Error {
  readonly line: number;

  constructor(line: number, problem: string) {
    super(`line ${line} ${problem}`);
    this.line = line;
  }
}

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*/;
const IGNORED = /^[ \t]*(?:#.*)?$/;
/** What may stand between a closing quote and the end of its line. */
const AFTER_QUOTE = /^[ \t]*(?:[ \t]#.*)?$/;
const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\", $: "$" };

/**
 * Parses `NAME=value` lines by the rules that Docker Compose and dotenv share; a value is never cut in silence.
 * - No quotes: the rest of the line without outer white space; a comment begins at a `#` after white space.
 * - "Double": may span lines and hold unescaped quotes (JSON); `\n \r \t \" \\ \$` are escapes.
 * - 'Single' and `backtick`: taken as written, may span lines.
 * - `export NAME=…` works; an empty value is a value; of a name given twice the last counts. `$NAME` is not expanded.
 * @param text the file's text
 * @returns names and values in the order of the file
 * @throws EnvSyntaxError for the first line that cannot be understood
 */
export function parseEnvLines(text: string): Record<string, string> {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  const values: Record<string, string> = {};
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] as string;
    if (IGNORED.test(line)) continue;
    const match = ASSIGNMENT.exec(line);
    if (!match?.[1]) throw new EnvSyntaxError(at + 1, "is not of the form NAME=value");
    const rest = line.slice(match[0].length);
    const quote = /^["'`]/.exec(rest)?.[0];
    if (quote === undefined) {
      values[match[1]] = rest.replace(/(^|[ \t])#.*$/, "").trim();
      continue;
    }
    const first = at;
    let body = rest.slice(1);
    let end = closing(body, quote);
    while (end === -1) {
      at += 1;
      if (at >= lines.length) throw new EnvSyntaxError(first + 1, `opens a ${quote} that is not closed`);
      const offset = body.length + 1;
      body += `\n${lines[at]}`;
      end = closing(body, quote, offset);
    }
    const inner = body.slice(0, end);
    values[match[1]] =
      quote === '"' ? inner.replace(/\\(.)/gs, (whole, char: string) => ESCAPES[char] ?? whole) : inner;
  }
  return values;
}

/** The place of the quote that ends the value: the first one on its line that only a comment may follow. -1: none. */
function closing(body: string, quote: string, from = 0): number {
  for (let at = from; at < body.length; at += 1) {
    if (quote === '"' && body[at] === "\\") at += 1;
    else if (body[at] === quote && AFTER_QUOTE.test(body.slice(at + 1))) return at;
  }
  return -1;
}
