// Reads a character of any official form (elizaOS 0.x and 1.x files, knowledge2character) into one form. Pure; shared with
// the function `respond`. What the database accepts (private.character_problems) is read whole; anything else is skipped:
// a character must never keep an agent from starting.

/** One line of an example conversation; `name` may be a placeholder such as `{{user1}}`. */
export interface ExampleLine {
  readonly name: string;
  readonly text: string;
  /** elizaOS actions that the line shows. */
  readonly actions?: readonly string[];
}

/** A character in the one form that both engines read: every list is a list, and every entry a text that is not empty. */
export interface Character {
  readonly name: string | undefined;
  readonly username: string | undefined;
  readonly system: string | undefined;
  readonly bio: readonly string[];
  readonly lore: readonly string[];
  readonly personality: readonly string[];
  readonly adjectives: readonly string[];
  readonly topics: readonly string[];
  /** Facts as texts; entries that only name a file or folder are not here. */
  readonly knowledge: readonly string[];
  readonly style: {
    readonly all: readonly string[];
    readonly chat: readonly string[];
    readonly post: readonly string[];
  };
  readonly messageExamples: readonly (readonly ExampleLine[])[];
  readonly postExamples: readonly string[];
}

/**
 * Reads a stored character.
 * @param raw the character's JSON value; anything but an object reads as an empty character
 * @param fallbackName the agent's name, for `{{name}}` where the character has none
 * @returns every field in its one form, with `{{name}}`, `{{char}}` and `{{agentName}}` filled in
 */
export function readCharacter(raw: unknown, fallbackName = ""): Character {
  const from = isRecord(raw) ? raw : {};
  const name = text(from.name);
  const fill = (words: string) =>
    words.replaceAll(/\{\{\s*(name|char|agentName)\s*\}\}/g, () => name ?? fallbackName);
  const list = (value: unknown) => texts(value).map(fill);
  const style = isRecord(from.style) ? from.style : {};
  const system = text(from.system);
  return {
    name,
    username: text(from.username),
    system: system === undefined ? undefined : fill(system),
    bio: list(from.bio),
    lore: list(from.lore),
    personality: list(from.personality),
    adjectives: list(from.adjectives),
    topics: list(from.topics),
    knowledge: facts(from.knowledge).map(fill),
    style: { all: list(style.all), chat: list(style.chat), post: list(style.post) },
    messageExamples: examples(from.messageExamples, fill),
    postExamples: list(from.postExamples),
  };
}

/** A text, several, or none: blank entries and anything but text are left out. */
function texts(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map(text).filter((item) => item !== undefined);
}

/** Texts; items with their own text ({content}, {text}); what knowledge2character writes ({documents, chunks}). */
function facts(value: unknown): string[] {
  if (isRecord(value)) {
    // A chunk is a piece of a document: either list is the whole knowledge.
    const documents = facts(value.documents);
    return documents.length > 0 ? documents : facts(value.chunks);
  }
  if (!Array.isArray(value)) return texts(value);
  return value.flatMap((item) => (isRecord(item) ? texts(item.content ?? item.text) : texts(item)));
}

/** elizaOS 0.x names the speaker `user`, 1.x `name`; a group may stand in an object ({examples}). */
function examples(value: unknown, fill: (words: string) => string): ExampleLine[][] {
  if (!Array.isArray(value)) return [];
  return value
    .map((group) => (isRecord(group) ? group.examples : group))
    .filter(Array.isArray)
    .map((group: unknown[]) =>
      group.flatMap((line) => {
        if (!isRecord(line)) return [];
        const content = isRecord(line.content) ? line.content : { text: line.content };
        const words = text(content.text);
        if (words === undefined) return [];
        const actions = texts(content.actions ?? content.action);
        const name = fill(text(line.name) ?? text(line.user) ?? "{{user1}}");
        return [{ name, text: fill(words), ...(actions.length > 0 && { actions }) }];
      }),
    )
    .filter((group) => group.length > 0);
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
