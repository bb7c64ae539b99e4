/** Who the agent is: the documented fields typed, every further elizaOS key allowed. */
import { z } from "zod";
import { anObject } from "./primitives.ts";

const KIBI = 1024;
export const CHARACTER_BYTES = 64 * KIBI;

const words = z.union([z.string(), z.array(z.string())], "Must be text or a list of texts").nullish();
const line = z.string("Must be text").nullish();

const KNOWLEDGE =
  "Must be a list of texts or of items with content, text, path or directory; or an object with documents or chunks";
const object = z.record(z.string(), z.unknown());
const isItem = ({ content, text, path, directory }: Record<string, unknown>): boolean =>
  [content, text, path, directory].some((part) => typeof part === "string");
const isWritten = ({ documents, chunks }: Record<string, unknown>): boolean =>
  Array.isArray(documents) || Array.isArray(chunks);
// Judged as a whole, so that the field named is always the same.
const knowledge = z
  .union([z.string(), z.array(z.union([z.string(), object])), object], KNOWLEDGE)
  .refine((value) => {
    if (typeof value === "string") return true;
    if (Array.isArray(value)) return value.every((item) => typeof item === "string" || isItem(item));
    return isWritten(value);
  }, KNOWLEDGE)
  .nullish()
  .meta({ description: "Facts: texts, items with their text, or what knowledge2character writes." });

const EXAMPLES = "Must be a list of conversations, each a list of {name, content: {text}}";
const group = object.refine((value) => Array.isArray(value.examples), EXAMPLES);
const messageExamples = z.array(z.union([z.array(object), group], EXAMPLES), EXAMPLES).nullish();

/** The forms of elizaOS 0.x and 1.x files; SQL's private.character_problems says the same in the same words. */
export const character = z
  .looseObject(
    {
      name: z
        .string("Must be text of at most 200 characters")
        .refine((value) => [...value].length <= 200, "Must be text of at most 200 characters")
        .nullish(),
      username: line,
      bio: words.meta({ description: "One text, or several." }),
      lore: words,
      personality: words,
      system: line.meta({ description: "The system prompt." }),
      adjectives: words,
      topics: words,
      postExamples: words,
      style: z
        .looseObject({ all: words, chat: words, post: words }, "Must be an object with all, chat and post")
        .nullish(),
      knowledge,
      messageExamples,
    },
    anObject,
  )
  .refine((value) => new TextEncoder().encode(JSON.stringify(value)).length <= CHARACTER_BYTES, {
    error: "Must be at most 64 KiB of JSON",
  })
  .meta({ id: "Character", description: "An elizaOS character; at most 64 KiB." });

export type Character = z.infer<typeof character>;

const FILE_KEYS = "bio lore style messageExamples postExamples modelProvider clients adjectives topics".split(
  " ",
);

/**
 * Recognises a character file sent in place of a definition. SQL's private.is_bare_character judges the same.
 * @param value a request's body
 * @returns the cure, or undefined when the body is not a character file
 */
export function bareCharacter(value: unknown): { body: string } | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, "name")) return undefined;
  const has = (key: string) => Object.hasOwn(value, key);
  if (has("agentName") || has("character") || !FILE_KEYS.some(has)) return undefined;
  return { body: 'This is a character file: send it as {"agentName": "…", "character": …}' };
}
