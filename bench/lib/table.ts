// Renders the rows of benchmarks as a table.

import type { Row } from "./benchmark.ts";

const COLUMNS = ["measure", "ours", "against", "ratio", "goal", ""] as const;

/** Lays rows out in columns as wide as their widest cell. */
export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.measure,
    row.ours,
    row.against ?? "",
    row.ratio === undefined ? "" : `${row.ratio.toFixed(2)}×`,
    row.goal ?? "",
    row.met === undefined ? "" : row.met ? "met" : "MISSED",
  ]);
  const widths = COLUMNS.map((name, column) =>
    Math.max(name.length, ...cells.map((line) => line[column]?.length ?? 0)),
  );
  const format = (line: readonly string[]) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [format(COLUMNS), widths.map((width) => "─".repeat(width)).join("  "), ...cells.map(format)].join(
    "\n",
  );
}
