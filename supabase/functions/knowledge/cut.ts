/** Cuts a text into the chunks that answers are given. Pure. */

/** A piece of a text, with the headings it stands under. */
export interface Chunk {
  readonly heading?: string;
  readonly content: string;
}

/** Chunks grow to about this many characters. */
const WANTED = 1_000;
/** No chunk is longer; three bytes each at most, so that one stays below 4,000 bytes. */
const LONGEST = 1_300;
const LONGEST_HEADING = 200;

/**
 * Cuts at headings of Markdown, then at blank lines, lines, sentences and words; what has none of these at any character.
 * Nothing but white space at cuts and control characters is lost.
 * @param text the whole text
 * @param title a heading of the whole, such as a table's first line
 */
export function* cut(text: string, title?: string): Generator<Chunk> {
  const trail: string[] = [];
  let held = "";
  const heading = () =>
    [title, ...trail]
      .filter((part) => part !== undefined && part !== "")
      .join(" › ")
      .slice(0, LONGEST_HEADING)
      .toWellFormed();
  function* flush(): Generator<Chunk> {
    const content = held.trim();
    held = "";
    const above = heading();
    if (content !== "") yield { ...(above !== "" && { heading: above }), content };
  }
  for (const block of blocks(clean(text))) {
    const level = /^(#{1,6})\s+(.*\S)\s*$/.exec(block);
    if (level !== null) {
      yield* flush();
      const depth = level[1]?.length ?? 1;
      trail.length = Math.min(trail.length, depth - 1);
      for (let missing = trail.length; missing < depth - 1; missing++) trail.push("");
      trail.push(level[2] ?? "");
      continue;
    }
    for (const piece of pieces(block)) {
      if (held !== "" && held.length + piece.length + 2 > WANTED) yield* flush();
      held += held === "" ? piece : `\n\n${piece}`;
      if (held.length >= WANTED) yield* flush();
    }
  }
  yield* flush();
}

/** Postgres keeps no U+0000, and other control characters say nothing. */
const clean = (text: string): string =>
  text
    .toWellFormed()
    .replaceAll(/\r\n?|\u2028|\u2029/g, "\n")
    .replaceAll(/[^\P{Cc}\n\t]|\uFEFF/gu, "");

/** Paragraphs; a heading is one on its own, wherever it stands. */
function* blocks(text: string): Generator<string> {
  let held: string[] = [];
  let fenced = false;
  for (const line of text.split("\n")) {
    if (/^\s*(```|~~~)/.test(line)) fenced = !fenced;
    const heading = !fenced && /^#{1,6}\s+\S/.test(line);
    if ((heading || line.trim() === "") && held.length > 0) {
      yield held.join("\n");
      held = [];
    }
    if (heading) yield line;
    else if (line.trim() !== "") held.push(line);
  }
  if (held.length > 0) yield held.join("\n");
}

/** Where a long block is cut, the best first. */
const ENDS = [/\n/g, /[.!?…]["'”’)\]]*\s|[。！？]/g, /[;:,]\s|[、；：，]/g, /\s/g];

/** A block in pieces of at most LONGEST characters. */
function* pieces(block: string): Generator<string> {
  let rest = block.trim();
  while (rest.length > LONGEST) {
    const window = rest.slice(0, LONGEST);
    const at = ENDS.map((end) => lastEnd(window, end)).find((place) => place >= WANTED / 2) ?? whole(window);
    yield rest.slice(0, at).trim();
    rest = rest.slice(at).trim();
  }
  if (rest !== "") yield rest;
}

function lastEnd(window: string, end: RegExp): number {
  let place = -1;
  for (const found of window.matchAll(end)) place = found.index + found[0].length;
  return place;
}

/** The window's length, without half a character at its end. */
const whole = (window: string): number => (window.isWellFormed() ? window.length : window.length - 1);
