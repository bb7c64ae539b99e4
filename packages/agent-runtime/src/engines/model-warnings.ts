// Logs the AI SDK's warnings, each once.

import type { Log } from "../log.ts";

/** Sends the AI SDK's warnings to the log, each once: they come again with every call. */
export function logModelWarnings(log: Log): void {
  const seen = new Set<string>();
  // Version 5, which elizaOS's plugins use, hands over the list itself; later ones an object that holds it.
  const hook = (given: readonly unknown[] | { readonly warnings: readonly unknown[] }) => {
    for (const warning of "warnings" in given ? given.warnings : given) {
      const text = JSON.stringify(warning);
      if (seen.has(text) || seen.size >= 100) continue;
      seen.add(text);
      log.warn("The model does not take a setting as it is", { warning });
    }
  };
  globalThis.AI_SDK_LOG_WARNINGS = hook;
}
