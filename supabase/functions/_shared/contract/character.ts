/** Who the agent is: the documented fields typed, every further elizaOS key allowed. */
import { z } from "zod";
import { anObject, aText, aTextList, text } from "./primitives.ts";

const KIBI = 1024;
export const CHARACTER_BYTES = 64 * KIBI;

const words = z.array(z.string(aText), aTextList).nullish();
const line = z.string(aText).nullish();

export const character = z
  .looseObject(
    {
      name: text(200).nullish(),
      bio: z
        .union([z.string(), z.array(z.string())], "Must be text or a list of texts")
        .nullish()
        .meta({ description: "One text, or several." }),
      personality: line,
      system: line.meta({ description: "The system prompt." }),
      adjectives: words,
      topics: words,
    },
    anObject,
  )
  .refine((value) => new TextEncoder().encode(JSON.stringify(value)).length <= CHARACTER_BYTES, {
    error: "Must be at most 64 KiB of JSON",
  })
  .meta({ id: "Character", description: "An elizaOS character; at most 64 KiB." });

export type Character = z.infer<typeof character>;
