// What a model accepts, as the catalogue of the project knows it, and how an agent's settings fit it. Pure.
// SQL refuses the same when a setting is set: private.model_setting_problems; a test holds both equal.
import { z } from "zod";
import type { ModelSettings } from "../../config.ts";
import { type CallSettings, mapSettings } from "./settings.ts";

const optional = <T extends z.ZodType>(type: T) =>
  type
    .nullish()
    .transform((value) => value ?? undefined)
    .optional();

/** As a reservation brings them. What is left out is not known, and then nothing is left out of a call. */
const schema = z.object({
  takes: optional(z.array(z.string())),
  maxOutputTokens: optional(z.number().int().positive()),
  maxTemperature: optional(z.number()),
  maxStops: optional(z.number().int().min(0)),
  blankStops: optional(z.boolean()),
  temperatureWithTopP: optional(z.boolean()),
  thinks: optional(z.enum(["never", "always", "unless_sampled"])),
  callsTools: optional(z.boolean()),
  api: optional(z.enum(["chat", "responses"])),
});

export const factsSchema = optional(schema);

export type ModelFacts = z.infer<typeof schema>;

/** A setting that has no effect as it is, and why. */
export interface Warning {
  readonly field: string;
  readonly message: string;
}

export interface Fitted {
  readonly call: CallSettings;
  /** Whether thinking must be switched off, so that the temperature or top_p that a person set counts. */
  readonly withoutThinking: boolean;
  readonly warnings: readonly Warning[];
}

/** The default temperature, for models that do not think: those that do have their own. */
const TEMPERATURE = 0.7;

/**
 * Fits an agent's settings to a model: what it does not take is left out, what is beyond its limits is brought to them, each
 * with a warning.
 * @param settings as the agent has them
 * @param facts of the model; undefined where the catalogue knows nothing of it
 * @param model its name, for the warnings
 */
export function fitSettings(settings: ModelSettings, facts: ModelFacts | undefined, model: string): Fitted {
  const warnings: Warning[] = [];
  const warn = (field: string, message: string) => warnings.push({ field: `settings.${field}`, message });
  const given = mapSettings(settings);
  const thinking = facts?.thinks !== undefined && facts.thinks !== "never";
  const takes = (field: string) => facts?.takes === undefined || facts.takes.includes(field);
  /** A value that a person set; undefined, with a warning, where the model does not take it. */
  const taken = <T>(field: string, value: T | undefined): T | undefined => {
    if (value === undefined || takes(field)) return value;
    warn(field, `Left out: ${model} does not take ${field}`);
    return undefined;
  };

  const isOrdinary = settings.temperature === 1 && (thinking || !takes("temperature"));
  let temperature = taken("temperature", isOrdinary ? undefined : settings.temperature);
  const hottest = facts?.maxTemperature ?? 2;
  if (temperature !== undefined && temperature > hottest) {
    warn("temperature", `Sent as ${hottest}, the most that ${model} takes`);
    temperature = hottest;
  }
  let topP = taken("top_p", given.topP);
  if (topP !== undefined && temperature !== undefined && facts?.temperatureWithTopP === false) {
    warn("top_p", `Left out: ${model} takes temperature or top_p, not both`);
    topP = undefined;
  }
  if (settings.temperature === undefined && topP === undefined && !thinking && takes("temperature"))
    temperature = TEMPERATURE;
  const presencePenalty = taken("presence_penalty", given.presencePenalty);
  const frequencyPenalty = taken("frequency_penalty", given.frequencyPenalty);
  const stopSequences = fitStops(taken("stop", given.stopSequences), facts, model, warn);

  let { maxOutputTokens } = given;
  const most = facts?.maxOutputTokens ?? maxOutputTokens;
  if (maxOutputTokens > most) {
    if (settings.max_tokens !== undefined && settings.max_tokens !== null)
      warn("max_tokens", `Sent as ${most}, the most that ${model} takes`);
    maxOutputTokens = most;
  }
  return {
    call: {
      ...(temperature !== undefined && { temperature }),
      maxOutputTokens,
      ...(topP !== undefined && { topP }),
      ...(presencePenalty !== undefined && { presencePenalty }),
      ...(frequencyPenalty !== undefined && { frequencyPenalty }),
      ...(stopSequences !== undefined && { stopSequences }),
    },
    withoutThinking: facts?.thinks === "unless_sampled" && (temperature !== undefined || topP !== undefined),
    warnings,
  };
}

function fitStops(
  stops: string[] | undefined,
  facts: ModelFacts | undefined,
  model: string,
  warn: (field: string, message: string) => void,
): string[] | undefined {
  if (stops === undefined) return undefined;
  let kept = stops;
  if (facts?.blankStops === false) {
    kept = stops.filter((stop) => stop.trim() !== "");
    if (kept.length < stops.length)
      warn("stop", `Left out: ${model} needs more than white space in each entry`);
  }
  const most = facts?.maxStops ?? kept.length;
  if (kept.length > most) {
    warn("stop", `Only the first ${most} are sent, the most that ${model} takes`);
    kept = kept.slice(0, most);
  }
  return kept.length === 0 ? undefined : kept;
}

/** What the AI SDK calls the settings that it warns of. */
const FEATURES: Readonly<Record<string, string>> = {
  "settings.temperature": "temperature",
  "settings.top_p": "topP",
  "settings.presence_penalty": "presencePenalty",
  "settings.frequency_penalty": "frequencyPenalty",
  "settings.stop": "stopSequences",
  "settings.max_tokens": "maxOutputTokens",
  tools: "tools",
};

/** A warning in the AI SDK's form, so that it travels with the answer. */
export function toSdkWarning({ field, message }: Warning) {
  return { type: "unsupported" as const, feature: FEATURES[field] ?? field, details: message };
}

interface SdkWarning {
  readonly type: string;
  readonly feature?: string;
  readonly details?: string | undefined;
}

/** Whether a warning concerns more than a default of ours that the owner did not set. */
export function isOfSetting(warning: object, settings: ModelSettings): boolean {
  const { feature } = warning as SdkWarning;
  const field = Object.keys(FEATURES).find((key) => FEATURES[key] === feature);
  return !field?.startsWith("settings.") || (settings[field.slice("settings.".length)] ?? null) !== null;
}

/** What the AI SDK warned of, each once, as far as it concerns a setting of ours; the rest is for the log alone. */
export function fromSdkWarnings(said: readonly SdkWarning[]): Warning[] {
  const warnings = new Map<string, Warning>();
  for (const { feature, details = "Left out: the model does not take it" } of said) {
    const field = Object.keys(FEATURES).find((key) => FEATURES[key] === feature);
    if (field !== undefined) warnings.set(`${field} ${details}`, { field, message: details });
  }
  return [...warnings.values()];
}
