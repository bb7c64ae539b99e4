// Puts the meter before every call that the AI SDK makes of a model (each step of a tool loop, each retry, each stream), and
// fits the call to what the model accepts, which the reservation says.
import { type LanguageModelMiddleware, wrapLanguageModel } from "ai";
import type { ModelSettings } from "../../config.ts";
import {
  LASTING,
  likelyTokens,
  type MeteredCall,
  mostTokens,
  type Refusal,
  type Reserving,
  type TokensUsed,
} from "../../meter.ts";
import { fitSettings, isOfSetting, toSdkWarning } from "./facts.ts";
import { type LanguageModel, OWN_OPTIONS } from "./providers.ts";
import { mapSettings } from "./settings.ts";

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

/** What a model's calls are made with. */
export interface MeteredOptions {
  /** The model's name. */
  readonly name: string;
  readonly framework: string;
  /** The agent's settings: what a call carries is decided by them and by what the reservation says of the model. */
  readonly settings: ModelSettings;
  /** What no word of the provider may repeat. */
  readonly secrets?: readonly string[];
}

/** A model whose calls are metered, and fitted to what the model accepts. */
export function metered(model: LanguageModel, meter: Reserving, options: MeteredOptions): LanguageModel {
  const { name, settings } = options;
  const begin = async (params: Params) => {
    const outputTokens = params.maxOutputTokens ?? mapSettings(settings).maxOutputTokens;
    const wanted = { model: name, inputTokens: mostInput(params), outputTokens };
    const call = await meter.reserve(wanted, params.abortSignal);
    return { call, ...fit(params, call, options) };
  };
  const isSet = (warning: object) => isOfSetting(warning, settings);
  const middleware: LanguageModelMiddleware = {
    specificationVersion: "v4",
    async wrapGenerate({ params, model: inner }) {
      const { call, fitted, warnings } = await begin(params);
      try {
        const result = await inner.doGenerate(fitted);
        call.settle(used(result.usage, params, result.content.map(saidIn).join("")));
        return { ...result, warnings: [...warnings, ...result.warnings.filter(isSet)] };
      } catch (error) {
        throw await end(call, error, params, "", options);
      }
    },
    async wrapStream({ params, model: inner }) {
      const { call, fitted, warnings } = await begin(params);
      let said = "";
      let begun = false;
      try {
        const result = await inner.doStream(fitted);
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
                // Whoever reads an error reads no further.
                if (value.type === "error")
                  call.settle(used(undefined, params, said), await refusalOf(value.error, options));
                else if (value.type === "finish") call.settle(used(value.usage, params, said));
                else if ("delta" in value && typeof value.delta === "string") said += value.delta;
                const started = value.type === "stream-start";
                controller.enqueue(
                  started ? { ...value, warnings: [...warnings, ...value.warnings.filter(isSet)] } : value,
                );
              } catch (error) {
                if (begun) call.settle(used(undefined, params, said));
                controller.error(begun ? error : await end(call, error, params, said, options));
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
        throw await end(call, error, params, said, options);
      }
    },
  };
  return wrapLanguageModel({ model, middleware });
}

/** A call as it goes out: with the settings that the model accepts, and no more output than was granted. */
function fit(params: Params, { outputTokens, facts }: MeteredCall, { name, settings }: MeteredOptions) {
  const { temperature, topP, presencePenalty, frequencyPenalty, stopSequences, ...rest } = params;
  const { call, withoutThinking, warnings } = fitSettings(settings, facts, name);
  const fitted: Params = {
    ...rest,
    ...call,
    maxOutputTokens: Math.min(outputTokens, call.maxOutputTokens),
    providerOptions: {
      ...rest.providerOptions,
      [OWN_OPTIONS]: { api: facts?.api ?? "chat" },
      ...(withoutThinking && { openai: { ...rest.providerOptions?.openai, reasoningEffort: "none" } }),
    },
  };
  const all = [...warnings];
  if (facts?.callsTools === false && fitted.tools !== undefined) {
    delete fitted.tools;
    delete fitted.toolChoice;
    all.push({ field: "tools", message: `Left out: ${name} cannot call tools` });
  }
  return { fitted, warnings: all.map(toSdkWarning) };
}

/**
 * A call that failed. The provider bills none that it refused or that never reached it; one that was given up it may bill.
 * @returns what is thrown: of a spent account no 429, which the AI SDK would ask again
 */
async function end(
  call: MeteredCall,
  error: unknown,
  params: Params,
  said: string,
  options: MeteredOptions,
): Promise<unknown> {
  const gaveUp = params.abortSignal?.aborted === true;
  const answeredBadly = (error as { statusCode?: number })?.statusCode === 200;
  if (gaveUp || answeredBadly) {
    call.settle(used(undefined, params, said));
    return error;
  }
  const refused = await refusalOf(error, options);
  call.release(refused);
  if (refused?.code !== "MODEL_QUOTA_EXHAUSTED") return error;
  const { mapModelError } = await import("./errors.ts");
  return mapModelError(error, options.framework, false);
}

/** What the owner is to know of a failure that repeats until somebody changes something. */
async function refusalOf(
  error: unknown,
  { framework, secrets = [] }: MeteredOptions,
): Promise<Refusal | undefined> {
  const { mapModelError, withProviderWords } = await import("./errors.ts");
  const { code, message } = withProviderWords(mapModelError(error, framework, false), secrets);
  return LASTING.has(code) ? { code, message } : undefined;
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
