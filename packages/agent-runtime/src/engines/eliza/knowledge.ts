// The agent's knowledge in elizaOS: a provider, whose text stands in what elizaOS composes for the message under way.
import { AsyncLocalStorage } from "node:async_hooks";
import type { ElizaPlugin } from "./types.ts";

export interface KnowledgePart {
  readonly plugin: ElizaPlugin;
  /** Runs the work of one message with what was found for it; an empty text is nothing. */
  run<T>(found: string, work: () => Promise<T>): Promise<T>;
}

/** Makes the plugin of one runtime. */
export function createKnowledgePart(): KnowledgePart {
  const underway = new AsyncLocalStorage<string>();
  const provider = {
    name: "LAUNCHPAD_KNOWLEDGE",
    description: "Pieces of the agent's own files that fit the message",
    get: async () => ({ text: underway.getStore() ?? "", values: {}, data: {} }),
  };
  return {
    plugin: { name: "launchpad-knowledge", providers: [provider] },
    run: (found, work) => underway.run(found, work),
  };
}
