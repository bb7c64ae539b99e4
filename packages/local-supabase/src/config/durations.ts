// Durations in Go's form, as config.toml writes them.

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ns: 1e-6,
};

/** Reads "1h30m", "5s", "0" or "-1.5h". Returns milliseconds, or undefined for another text. */
export function parseGoDuration(text: string): number | undefined {
  const [, sign, rest] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === "0") return 0;
  if (!rest || !/^(?:(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|μs|ns))+$/.test(rest)) return undefined;
  let ms = 0;
  for (const [, number, unit] of rest.matchAll(/(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|μs|ns)/g))
    ms += Number(number) * (UNITS[unit!] ?? 0);
  return sign === "-" ? -ms : ms;
}
