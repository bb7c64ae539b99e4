// What a character's `settings` and `templates` say to plugins (MCP servers, chains, prompts), handed on to elizaOS. Pure.

/** Where models and databases are, and with which keys, the environment alone says; private.is_platform_setting holds the same. */
const PLATFORM = /^(OPENAI|ANTHROPIC|GOOGLE|GEMINI|POSTGRES|PGLITE|ELIZA|DATABASE|AGENT|NODE)_/i;
/** `${NAME}` as the whole of a text stands for a variable of the agent's environment. */
const REFERENCE = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/;

/** True for a setting that a character cannot set. */
export const isPlatformSetting = (name: string): boolean => PLATFORM.test(name) || name === "SECRET_SALT";

/**
 * The settings of a character for its plugins, with the environment's values in place of `${NAME}`.
 * @param raw the character as it is stored; its secrets are in Vault, and reach the agent as environment
 * @param environment wins over a setting of the same name
 * @returns the settings, and the names of variables that they mention and that are not set
 */
export function characterSettings(
  raw: unknown,
  environment: Readonly<Record<string, string>>,
): { settings: Record<string, unknown>; unset: string[] } {
  const unset = new Set<string>();
  const filled = (value: unknown): unknown => {
    if (typeof value === "string") {
      const name = REFERENCE.exec(value)?.[1];
      if (name === undefined) return value;
      if (environment[name] === undefined) unset.add(name);
      return environment[name] ?? "";
    }
    if (Array.isArray(value)) return value.map(filled);
    if (!isRecord(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, filled(inner)]));
  };
  const given = isRecord(raw) && isRecord(raw.settings) ? raw.settings : {};
  const passed = Object.entries(given).filter(
    ([name]) => name !== "secrets" && !isPlatformSetting(name) && environment[name] === undefined,
  );
  return { settings: filled(Object.fromEntries(passed)) as Record<string, unknown>, unset: [...unset] };
}

/** The prompts of elizaOS that a character writes itself. */
export function characterTemplates(raw: unknown): Record<string, string> {
  const given = isRecord(raw) && isRecord(raw.templates) ? raw.templates : {};
  const texts = Object.entries(given).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string" && entry[1].trim() !== "",
  );
  return Object.fromEntries(texts);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
