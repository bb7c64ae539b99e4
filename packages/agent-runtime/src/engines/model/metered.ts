// Puts the meter before every call that the AI SDK makes of a model: each step of a tool loop, each retry, each stream.
import type { LanguageModelMiddleware } from "ai";
import { likelyTokens, type MeteredCall, mostTokens, type Reserving, type TokensUsed } from "../../meter.ts";
import type { LanguageModel } from "./providers.ts";

type Params = Parameters<NonNullable<LanguageModelMiddleware["wrapGenerate"]>>[0]["params"];
type GenerateResult = Awaited<ReturnType<NonNullable<LanguageModelMiddleware["wrapGenerate"]>>>;
type Usage = GenerateResult["usage"];
type Part = GenerateResult["content"][number];

/** What providers add around messages (roles, separators), for each. */
const PER_MESSAGE = 16;
/** Instructions that providers add for tools. */
const FOR_TOOLS = 1_000;

/** The most input tokens that a call can have. */
export function mostInput({
  prompt,
  tools,
  responseFormat,
}: Pick<Params, "prompt" | "tools" | "responseFormat">): number {
  const said = prompt.reduce(
    (sum, { content }) =>
      sum + PER_MESSAGE + mostTokens(typeof content === "string" ? content : content.map(textOf).join("")),
    PER_MESSAGE,
  );
  const offered =
    tools === undefined || tools.length === 0 ? 0 : FOR_TOOLS + mostTokens(JSON.stringify(tools));
  return said + offered + (responseFormat === undefined ? 0 : mostTokens(JSON.stringify(responseFormat)));
}

const textOf = (part: { type: string; text?: string }): string => part.text ?? JSON.stringify(part);

/** A model whose calls are metered. `outputTokens` is what a call gets that asks for no limit. */
export async function metered(
  model: LanguageModel,
  meter: Reserving,
  name: string,
  outputTokens: number,
): Promise<LanguageModel> {
  const { wrapLanguageModel } = await import("ai");
  const begin = async (params: Params): Promise<MeteredCall> =>
    meter.reserve(
      { model: name, inputTokens: mostInput(params), outputTokens: params.maxOutputTokens ?? outputTokens },
      params.abortSignal,
    );
  const middleware: LanguageModelMiddleware = {
    specificationVersion: "v4",
    async wrapGenerate({ params, model: inner }) {
      const call = await begin(params);
      try {
        const result = await inner.doGenerate({ ...params, maxOutputTokens: call.outputTokens });
        call.settle(used(result.usage, params, result.content.map(saidIn).join("")));
        return result;
      } catch (error) {
        end(call, error, params, "");
        throw error;
      }
    },
    async wrapStream({ params, model: inner }) {
      const call = await begin(params);
      let said = "";
      let begun = false;
      try {
        const result = await inner.doStream({ ...params, maxOutputTokens: call.outputTokens });
        const parts = result.stream.getReader();
        return {
          ...result,
          stream: new ReadableStream({
            async pull(controller) {
              try {
                const { done, value } = await parts.read();
                if (done) {
                  call.settle(used(undefined, params, said));
                  controller.close();
                  return;
                }
                begun = true;
                if (value.type === "finish") call.settle(used(value.usage, params, said));
                else if ("delta" in value && typeof value.delta === "string") said += value.delta;
                controller.enqueue(value);
              } catch (error) {
                if (begun) call.settle(used(undefined, params, said));
                else end(call, error, params, said);
                controller.error(error);
              }
            },
            // Whoever listened hung up: what was said by then is paid.
            async cancel(reason) {
              call.settle(used(undefined, params, said));
              await parts.cancel(reason);
            },
          }),
        };
      } catch (error) {
        end(call, error, params, said);
        throw error;
      }
    },
  };
  return wrapLanguageModel({ model, middleware });
}

/** A call that failed. The provider bills none that it refused or that never reached it; one that was given up it may bill. */
function end(call: MeteredCall, error: unknown, params: Params, said: string): void {
  const gaveUp = params.abortSignal?.aborted === true;
  const answeredBadly = (error as { statusCode?: number })?.statusCode === 200;
  if (gaveUp || answeredBadly) call.settle(used(undefined, params, said));
  else call.release();
}

/** What a call used, by the provider's count, else by its text. */
function used(usage: Usage | undefined, params: Params, said: string): TokensUsed {
  const input = usage?.inputTokens.total ?? Math.ceil(mostInput(params) / 2);
  return {
    inputTokens: input,
    cachedInputTokens: usage?.inputTokens.cacheRead ?? 0,
    outputTokens: usage?.outputTokens.total ?? likelyTokens(said),
  };
}

const saidIn = (part: Part): string =>
  part.type === "text" || part.type === "reasoning" ? part.text : part.type === "tool-call" ? part.input : "";
