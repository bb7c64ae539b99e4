// Reports to the project how the agent's plugins are, for the conditions PluginReady:<name>: the newest states alone, until it has them.
import type { Credential } from "./credential.ts";
import type { PluginState } from "./plugin-states.ts";
import { type Project, ProjectRefusal } from "./project.ts";

const RETRY_MS = { first: 1_000, most: 60_000 };

export interface PluginReportOptions {
  readonly agentId: string;
  /** Without it (or without a credential) nothing is reported. */
  readonly project: Project | undefined;
  readonly credential: Credential | undefined;
  warn(message: string, facts?: Record<string, unknown>): void;
}

/** Makes the function that reports the states; it never throws, and never delays the process. */
export function createPluginReport({ agentId, project, credential, warn }: PluginReportOptions) {
  let waiting: readonly PluginState[] | undefined;
  let sending = false;

  async function send(connected: Project): Promise<void> {
    let wait = RETRY_MS.first;
    while (waiting !== undefined) {
      const states = waiting;
      waiting = undefined;
      // A plugin that another replica runs is reported by that replica.
      const plugins = states.filter(({ reason }) => reason !== "STANDBY");
      try {
        await connected.call("report_plugins", { agent_id: agentId, credential: credential?.(), plugins });
        wait = RETRY_MS.first;
      } catch (error) {
        if (error instanceof ProjectRefusal && error.status !== 429) {
          warn("The states of the agent's plugins are refused", { cause: String(error) });
          continue;
        }
        waiting ??= states;
        await new Promise((resolve) => setTimeout(resolve, wait).unref());
        wait = Math.min(RETRY_MS.most, wait * 2);
      }
    }
  }

  return (states: readonly PluginState[]): void => {
    if (project === undefined || credential === undefined) return;
    waiting = states;
    if (sending) return;
    sending = true;
    void send(project).finally(() => {
      sending = false;
    });
  };
}
