import type { ModelSettings } from "../../config.ts";

/** How a call is made, in the AI SDK's names. */
export interface CallSettings {
  readonly temperature: number;
  readonly maxOutputTokens: number;
  readonly topP?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly stopSequences?: string[];
}

/**
 * Maps an agent's settings to a call. Defaults are documented ones: temperature 0.7, max_tokens 4096; what changes nothing
 * (top_p 1, penalties 0, no stop) is left out, because several models refuse to see it at all.
 */
export function mapSettings(settings: ModelSettings): CallSettings {
  const stop = (typeof settings.stop === "string" ? [settings.stop] : (settings.stop ?? [])).filter(
    (text) => text !== "",
  );
  return {
    temperature: settings.temperature ?? 0.7,
    maxOutputTokens: settings.max_tokens ?? 4096,
    ...(settings.top_p !== undefined && settings.top_p !== 1 && { topP: settings.top_p }),
    ...(settings.presence_penalty && { presencePenalty: settings.presence_penalty }),
    ...(settings.frequency_penalty && { frequencyPenalty: settings.frequency_penalty }),
    ...(stop.length > 0 && { stopSequences: stop }),
  };
}
