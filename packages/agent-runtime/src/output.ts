// What libraries print: each text becomes a log line of the source "output". A stack is one line, not one a frame; a text that comes
// again and again is counted instead of repeated.
import { LEVELS, type Log, type Metadata } from "./log.ts";

/** Longest line kept of what libraries print: errors of theirs quote whole answers of other hosts. */
const MAX_PRINTED = 2_000;

/** Turns everything printed by libraries, to stdout or stderr, into log lines of the source "output". */
export function captureOutput(log: Log): void {
  const output = counted(log.named("output"));
  for (const [stream, say] of [
    [process.stdout, output.info],
    [process.stderr, output.warn],
  ] as const) {
    let pending = "";
    const write = (chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
      pending += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString();
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      for (const text of joined(lines.map(stripAnsi))) relay(output, text, say);
      const callback = typeof encoding === "function" ? encoding : done;
      if (typeof callback === "function") callback();
      return true;
    };
    stream.write = write as typeof stream.write;
  }
}

/** A line that continues the one before it: indented, or the end of a printed object. */
const CONTINUED = /^(\s+\S|[\]})]+[,;]?$)/;

/** Lines that belong together as one text: a stack with its message, an object printed over several lines. Blank ones are dropped. */
export function joined(lines: readonly string[]): string[] {
  const texts: string[] = [];
  for (const line of lines) {
    if (line.trim() === "") continue;
    if (CONTINUED.test(line) && texts.length > 0) texts.push(`${texts.pop()}\n${line}`);
    else texts.push(line);
  }
  return texts;
}

/** A text that comes again is silent for so long, then twice as long, and so on up to the most. */
const SILENCE_MS = { first: 10_000, most: 3_600_000 };
/** Texts remembered; of more the oldest is forgotten, and would be logged again. */
const MAX_REMEMBERED = 500;

interface Repeated {
  silenceMs: number;
  until: number;
  count: number;
}

/**
 * A log that writes a text at once when it is new, and counts it while it comes again; the next line of it says how often.
 * @param now milliseconds
 */
export function counted(log: Log, now: () => number = Date.now): Log {
  const known = new Map<string, Repeated>();
  const counting =
    (level: "debug" | "info" | "warn" | "error") =>
    (message: string, metadata: Metadata = {}) => {
      const key = `${level} ${message} ${JSON.stringify(metadata)}`;
      const entry = known.get(key);
      const at = now();
      if (entry === undefined) {
        const [oldest] = known.keys();
        if (known.size >= MAX_REMEMBERED && oldest !== undefined) known.delete(oldest);
        known.set(key, { silenceMs: SILENCE_MS.first, until: at + SILENCE_MS.first, count: 0 });
        return log[level](message, metadata);
      }
      entry.count += 1;
      if (at < entry.until) return;
      // Silent for a whole span since the last line: it is news again.
      const isNew = entry.count === 1 && at >= entry.until + entry.silenceMs;
      log[level](message, isNew ? metadata : { ...metadata, repeated: entry.count });
      entry.silenceMs = isNew ? SILENCE_MS.first : Math.min(SILENCE_MS.most, entry.silenceMs * 2);
      entry.until = at + entry.silenceMs;
      entry.count = 0;
    };
  return {
    debug: counting("debug"),
    info: counting("info"),
    warn: counting("warn"),
    error: counting("error"),
    named: (name) => log.named(name),
  };
}

/** Logs one printed text; elizaOS prints JSON with its own level, which is kept. */
function relay(output: Log, line: string, say: Log["info"]): void {
  const entry = line.startsWith("{") ? parseEntry(line) : undefined;
  if (!entry) {
    say(line.slice(0, MAX_PRINTED));
    return;
  }
  const { levelName, msg, args } = entry;
  const level =
    LEVELS.find((known) => known.toLowerCase() === levelName) ?? (levelName === "fatal" ? "ERROR" : "INFO");
  const write = { DEBUG: output.debug, INFO: output.info, WARN: output.warn, ERROR: output.error }[level];
  write(String(msg).slice(0, MAX_PRINTED), Array.isArray(args) && args.length > 0 ? boundedArgs(args) : {});
}

function boundedArgs(args: unknown[]): Metadata {
  const text = JSON.stringify(args);
  return text.length > MAX_PRINTED ? { args: `${text.slice(0, MAX_PRINTED)}…` } : { args };
}

function parseEntry(line: string): { levelName?: unknown; msg: unknown; args?: unknown } | undefined {
  try {
    const entry = JSON.parse(line);
    return "msg" in entry ? entry : undefined;
  } catch {
    return undefined;
  }
}

function stripAnsi(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours begin with the control character ESC
  return line.replace(/\u001b\[[0-9;]*m/g, "");
}
