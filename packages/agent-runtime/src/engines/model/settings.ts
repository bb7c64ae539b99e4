// Maps an agent's settings to the options of a model call.

import type { ModelSettings } from "../../config.ts";

/** How a call is made, in the AI SDK's names. */
export interface CallSettings {
  readonly temperature?: number;
  readonly maxOutputTokens: number;
  readonly topP?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly stopSequences?: string[];
}

/**
 * Maps an agent's settings to a call. Defaults are documented ones: temperature 0.7, max_tokens 4096; what changes nothing
 * (top_p 1, penalties 0, no stop) is left out, because several models refuse to see it at all. With a top_p there is no
 * default temperature: a provider that accepts only one of them would drop what was chosen.
 */
export function mapSettings(settings: ModelSettings): CallSettings {
  const stop = (typeof settings.stop === "string" ? [settings.stop] : (settings.stop ?? [])).filter(
    (text) => text !== "",
  );
  const topP = settings.top_p === 1 ? undefined : settings.top_p;
  const temperature = settings.temperature ?? (topP === undefined ? 0.7 : undefined);
  return {
    ...(temperature !== undefined && { temperature }),
    maxOutputTokens: settings.max_tokens ?? 4096,
    ...(topP !== undefined && { topP }),
    ...(settings.presence_penalty && { presencePenalty: settings.presence_penalty }),
    ...(settings.frequency_penalty && { frequencyPenalty: settings.frequency_penalty }),
    ...(stop.length > 0 && { stopSequences: stop }),
  };
}
