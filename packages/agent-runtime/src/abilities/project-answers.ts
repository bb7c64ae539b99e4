// What the project answers a runtime: its tools, a question's vector, pieces of its knowledge.
import { z } from "zod";
import { toolSchema } from "./tools/definition.ts";

export const toolList = z.object({
  tools: z.array(toolSchema),
  knowledge: z.boolean().default(false),
  /** Whether knowledge is also found by its meaning. */
  meaning: z.boolean().default(false),
});

export const embeddingAnswer = z.object({ embedding: z.array(z.number()).nullable() });

export { piecesSchema as pieces } from "./knowledge.ts";
