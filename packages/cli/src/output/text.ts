// Cleans text from elsewhere before it reaches a terminal.

import { stripVTControlCharacters } from "node:util";
import stringWidth from "string-width";

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Text from elsewhere (an agent's name, a log line) as it may go to a terminal: without escape sequences, which could
 * rewrite what the terminal shows, and without characters that turn the direction of writing.
 */
export const printable = (text: string): string => stripVTControlCharacters(text).replace(CONTROL, "");

/** The same on one line. */
export const oneLine = (text: string): string => printable(text.replace(/\s*[\r\n\t]+\s*/g, " "));

/** Columns that a text takes in a terminal. */
export const width = (text: string): number => stringWidth(text);

/**
 * Shortens a text to some columns; the last one is an ellipsis where something is cut off.
 * @param text without colour
 * @param columns at least 1
 */
export function fit(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  let kept = "";
  let used = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    used += width(segment);
    if (used > columns - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}

/** Fills a text with blanks; colour does not count. */
export function pad(text: string, columns: number, side: "left" | "right" = "left"): string {
  const blanks = " ".repeat(Math.max(0, columns - width(text)));
  return side === "left" ? text + blanks : blanks + text;
}
