// A model whose calls are steps of the answer's trace: each step of a tool loop, each retry, each stream.
import { type LanguageModelMiddleware, wrapLanguageModel } from "ai";
import { mapModelError } from "../engines/model/errors.ts";
import type { LanguageModel } from "../engines/model/providers.ts";
import { redactText } from "./redact.ts";
import { beginStep, type Ended } from "./steps.ts";

type Params = Parameters<NonNullable<LanguageModelMiddleware["wrapGenerate"]>>[0]["params"];
type Usage = Awaited<ReturnType<NonNullable<LanguageModelMiddleware["wrapGenerate"]>>>["usage"];

/** A call under way; the first end counts. */
interface OpenStep {
  ended(usage: Usage | undefined, said: string, calls: readonly string[], failed?: string): void;
  failed(error: unknown): void;
}

/** What a trace keeps of a model's words: the answer itself is in its message. */
const MAX_SAID = 1_000;

/**
 * Wraps a model.
 * @param name what its steps are called
 * @param framework in whose words failures are described
 * @param secrets what no trace may hold
 */
export function tracedModel(
  model: LanguageModel,
  name: string,
  framework: string,
  secrets: readonly string[],
): LanguageModel {
  const begin = (params: Params): OpenStep => {
    const end = beginStep("model", name);
    const asked = {
      messages: params.prompt.filter(({ role }) => role !== "system").length,
      ...(params.maxOutputTokens !== undefined && { maxOutputTokens: params.maxOutputTokens }),
      ...(params.tools !== undefined &&
        params.tools.length > 0 && { tools: params.tools.map((tool) => tool.name) }),
    };
    return {
      ended: (usage, said, calls, failed) =>
        end({
          ...tokens(usage),
          arguments: asked,
          result: redactText(
            [said.slice(0, MAX_SAID), ...calls.map((call) => `calls ${call}`)].join("\n").trim(),
            secrets,
          ),
          ...(failed === undefined
            ? { status: "ok" }
            : { status: "error", error: { code: "MODEL_BAD_RESPONSE", message: failed } }),
        }),
      failed: (error) => {
        const { code, message } = mapModelError(error, framework, params.abortSignal?.aborted === true);
        end({ status: "error", arguments: asked, error: { code, message } });
      },
    };
  };
  const middleware: LanguageModelMiddleware = {
    specificationVersion: "v4",
    async wrapGenerate({ doGenerate, params }) {
      const step = begin(params);
      try {
        const result = await doGenerate();
        const said = result.content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("");
        step.ended(
          result.usage,
          said,
          result.content.flatMap((part) => (part.type === "tool-call" ? [part.toolName] : [])),
        );
        return result;
      } catch (error) {
        step.failed(error);
        throw error;
      }
    },
    async wrapStream({ doStream, params }) {
      const step = begin(params);
      try {
        const result = await doStream();
        return { ...result, stream: watched(result.stream, step) };
      } catch (error) {
        step.failed(error);
        throw error;
      }
    },
  };
  return wrapLanguageModel({ model, middleware });
}

type StreamPart =
  Awaited<ReturnType<NonNullable<LanguageModelMiddleware["wrapStream"]>>>["stream"] extends ReadableStream<
    infer Part
  >
    ? Part
    : never;

const tokens = (usage: Usage | undefined): Omit<Ended, "status"> =>
  usage === undefined
    ? {}
    : {
        inputTokens: usage.inputTokens.total ?? 0,
        outputTokens: usage.outputTokens.total ?? 0,
        cachedInputTokens: usage.inputTokens.cacheRead ?? 0,
      };

/** The same stream; the step ends with its finish, its error, or when its reader leaves. */
function watched(stream: ReadableStream<StreamPart>, step: OpenStep): ReadableStream<StreamPart> {
  const parts = stream.getReader();
  const calls: string[] = [];
  let said = "";
  let usage: Usage | undefined;
  const brokeOff = () => step.ended(usage, said, calls, "The stream broke off.");
  return new ReadableStream<StreamPart>({
    async pull(controller) {
      try {
        const { done, value } = await parts.read();
        if (done) {
          brokeOff(); // unless it has ended already
          controller.close();
          return;
        }
        if (value.type === "text-delta" && said.length < MAX_SAID) said += value.delta;
        else if (value.type === "tool-call") calls.push(value.toolName);
        else if (value.type === "error") step.failed(value.error);
        else if (value.type === "finish") {
          ({ usage } = value);
          step.ended(usage, said, calls);
        }
        controller.enqueue(value);
      } catch (error) {
        step.failed(error);
        controller.error(error);
      }
    },
    async cancel(reason) {
      brokeOff();
      await parts.cancel(reason);
    },
  });
}
