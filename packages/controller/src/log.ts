// Writes the controller's log as JSON lines with secrets masked.

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Facts of a log line. Values named like a secret are masked, whatever they hold. */
export type LogFacts = Record<string, unknown>;

export interface Log {
  debug(message: string, facts?: LogFacts): void;
  info(message: string, facts?: LogFacts): void;
  warn(message: string, facts?: LogFacts): void;
  error(message: string, facts?: LogFacts): void;
}

const ORDER: Record<LogLevel, number> = { debug: 10, info: 20, warn: 30, error: 40 };
const SECRET_NAME = /secret|password|token|authorization|apikey|api_key|environment/i;

/**
 * Makes a logger that writes one JSON object a line.
 * @param write where a finished line goes (standard error in the process)
 * @param level the least level that is written
 */
export function createLog(write: (line: string) => void, level: LogLevel): Log {
  const emit = (lineLevel: LogLevel, message: string, facts: LogFacts = {}) => {
    if (ORDER[lineLevel] < ORDER[level]) return;
    const line: LogFacts = { timestamp: new Date().toISOString(), level: lineLevel, message };
    for (const [name, value] of Object.entries(facts)) {
      if (value === undefined) continue;
      line[name] = SECRET_NAME.test(name) ? "***" : value instanceof Error ? errorMessage(value) : value;
    }
    write(`${JSON.stringify(line)}\n`);
  };
  return {
    debug: (message, facts) => emit("debug", message, facts),
    info: (message, facts) => emit("info", message, facts),
    warn: (message, facts) => emit("warn", message, facts),
    error: (message, facts) => emit("error", message, facts),
  };
}

/** A log that says nothing, for tests. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** The message of anything thrown, with its cause where there is one. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return `${error.message}${cause}`;
}
