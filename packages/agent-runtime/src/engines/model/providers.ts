// Creates the language model that an agent names.

import type { LanguageModel as NamedOrModel } from "ai";
import type { Config } from "../../config.ts";
import { compatibleFetch } from "./compatible.ts";

/** A model as the providers make it, not a name. */
export type LanguageModel = Extract<NamedOrModel, { specificationVersion: "v4" }>;

/** What a provider is called with. */
export type ModelAccess = Pick<Config, "framework" | "provider" | "openaiApi">;

/** The name among a call's provider options under which the platform says what concerns no provider's package. */
export const OWN_OPTIONS = "launchpad";

/**
 * Makes the language model of an agent, importing the one provider it uses.
 * OpenAI's models are called by the API that the catalogue names for them: chat completions, which honour every setting and
 * which compatible servers speak, or responses, where a model thinks and calls tools there alone. Other servers are called by
 * chat completions, which all of them know. OPENAI_API decides otherwise.
 */
export async function createLanguageModel(config: ModelAccess, model: string): Promise<LanguageModel> {
  const { apiKey, baseUrl: baseURL } = config.provider;
  const access = { ...(apiKey !== undefined && { apiKey }), ...(baseURL !== undefined && { baseURL }) };
  switch (config.framework) {
    case "openai": {
      const { createOpenAI } = await import("@ai-sdk/openai");
      const openai = createOpenAI({ ...access, fetch: compatibleFetch });
      const chat = openai.chat(model);
      const responses = openai.responses(model);
      return byCall(chat, (options) => {
        const { api } = options.providerOptions?.[OWN_OPTIONS] ?? {};
        const wanted = openaiApiOf(config.openaiApi, baseURL, api);
        return wanted === "responses" ? [responses, withoutStore(options)] : [chat, options];
      });
    }
    case "anthropic": {
      const { createAnthropic } = await import("@ai-sdk/anthropic");
      return createAnthropic({ ...access, ...(baseURL !== undefined && { baseURL: withVersion(baseURL) }) })(
        model,
      );
    }
    case "google": {
      const { createGoogleGenerativeAI } = await import("@ai-sdk/google");
      return createGoogleGenerativeAI(access)(model);
    }
    case "echo": {
      const { createEcho } = await import("./echo.ts");
      return createEcho(model);
    }
  }
}

/** Hosts that know all of OpenAI's APIs: its own, in any region, and Azure's. */
const OF_OPENAI = /^(([a-z]{2}\.)?api\.openai\.com|[a-z0-9-]+\.openai\.azure\.com)$/;

/**
 * By which API a model of OpenAI's form is called. Pure.
 * @param setting OPENAI_API
 * @param baseUrl the address that is set; undefined: the provider's own
 * @param named the model's own API, in the catalogue
 */
function openaiApiOf(
  setting: ModelAccess["openaiApi"],
  baseUrl: string | undefined,
  named: unknown,
): unknown {
  if (setting === "chat" || setting === "responses") return setting;
  const elsewhere = baseUrl !== undefined && !OF_OPENAI.test(new URL(baseUrl).hostname);
  return setting === "auto" && elsewhere ? "chat" : named;
}

type CallOptions = Parameters<LanguageModel["doStream"]>[0];

/** A model that decides for each call which of two makes it. */
function byCall(
  like: LanguageModel,
  choose: (options: CallOptions) => [LanguageModel, CallOptions],
): LanguageModel {
  return {
    specificationVersion: like.specificationVersion,
    provider: like.provider,
    modelId: like.modelId,
    supportedUrls: like.supportedUrls,
    doGenerate(options) {
      const [model, own] = choose(options);
      return model.doGenerate(own);
    },
    doStream(options) {
      const [model, own] = choose(options);
      return model.doStream(own);
    },
  };
}

/** OpenAI's responses API keeps what it is sent unless asked not to; conversations are kept here alone. */
function withoutStore(options: CallOptions): CallOptions {
  const { providerOptions } = options;
  return {
    ...options,
    providerOptions: { ...providerOptions, openai: { store: false, ...providerOptions?.openai } },
  };
}

/** Anthropic's own tools give the address without the version, the AI SDK wants it: an address without a path gets it. */
function withVersion(baseUrl: string): string {
  return new URL(baseUrl).pathname === "/" ? `${baseUrl}/v1` : baseUrl;
}
