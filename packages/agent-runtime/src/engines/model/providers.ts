import type { LanguageModel as NamedOrModel } from "ai";
import type { Config, Framework } from "../../config.ts";

/** The model an agent gets that names none; the same as in the catalogue (table frameworks, default_model). */
export const DEFAULT_MODELS: Record<Framework, string> = {
  openai: "gpt-4o",
  anthropic: "claude-sonnet-4-6",
  google: "gemini-3.5-flash",
};

/** A model as the providers make it, not a name. */
export type LanguageModel = Exclude<NamedOrModel, string>;

/** What a provider is called with. */
export type ModelAccess = Pick<Config, "framework" | "provider" | "openaiApi">;

/**
 * Makes the language model of an agent, importing the one provider it uses.
 * OpenAI is called by chat completions: they honour every setting (the responses API drops penalties and stop sequences),
 * and compatible servers speak them. OPENAI_API=responses switches, for models that know only that API.
 */
export async function createLanguageModel(config: ModelAccess, model: string): Promise<LanguageModel> {
  const { apiKey, baseUrl: baseURL } = config.provider;
  const access = { ...(apiKey !== undefined && { apiKey }), ...(baseURL !== undefined && { baseURL }) };
  switch (config.framework) {
    case "openai": {
      const { createOpenAI } = await import("@ai-sdk/openai");
      const openai = createOpenAI(access);
      return config.openaiApi === "chat" ? openai.chat(model) : openai.responses(model);
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
  }
}

/** Anthropic's own tools give the address without the version, the AI SDK wants it: an address without a path gets it. */
function withVersion(baseUrl: string): string {
  return new URL(baseUrl).pathname === "/" ? `${baseUrl}/v1` : baseUrl;
}
