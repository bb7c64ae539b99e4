// A tool as the database offers it to a model: what the function `respond` is given and what runtimes ask for.
import { z } from "zod";
import type { ToolContext } from "./index.ts";

export const toolSchema = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  inputSchema: z.record(z.string(), z.unknown()),
  implementation: z.looseObject({
    type: z.string(),
    name: z.string().optional(),
    method: z.string().nullish(),
    url: z.string().optional(),
    headers: z.record(z.string(), z.string()).nullish(),
  }),
  configuration: z.record(z.string(), z.unknown()),
  /** The value of the secret that configuration.api_key_ref names; a runtime asks for it by call. */
  secret: z.string().nullish(),
});

export type ToolDefinition = z.infer<typeof toolSchema> & {
  /** The MCP server that offers it, as the agent's plugins name it. No stored tool has one. */
  readonly plugin?: string;
  /** Whether what runs it judges the arguments, by a schema that may say more than is understood here. */
  readonly judgedThere?: boolean;
  /** What runs it, of a tool that the runtime brings; `status` is that of an HTTP response. No stored tool has one. */
  readonly run?: (
    given: Readonly<Record<string, unknown>>,
    context: ToolContext,
  ) => Promise<{ text: string; status?: number }>;
};
