// What a waiting runtime is handed: its configuration and its variables, once, as one line on stdin.
import type { Readable } from "node:stream";
import { now } from "./clock.ts";
import { ConfigurationError } from "./errors.ts";

/** A variable; where it is set, the process waits for {@link HandOver}. */
export const WAITS = "AGENT_WAITS";

/** The log line of a waiting runtime that has loaded what it needs. */
export const WAITING = "waiting";

/** What a waiting runtime is handed. */
export interface HandOver {
  /** What AGENT_CONFIG_FILE holds elsewhere. */
  readonly config: unknown;
  /** Everything that a runtime which does not wait finds in its environment. */
  readonly environment: Readonly<Record<string, string>>;
}

let begunMs = 0;

/** For how long this process has been an agent. */
export const agentSeconds = (): number => (now() - begunMs) / 1000;

/** From here on this process is an agent; the time that it waited does not count. */
export function becomeAgent(): void {
  begunMs = now();
}

/**
 * Reads the first line. What follows it is read and dropped, so that the end of the stream is still noticed.
 * @throws ConfigurationError (INVALID_CONFIG) for a line that is not a {@link HandOver}; it quotes nothing of it
 */
export function firstLine(input: Readable): Promise<HandOver> {
  const read = Promise.withResolvers<HandOver>();
  const chunks: Buffer[] = [];
  const take = (chunk: Buffer) => {
    const end = chunk.indexOf(0x0a);
    chunks.push(end < 0 ? chunk : chunk.subarray(0, end));
    if (end < 0) return;
    input.off("data", take);
    input.resume();
    try {
      read.resolve(parse(Buffer.concat(chunks.splice(0)).toString()));
    } catch (error) {
      read.reject(error);
    }
  };
  input.on("data", take);
  return read.promise;
}

function parse(line: string): HandOver {
  try {
    const { config, environment } = JSON.parse(line) as Partial<HandOver>;
    if (environment !== undefined && Object.values(environment).every((value) => typeof value === "string"))
      return { config, environment };
  } catch {
    // The parser's own message quotes the line, which has secrets in it.
  }
  throw new ConfigurationError("INVALID_CONFIG", "What this waiting runtime was handed cannot be read.");
}
