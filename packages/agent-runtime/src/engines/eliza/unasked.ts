// What an agent begins itself (a reminder, an alert of a plugin): platforms of plugins send it, conversations of the platform do not
// take it, and whoever tries is told so.
import type { Log } from "../../log.ts";
import { pluginUnderway } from "../plugin-faults.ts";
import type { ElizaRuntime } from "./types.ts";

/** What the rooms of the runtime's own conversations name as their source. */
export const SOURCE = "launchpad";

/** Refuses messages that begin a turn in a conversation of the platform; each plugin is warned of once. */
export function refuseUnasked(runtime: ElizaRuntime, log: Log): void {
  const warned = new Set<string>();
  runtime.registerSendHandler(SOURCE, async () => {
    const plugin = pluginUnderway() ?? "elizaOS";
    const message = `${plugin} wanted to begin a message in a conversation. Agents only answer here: return the text from an action.`;
    if (!warned.has(plugin)) log.warn(message, { plugin });
    warned.add(plugin);
    throw new Error(message);
  });
}
