// Secrets that a name beside them names, in texts that are no JSON as a whole: `{ name: 'password', value: 'x' }` as programs print
// it, `<input name="password" value="x">`, `<property name="password">x</property>`, parts of a form. Read once from left to right.
import { BLANK, isHolder, isSecret, namesSecret } from "./names.ts";

/** An object, an element, or a property in one that names something or holds what is named. */
const MARK =
  /[{}<>]|(?<![\w.\\-])(\\{0,300})(["']?)(name|key|field|variable|header|id|param|parameter|setting|k|type|values?|val|v|default_?value|default|string_?value)\1\2[ \t]{0,20}[:=][ \t\r\n]{0,20}/gi;
/** A part of a form, up to what it holds. */
const PART = /\bname="([^"\n]{1,100})"[^\n]{0,500}\r?\n(?:[\w-]{1,50}:[^\n]{0,500}\n){0,5}\r?\n/g;
const DEEPEST = 100;

interface Value {
  readonly from: number;
  readonly to: number;
  readonly bare: string;
}

interface Frame {
  readonly opened: string;
  label: string | undefined;
  readonly held: Value[];
}

/** A text without the secrets that stand beside their names. */
export function besideLabels(text: string): string {
  return inParts(inElements(inFrames(text)));
}

function inFrames(text: string): string {
  const found: Value[] = [];
  const frames: Frame[] = [];
  const read = createReader(text);
  const marks = new RegExp(MARK);
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    const [all, slashes = "", quote = "", property] = mark;
    const frame = frames.at(-1);
    if (property === undefined) {
      if (all === "{" || all === "<") {
        if (frames.length < DEEPEST) frames.push({ opened: all, label: undefined, held: [] });
        continue;
      }
      const ended = frames.pop();
      if (ended?.opened !== "<" || ended.label === undefined || ended.held.length > 0) continue;
      // <property name="password">x</property>
      const content = contentAt(text, marks.lastIndex);
      if (content !== undefined && text[mark.index - 1] !== "/") found.push(content);
      continue;
    }
    if (frame === undefined) continue;
    const value = read(marks.lastIndex, slashes, quote);
    if (value === undefined) continue;
    marks.lastIndex = value.to;
    if (isHolder(property)) frame.held.push(value);
    else if (namesSecret(property, value.bare)) frame.label = value.bare;
    if (frame.label === undefined) continue;
    for (const held of frame.held) {
      if (held.bare !== "" && isSecret(/^password$/i.test(frame.label) ? "password" : frame.label, held.bare))
        found.push(held);
    }
    frame.held.length = 0;
    if (isHolder(property)) frame.held.push({ ...value, bare: "" }); // its element's content is not what is named
  }
  return blanked(text, found);
}

/** Reads values: quoted as their property is (or with either quote), or one word. No quote is looked for twice in vain. */
function createReader(text: string) {
  const nowhere = new Set<string>();
  return (at: number, slashes: string, quote: string): Value | undefined => {
    const opened = [`${slashes}"`, `${slashes}'`, '"', "'"].find((mark) => text.startsWith(mark, at));
    if (opened === undefined) {
      const bare = /[^\s,;{}<>[\]"'\\]{1,1000}/y;
      bare.lastIndex = at;
      const word = bare.exec(text)?.[0];
      return word === undefined ? undefined : { from: at, to: at + word.length, bare: word };
    }
    const from = at + opened.length;
    if (nowhere.has(opened)) return undefined;
    let to = text.indexOf(opened, from);
    // A quote that is escaped once more is not the end.
    while (to > 0 && text[to - 1] === "\\") to = text.indexOf(opened, to + 1);
    if (to === -1) {
      nowhere.add(opened);
      // Cut: the rest is the value, where an object begins with a quoted name.
      return quote === "" ? undefined : { from, to: text.length, bare: text.slice(from) };
    }
    return { from, to, bare: text.slice(from, to) };
  };
}

/** What stands in an element, up to the next tag; nothing where that is blank. */
function contentAt(text: string, from: number): Value | undefined {
  const next = text.indexOf("<", from);
  const to = next === -1 ? text.length : next;
  const bare = text.slice(from, to);
  return bare.trim() === "" ? undefined : { from, to, bare };
}

function blanked(text: string, found: readonly Value[]): string {
  let clean = "";
  let done = 0;
  for (const { from, to } of found.toSorted((a, b) => a.from - b.from)) {
    if (from < done) continue;
    clean += text.slice(done, from) + BLANK;
    done = to;
  }
  return clean + text.slice(done);
}

/** `<key>password</key><string>x</string>` of property lists. */
function inElements(text: string): string {
  return text.replaceAll(
    /(<key>([^<]{1,100})<\/key>\s{0,100}<(string|data|integer)>)([^<]{1,10000})/g,
    (all, before: string, name: string, _kind, value: string) =>
      isSecret(name, value) ? `${before}${BLANK}` : all,
  );
}

/** `Content-Disposition: form-data; name="password"`, then what it holds, up to the next part. */
function inParts(text: string): string {
  const parts = new RegExp(PART);
  let clean = "";
  let done = 0;
  for (let part = parts.exec(text); part !== null; part = parts.exec(text)) {
    if (!isSecret(part[1] ?? "", undefined)) continue;
    const next = text.indexOf("\n--", parts.lastIndex);
    const to = next === -1 ? text.length : next;
    clean += `${text.slice(done, parts.lastIndex)}${BLANK}${text[to - 1] === "\r" ? "\r" : ""}`;
    done = to;
    parts.lastIndex = to;
  }
  return clean + text.slice(done);
}
