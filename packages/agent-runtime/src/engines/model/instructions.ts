import type { Character } from "../../config.ts";

/** What the instructions are made of. */
export interface Persona {
  readonly name: string;
  readonly character: Character;
  readonly systemPrompt: string | undefined;
}

/**
 * Composes the model's instructions from the character and the system prompt. Pure: the same persona gives the same text.
 * The order is from the most to the least binding: system prompt, the character's own system text, who it is, how it speaks.
 */
export function composeInstructions({ name, character, systemPrompt }: Persona): string {
  const list = (value: string | string[] | undefined) => toList(value).join(", ");
  const lines = (value: string | string[] | undefined) =>
    toList(value)
      .map((line) => `- ${line}`)
      .join("\n");
  const knowledge = (character.knowledge ?? []).filter((item): item is string => typeof item === "string");
  const sections: [heading: string, text: string][] = [
    ["", systemPrompt?.trim() ?? ""],
    ["", character.system?.trim() ?? ""],
    ["", `You are ${character.name?.trim() || name}.`],
    ["About you", toList(character.bio).join("\n")],
    ["Background", lines(character.lore)],
    ["Personality", list(character.personality)],
    ["You are", list(character.adjectives)],
    ["Topics you know well", list(character.topics)],
    ["Facts you know", lines(knowledge)],
    ["How you write", lines([...toList(character.style?.all), ...toList(character.style?.chat)])],
    ["Examples of how you talk", formatExamples(character)],
  ];
  return sections
    .filter(([, text]) => text !== "")
    .map(([heading, text]) => {
      if (heading === "") return text;
      return text.includes("\n") || text.startsWith("- ") ? `${heading}:\n${text}` : `${heading}: ${text}`;
    })
    .join("\n\n");
}

function toList(value: string | string[] | undefined): string[] {
  const items = value === undefined ? [] : typeof value === "string" ? [value] : value;
  return items.map((item) => item.trim()).filter((item) => item !== "");
}

/** elizaOS characters carry dialogues: [[{name | user, content: {text}}, …], …]. At most five are shown. */
function formatExamples(character: Character): string {
  const dialogues = (character.messageExamples ?? []).filter(Array.isArray).slice(0, 5);
  return dialogues
    .map((turns: unknown[]) =>
      turns
        .map((turn) => {
          const { name, user, content } = (turn ?? {}) as {
            name?: string;
            user?: string;
            content?: { text?: string };
          };
          return content?.text ? `${name ?? user ?? "User"}: ${content.text}` : "";
        })
        .filter((line) => line !== "")
        .join("\n"),
    )
    .filter((dialogue) => dialogue !== "")
    .join("\n\n");
}
