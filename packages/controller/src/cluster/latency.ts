/**
 * Whether a response time tells something new: a few milliseconds up or down do not, three times as long or short does.
 * @param told the time that was told last, if any
 */
export function isNewLatency(now: number | null | undefined, told: number | null | undefined): boolean {
  if (now == null) return false;
  if (told == null) return true;
  return Math.abs(now - told) > 10 && (now > 3 * told || told > 3 * now);
}
