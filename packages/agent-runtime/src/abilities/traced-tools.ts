// Tools of plugins whose calls are steps of the answer's trace. The agent's own tools do it themselves (tools/index.ts).
import type { Tool, ToolSet } from "ai";
import { redactArguments, redactText } from "./redact.ts";
import { beginStep } from "./steps.ts";

/** Wraps each tool that runs here. */
export function tracedTools(tools: ToolSet, secrets: readonly string[]): ToolSet {
  return Object.fromEntries(
    Object.entries(tools).map(([name, tool]) => {
      const { execute } = tool;
      if (execute === undefined) return [name, tool];
      const traced: NonNullable<Tool["execute"]> = async (given, options) => {
        const end = beginStep("tool", name);
        const asked = { arguments: redactArguments(given, secrets) };
        try {
          const result: unknown = await execute(given, options);
          const text = typeof result === "string" ? result : (JSON.stringify(result) ?? "");
          end({ ...asked, status: "ok", result: redactText(text, secrets) });
          return result;
        } catch (error) {
          const message = redactText(error instanceof Error ? error.message : String(error), secrets);
          end({ ...asked, status: "error", error: { code: "TOOL_FAILED", message } });
          throw error;
        }
      };
      return [name, { ...tool, execute: traced } as Tool];
    }),
  );
}
