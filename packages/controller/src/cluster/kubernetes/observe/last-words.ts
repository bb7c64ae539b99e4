// What a container said before it ended, and how much memory it might use, in words.
import { type ParsedLine, parseLine } from "../../lines.ts";

/**
 * What it said last, from the end of its log that the node keeps of a life that failed (2 KiB, its first line may be
 * cut): its last error, or else its last line.
 */
export function lastWords(message: string): ParsedLine | undefined {
  const lines = message.split("\n").filter((line) => line.trim() !== "");
  const parsed = lines.map((line) => parseLine(line, { source: "stdout", level: "INFO" }));
  const last = parsed.findLast(({ level }) => level === "ERROR") ?? parsed.at(-1);
  if (last === undefined || Object.keys(last.metadata).length > 0) return last;
  // A long line that was cut at its front is no JSON any more, but still tells its reason.
  const reason = /"reason":"([A-Z][A-Z0-9_]*)"[^{}]*\}\}$/.exec(lines.at(-1) ?? "")?.[1];
  return reason === undefined ? last : { ...last, metadata: { reason } };
}

/** A memory limit as people read it. */
export function memoryWords(quantity: string): string {
  const bytes = /^\d+$/.test(quantity) ? Number(quantity) : undefined;
  return bytes === undefined ? quantity : `${Math.round(bytes / 1024 / 1024)} MiB`;
}
