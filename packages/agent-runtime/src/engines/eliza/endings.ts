// How a provider said that an answer ended, read where it comes in: elizaOS's plugins pass a text on without it, so that an answer
// that was filtered, broke off or failed would look like a whole one.
import { requireWhole } from "../model/completion.ts";

/** How an answer ended, in the AI SDK's words and in the provider's own. */
export interface EndOfAnswer {
  readonly finishReason: string;
  readonly raw: string;
}

type Body = Record<string, unknown>;

const FINISH: readonly [finishReason: string, raw: RegExp][] = [
  ["stop", /^(stop|completed|end_turn|stop_sequence|pause_turn|tool_use|tool_calls|function_call)$/i],
  ["length", /^(length|max_tokens|max_output_tokens|model_context_window_exceeded)$/i],
  [
    "content-filter",
    /^(content_filter|refusal|safety|recitation|blocklist|prohibited_content|spii|image_safety|language)$/i,
  ],
];

/**
 * How an answer ended; undefined where its body says nothing of it. Pure.
 * @param body of chat completions, the responses API, Anthropic's messages or Google's generateContent
 */
export function endOfAnswer(body: unknown): EndOfAnswer | undefined {
  const raw = rawEnd((body ?? {}) as Body);
  if (typeof raw !== "string" || raw === "") return undefined;
  const [finishReason] = FINISH.find(([, words]) => words.test(raw)) ?? ["other"];
  return { finishReason, raw };
}

function rawEnd(body: Body): unknown {
  const { choices, candidates, status, stop_reason, promptFeedback } = body;
  if (Array.isArray(choices)) return (choices[0] as Body | undefined)?.finish_reason;
  if (Array.isArray(candidates)) return (candidates[0] as Body | undefined)?.finishReason;
  if (promptFeedback !== undefined) return (promptFeedback as Body | null)?.blockReason && "SAFETY";
  if (body.object === "response") {
    const { reason } = (body.incomplete_details ?? {}) as Body;
    return reason ?? status;
  }
  return stop_reason;
}

/**
 * Throws unless what a model said is whole.
 * @param said its text; of an empty one that ended in order elizaOS itself asks again
 * @throws AgentError as the model engine does
 */
export function requireWholeAnswer(
  said: string,
  end: EndOfAnswer | undefined,
  framework: string,
  maxTokens: number,
): void {
  if (end === undefined || (end.finishReason === "stop" && said.trim() === "")) return;
  requireWhole(
    { text: said, finishReason: end.finishReason, rawFinishReason: end.raw },
    framework,
    maxTokens,
  );
}

/** What a provider's plugin gives back where it is asked for a stream. */
export interface ElizaStream {
  readonly textStream: AsyncIterable<string>;
  readonly text?: Promise<string>;
  readonly finishReason?: Promise<string | undefined>;
  readonly usage?: Promise<{ promptTokens?: number; completionTokens?: number } | undefined>;
}

export const isStream = (result: unknown): result is ElizaStream =>
  typeof result === "object" && result !== null && "textStream" in result;

/** A stream came to its end: what it said, and why it is not whole. */
export type StreamEnded = (said: string, failure: unknown) => void | Promise<void>;

/**
 * A stream that fails where it is not whole: the AI SDK's own ends like one that is.
 * @param check throws unless the answer is whole
 */
export function wholeStream(
  stream: ElizaStream,
  check: (said: string, end: EndOfAnswer) => void,
  ended: StreamEnded,
): ElizaStream {
  const { finishReason, usage, text } = stream;
  // Nobody may be listening to them.
  for (const promise of [finishReason, usage, text]) promise?.catch(() => undefined);
  const requireEnd = async (said: string) => {
    const reason = (await finishReason) ?? "unknown";
    check(said, { finishReason: reason, raw: reason });
  };
  async function* pieces() {
    let said = "";
    let failure: unknown;
    try {
      for await (const piece of stream.textStream) {
        said += piece;
        yield piece;
      }
      await requireEnd(said);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      await ended(said, failure);
    }
  }
  return {
    ...stream,
    textStream: pieces(),
    get text() {
      return text?.then(async (said) => {
        await requireEnd(said);
        return said;
      });
    },
  } as ElizaStream;
}
