// What a benchmark is, and the rows it reports.

import type { BenchStack } from "./stack.ts";

/** One figure beside what it is held against. */
export interface Row {
  readonly measure: string;
  readonly ours: string;
  /** What it is compared with, figure and name. */
  readonly against?: string;
  readonly ratio?: number;
  /** The goal in words. */
  readonly goal?: string;
  /** Whether the goal was met; undefined when absent. */
  readonly met?: boolean;
}

export interface Context {
  /** The shared stack: started at the first call, ended by the runner. */
  stack(): Promise<BenchStack>;
  /** A line on stderr, so that a long benchmark is not silent. */
  progress(line: string): void;
  /** How many rounds were asked for, or the benchmark's own number. */
  rounds(own: number): number;
  /** Whether the large sizes were asked for. */
  readonly full: boolean;
}

export interface Benchmark {
  readonly title: string;
  run(context: Context): Promise<Row[]>;
}
