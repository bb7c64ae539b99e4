// One streamed answer of the AI SDK, read part by part: both ways to run an agent read it here.
import type { StreamTextResult, ToolSet } from "ai";
import type { Ending } from "./completion.ts";
import type { fromSdkWarnings } from "./facts.ts";

/** Receives each piece of text, and every part that comes, whatever it is. */
export interface Reader {
  delta(text: string): void;
  heard?(): void;
}

/** What came so far; also of an answer that fails. */
export interface Streamed extends Ending {
  text: string;
  finishReason: string;
  rawFinishReason: string | undefined;
  readonly usage: { inputTokens: number; outputTokens: number };
  /** What the AI SDK warned of, step by step. */
  warnings: Parameters<typeof fromSdkWarnings>[0][number][];
}

/** Nothing yet. */
export const nothingStreamed = (): Streamed => ({
  text: "",
  finishReason: "unknown",
  rawFinishReason: undefined,
  usage: { inputTokens: 0, outputTokens: 0 },
  warnings: [],
});

type Parts = StreamTextResult<ToolSet, never, never>["stream"];

/**
 * Reads a stream to its end; the texts of several steps stand apart.
 * @param into is filled as it goes
 * @throws what the stream ended with; the signal's reason
 */
export async function readStream(
  parts: Parts,
  into: Streamed,
  reader: Reader,
  signal: AbortSignal,
): Promise<void> {
  let separate = false;
  for await (const part of parts) {
    reader.heard?.();
    if (part.type === "text-delta") {
      const piece = separate && into.text !== "" ? `\n\n${part.text}` : part.text;
      separate = false;
      into.text += piece;
      reader.delta(piece);
    } else if (part.type === "start-step") {
      into.warnings.push(...part.warnings);
    } else if (part.type === "finish-step") {
      separate = true;
      into.usage.inputTokens += part.usage.inputTokens ?? 0;
      into.usage.outputTokens += part.usage.outputTokens ?? 0;
      into.finishReason = part.finishReason;
      into.rawFinishReason = part.rawFinishReason;
    } else if (part.type === "error") {
      throw part.error;
    } else if (part.type === "abort") {
      throw signal.reason;
    }
  }
  signal.throwIfAborted();
}
