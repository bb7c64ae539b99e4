// Turns an agent's configuration into an elizaOS character.

import { type ExampleLine, readCharacter } from "../../character.ts";
import type { Config, Framework } from "../../config.ts";
import { DEFAULT_MODELS } from "../model/default-models.ts";
import { characterSettings, characterTemplates } from "./character-settings.ts";

/** The elizaOS plugin that talks to each provider; undefined: elizaOS has none. */
export const PROVIDER_PLUGINS: Record<Framework, string | undefined> = {
  openai: "@elizaos/plugin-openai",
  anthropic: "@elizaos/plugin-anthropic",
  google: "@elizaos/plugin-google-genai",
  echo: undefined,
};

/** elizaOS's names of settings that people know by another. */
export const SETTING_NAMES: Readonly<Record<string, string>> = { DISCORD_API_TOKEN: "DISCORD_TOKEN" };

const MODEL_PREFIX: Record<Framework, string> = {
  openai: "OPENAI",
  anthropic: "ANTHROPIC",
  google: "GOOGLE",
  echo: "ECHO",
};

/**
 * Makes an elizaOS character. What elizaOS does not know stands in its system text: the system prompt at its head, the personality,
 * and facts, which it would take for names of files. Of a list it shows ten entries by chance, so bio and lore are one text.
 */
export function toElizaCharacter(config: Config): Record<string, unknown> {
  const { name, systemPrompt } = config;
  const character = readCharacter(config.character, name);
  const personality = character.personality.join(", ");
  const facts = character.knowledge.map((fact) => `- ${fact}`).join("\n");
  const system = [
    systemPrompt,
    character.system,
    personality && `Personality: ${personality}`,
    facts && `Facts you know:\n${facts}`,
  ]
    .map((text) => text?.trim())
    .filter((text) => text !== undefined && text !== "")
    .join("\n\n");
  const speaker = character.name ?? name;
  return {
    name: speaker,
    username: character.username ?? speaker.toLowerCase().replace(/[^a-z0-9_]+/g, "_"),
    bio: [...character.bio, ...character.lore].join("\n"),
    ...(system !== "" && { system }),
    adjectives: character.adjectives,
    topics: character.topics,
    knowledge: character.knowledge,
    messageExamples: character.messageExamples.map((lines) => lines.map(toElizaExample)),
    postExamples: character.postExamples,
    style: character.style,
    templates: characterTemplates(config.character),
    settings: characterSettings(config.character, config.environment).settings,
  };
}

const toElizaExample = ({ name, text, ...content }: ExampleLine) => ({
  name: withNames(name),
  content: { ...content, text: withNames(text) },
});

/** elizaOS puts names in place of `{{name1}}` to `{{name5}}`; files of 0.x write `{{user1}}`. Further people are named here. */
const withNames = (text: string): string =>
  text.replaceAll(/\{\{\s*(?:user|name)(\d*)\s*\}\}/g, (_, number: string) =>
    Number(number || 1) <= 5 ? `{{name${number || 1}}}` : `User ${number}`,
  );

/** The runtime's settings: the agent's own variables, and its model and sampling in elizaOS's names. */
export function toElizaSettings(config: Config): Record<string, string> {
  const prefix = MODEL_PREFIX[config.framework];
  const model = elizaModel(config);
  const { temperature, max_tokens, presence_penalty, frequency_penalty } = config.settings;
  const sampling = {
    DEFAULT_TEMPERATURE: temperature,
    DEFAULT_MAX_TOKENS: max_tokens,
    DEFAULT_PRESENCE_PENALTY: presence_penalty,
    DEFAULT_FREQUENCY_PENALTY: frequency_penalty,
  };
  const given = Object.entries(sampling).filter(([, value]) => value !== undefined);
  return {
    [`${prefix}_LARGE_MODEL`]: model,
    [`${prefix}_SMALL_MODEL`]: model,
    ...Object.fromEntries(given.map(([name, value]) => [name, String(value)])),
    ...Object.fromEntries(
      Object.entries(SETTING_NAMES).flatMap(([name, known]) =>
        config.environment[known] === undefined ? [] : [[name, config.environment[known]]],
      ),
    ),
    ...config.environment,
  };
}

/** The model that writes the replies. */
export function elizaModel(config: Config): string {
  const own = config.environment[`${MODEL_PREFIX[config.framework]}_LARGE_MODEL`];
  return config.model ?? own ?? DEFAULT_MODELS[config.framework];
}

/** The names that providers' plugins register their models under, where they differ from ours. */
const OWN_PROVIDER: Record<Framework, RegExp> = {
  openai: /^openai$/i,
  anthropic: /^anthropic$/i,
  google: /^google/i,
  echo: /^echo$/i,
};

/**
 * What calls of a provider's models are counted as: the agent's model where it is the agent's provider, else the provider's
 * own setting for it, in elizaOS's way of naming it.
 * @param provider as its plugin registers them, such as "openrouter"
 */
export function modelOfProvider(config: Config, provider: string): string {
  if (OWN_PROVIDER[config.framework].test(provider)) return elizaModel(config);
  const set = config.environment[`${provider.toUpperCase().replaceAll(/[^A-Z0-9]+/g, "_")}_LARGE_MODEL`];
  return set === undefined ? provider : `${provider}/${set}`;
}
