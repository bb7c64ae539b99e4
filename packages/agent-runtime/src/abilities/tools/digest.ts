// What names a list of tools.
import { createHash } from "node:crypto";
import type { ToolDefinition } from "./definition.ts";

/** What names one list of tools: whoever has a list of the same digest has the same tools, set up the same. */
export const toolsDigest = (tools: readonly ToolDefinition[]): string =>
  tools.length === 0
    ? "none"
    : createHash("sha256")
        .update(JSON.stringify(tools.map(({ secret: _, ...tool }) => tool)))
        .digest("base64url")
        .slice(0, 22);
