// Links between pages of the documentation: where they lead, and which of them lead nowhere.

export interface Link {
  /** Line of the link, from 1. */
  line: number;
  /** As it is written: a path, an anchor, or both. */
  target: string;
}

/** The relative links and images of a page; code and links to other sites are left out. */
export function relativeLinks(markdown: string): Link[] {
  return proseLines(markdown).flatMap(({ line, text }) =>
    [...text.matchAll(/\]\(<?([^()\s>]+)>?(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s+(\S+)/g)]
      .map(([, inline, reference]) => ({ line, target: inline ?? reference ?? "" }))
      .filter(({ target }) => !/^[a-z][a-z0-9+.-]*:/i.test(target)),
  );
}

/** The anchors of a page, as GitHub makes them of its headings, and those that are written as HTML. */
export function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  const counts = new Map<string, number>();
  for (const { text } of proseLines(markdown, true)) {
    for (const [, name] of text.matchAll(/<a (?:id|name)="([^"]+)"/g)) anchors.add(name ?? "");
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(text)?.[1];
    if (heading === undefined) continue;
    const anchor = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replaceAll(" ", "-");
    const count = counts.get(anchor) ?? 0;
    counts.set(anchor, count + 1);
    anchors.add(count === 0 ? anchor : `${anchor}-${count}`);
  }
  return anchors;
}

/** The lines that are no block of code; spans of code are blanked unless they are to be kept. */
function proseLines(markdown: string, keepSpans = false): { line: number; text: string }[] {
  let fence: string | undefined;
  const lines: { line: number; text: string }[] = [];
  for (const [index, text] of markdown.split("\n").entries()) {
    const mark = /^\s*(```|~~~)/.exec(text)?.[1];
    if (mark !== undefined && (fence === undefined || fence === mark)) {
      fence = fence === undefined ? mark : undefined;
    } else if (fence === undefined) {
      lines.push({ line: index + 1, text: keepSpans ? text : text.replace(/`[^`]*`/g, "") });
    }
  }
  return lines;
}
