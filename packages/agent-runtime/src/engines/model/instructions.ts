// Composes the model's instructions from a character and the system prompt.
import { type Character, readCharacter } from "../../character.ts";

/** What the instructions are made of. */
export interface Persona {
  readonly name: string;
  /** The character as it is stored, in any of its forms. */
  readonly character: unknown;
  readonly systemPrompt: string | undefined;
}

const MAX_EXAMPLES = 5;

/**
 * Composes the model's instructions. Pure: the same persona gives the same text.
 * The order is from the most to the least binding: system prompt, the character's own system text, who it is, how it speaks.
 */
export function composeInstructions({ name, character: raw, systemPrompt }: Persona): string {
  const character = readCharacter(raw, name);
  const list = (items: readonly string[]) => withPeople(items.join(", "));
  const lines = (items: readonly string[]) => items.map((item) => `- ${item}`).join("\n");
  const sections: [heading: string, text: string][] = [
    ["", systemPrompt?.trim() ?? ""],
    ["", withPeople(character.system ?? "")],
    ["", `You are ${character.name ?? name}.`],
    ["About you", withPeople(character.bio.join("\n"))],
    ["Background", withPeople(lines(character.lore))],
    ["Personality", list(character.personality)],
    ["You are", list(character.adjectives)],
    ["Topics you know well", list(character.topics)],
    ["Facts you know", lines(character.knowledge)], // as they are, placeholders too
    ["How you write", withPeople(lines([...character.style.all, ...character.style.chat]))],
    ["Examples of how you talk", withPeople(formatExamples(character))],
  ];
  return sections
    .filter(([, text]) => text !== "")
    .map(([heading, text]) => {
      if (heading === "") return text;
      return text.includes("\n") || text.startsWith("- ") ? `${heading}:\n${text}` : `${heading}: ${text}`;
    })
    .join("\n\n");
}

/** At most five dialogues. */
const formatExamples = ({ messageExamples }: Character): string =>
  messageExamples
    .slice(0, MAX_EXAMPLES)
    .map((lines) => lines.map(({ name, text }) => `${name}: ${text}`).join("\n"))
    .join("\n\n");

/** `{{user}}`, `{{user1}}` → "User", `{{user2}}` → "User 2", and so on: a model would repeat the placeholders. */
const withPeople = (text: string): string =>
  text.replaceAll(/\{\{\s*user(\d*)\s*\}\}/g, (_, number: string) =>
    number === "" || number === "1" ? "User" : `User ${number}`,
  );
