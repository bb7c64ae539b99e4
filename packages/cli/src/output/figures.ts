/** Figures as people read them. Pure. */

const SPARKS = "▁▂▃▄▅▆▇█";

/**
 * A line of bars, from zero to the largest value.
 * @param values a null is a gap
 * @param columns at most this many bars; more values are averaged
 */
export function sparkline(values: readonly (number | null)[], columns = 60): string {
  const bars = downsample(values, columns);
  const top = Math.max(0, ...bars.filter((value) => value !== null));
  return bars
    .map((value) => {
      if (value === null) return " ";
      return (
        SPARKS[top === 0 ? 0 : Math.min(SPARKS.length - 1, Math.floor((value / top) * SPARKS.length))] ?? ""
      );
    })
    .join("");
}

function downsample(values: readonly (number | null)[], columns: number): (number | null)[] {
  if (values.length <= columns) return [...values];
  return Array.from({ length: columns }, (_, i) => {
    const from = Math.floor((i * values.length) / columns);
    const part = values
      .slice(from, Math.floor(((i + 1) * values.length) / columns))
      .filter((value) => value !== null);
    return part.length === 0 ? null : part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

/** 536870912 → `512 MiB`. */
export function bytes(value: number | null): string {
  if (value === null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size >= 100 || unit === 0 ? Math.round(size) : Number(size.toFixed(1))} ${units[unit]}`;
}

/** 0.45 → `450m`, 1.5 → `1.5`: cores, as Kubernetes writes them. */
export function cores(value: number | null): string {
  if (value === null) return "–";
  return value < 1 ? `${Math.round(value * 1000)}m` : String(Number(value.toFixed(2)));
}

/** 1, "agent" → `1 agent`; 2 → `2 agents`. */
export const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;

/** 45.25 → `45 %`. */
export const percent = (value: number | null): string => (value === null ? "–" : `${Math.round(value)} %`);

const SPANS: readonly [seconds: number, unit: string][] = [
  [86_400, "d"],
  [3600, "h"],
  [60, "m"],
  [1, "s"],
];

/** Milliseconds → the largest unit that fits: `2h`, `45s`. */
export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [size, unit] = SPANS.find(([each]) => seconds >= each) ?? [1, "s"];
  return `${Math.floor(seconds / size)}${unit}`;
}

/** A moment as how long ago it was; empty when absent. */
export const ago = (moment: string | null | undefined, now: number): string =>
  moment ? `${span(now - Date.parse(moment))} ago` : "";

/** Millionths of a US dollar: 1234567 → `$1.23`; below a cent with what it takes to show it. */
export function dollars(micros: number): string {
  if (micros === 0 || micros >= 10_000) return `$${(micros / 1_000_000).toFixed(2)}`;
  return `$${(micros / 1_000_000).toFixed(6).replace(/0+$/, "")}`;
}
