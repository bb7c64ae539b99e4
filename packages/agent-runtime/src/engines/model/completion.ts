// When a model's answer is whole, and what is said of one that is not. Both ways to run an agent ask here.
import { isBlank } from "../../../../../supabase/functions/_shared/contract/blank.ts";
import { AgentError, type AgentErrorCode } from "../../errors.ts";

/** A model may call tools and look at their results this many times before it must answer. */
export const MAX_STEPS = 8;

/** How a model's last step ended, in the AI SDK's words. */
export interface Ending {
  readonly text: string;
  readonly finishReason: string;
  /** The provider's own word; undefined where it has none, or the answer came to no end. */
  readonly rawFinishReason: string | undefined;
}

/**
 * Throws unless the answer is whole: it has a text, and the provider said that it was the end, or that `max_tokens` cut it.
 * @throws AgentError final where the same call would end the same way
 */
export function requireWhole(ending: Ending, framework: string, maxTokens: number): void {
  const { finishReason, rawFinishReason: raw } = ending;
  const empty = isBlank(ending.text);
  if (finishReason === "content-filter") {
    const message = empty
      ? `${framework} refused to answer this message.`
      : `${framework} stopped its answer by a content filter.`;
    throw new AgentError("MODEL_REFUSED", message);
  }
  if (finishReason === "tool-calls") {
    const message = `${framework} was still calling tools after ${MAX_STEPS} steps.`;
    throw new AgentError("MODEL_BAD_RESPONSE", message, { details: FINAL });
  }
  if (finishReason === "length" && empty) {
    const message = `${framework} used up max_tokens (${maxTokens}) before it wrote a text; set a larger max_tokens.`;
    throw new AgentError("MODEL_BAD_RESPONSE", message, { details: FINAL });
  }
  if (finishReason !== "stop" && finishReason !== "length") {
    const why = raw !== undefined && /^\w{1,40}$/.test(raw) ? ` (${raw})` : "";
    throw new AgentError("MODEL_BAD_RESPONSE", `${framework} broke off its answer${why}.`);
  }
  if (empty)
    throw new AgentError(
      "MODEL_BAD_RESPONSE",
      `${framework} answered without a text (${raw ?? finishReason}).`,
    );
}

/** In an error's details: do not retry without a person. */
const FINAL = { final: "true" } as const;

/** Whether the same message must not be tried again without a person. */
export const isFinal = ({ details }: { readonly details?: Record<string, string> | undefined }): boolean =>
  details?.final === FINAL.final;

/** A failure that is not retried without a person. */
export const finalFailure = (
  code: AgentErrorCode,
  message: string,
  facts: Record<string, string>,
  cause: unknown,
): AgentError => new AgentError(code, message, { details: { ...facts, ...FINAL }, cause });

/** The failure of an answer whose tools have acted already: another attempt would act a second time. */
export function afterActing(failure: AgentError): AgentError {
  if (isFinal(failure)) return failure;
  const message = `${failure.message} Its tools had acted by then, so it is not tried again.`;
  return new AgentError(failure.code, message, {
    details: { ...failure.details, ...FINAL },
    cause: failure.cause,
  });
}
