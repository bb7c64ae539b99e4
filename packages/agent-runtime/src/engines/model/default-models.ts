// The model of an agent that names none.
import type { Framework } from "../../config.ts";

/** The model an agent gets that names none; the same as in the catalogue (table frameworks, default_model). */
export const DEFAULT_MODELS: Record<Framework, string> = {
  openai: "gpt-6-luna",
  anthropic: "claude-sonnet-4-6",
  google: "gemini-3.5-flash",
  echo: "echo",
};
