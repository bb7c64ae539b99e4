// Renders rows as a table for the terminal.

import type { Paint } from "./style.ts";
import { fit, oneLine, pad, width } from "./text.ts";

export interface Column<Row> {
  title: string;
  value: (row: Row) => string;
  /** Colours a value that is already cut to its width. */
  style?: (text: string, row: Row) => string;
  align?: "left" | "right";
  /** May be cut where the terminal is too narrow. */
  shrinks?: boolean;
}

const GAP = "  ";
const LEAST = 8;

/**
 * Renders rows under their titles. Pure.
 * @param rows what is shown
 * @param columns how
 * @param look colour, and the terminal's width where there is a terminal
 * @returns lines, each with its end
 */
export function table<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  look: { paint: Paint; columns?: number | undefined },
): string {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.value(row))));
  const widths = columns.map((column, i) =>
    Math.max(width(column.title), ...cells.map((line) => width(line[i] ?? ""))),
  );
  if (look.columns !== undefined) shrink(widths, columns, look.columns);
  const line = (texts: readonly string[]) => `${texts.join(GAP).trimEnd()}\n`;
  const head = line(
    columns.map(({ title, align }, i) => look.paint("dim", pad(title, widths[i] ?? 0, side(align)))),
  );
  const body = rows.map((row, r) =>
    line(
      columns.map((column, i) => {
        const text = fit(cells[r]?.[i] ?? "", widths[i] ?? 0);
        return pad(column.style?.(text, row) ?? text, widths[i] ?? 0, side(column.align));
      }),
    ),
  );
  return head + body.join("");
}

const side = (align: "left" | "right" | undefined) => (align === "right" ? "right" : "left");

/** Takes what is too much from the widest columns that may shrink. */
function shrink(widths: number[], columns: readonly Column<never>[], most: number): void {
  let excess = widths.reduce((sum, each) => sum + each, 0) + GAP.length * (widths.length - 1) - most;
  while (excess > 0) {
    let widest = -1;
    for (const [i, column] of columns.entries())
      if (column.shrinks && (widths[i] ?? 0) > LEAST && (widths[i] ?? 0) > (widths[widest] ?? 0)) widest = i;
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
}

/**
 * Renders names and values, one pair a line. Pairs without a value are left out.
 * @param pairs name and value; a value may have colour
 * @param paint colours the names
 */
export function facts(
  pairs: readonly (readonly [name: string, value: string | null | undefined])[],
  paint: Paint,
): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => Boolean(pair[1]));
  const longest = Math.max(0, ...shown.map(([name]) => width(name)));
  return shown.map(([name, value]) => `${paint("dim", pad(name, longest))}${GAP}${value}\n`).join("");
}
