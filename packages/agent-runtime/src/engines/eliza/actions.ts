// Watches the actions of plugins: each that begins is noted with the message it belongs to, and is a step of its trace.
import { redactText } from "../../abilities/redact.ts";
import { beginStep } from "../../abilities/steps.ts";
import { describe } from "../../errors.ts";
import { BOOTSTRAP } from "./installation.ts";
import type { ElizaAction, ElizaPlugin, ElizaRuntime } from "./types.ts";
import { Underway } from "./underway.ts";

/** elizaOS's own that do nothing but speak or stay silent: they may happen twice. */
const HARMLESS = new Set(["REPLY", "IGNORE", "NONE"]);
/** What a trace keeps of an action's result. */
const MAX_RESULT = 1_000;

/**
 * Watches what plugins register from now on.
 * @param plugins by package; read when an action begins
 * @param secrets what no trace may repeat
 */
export function watchActions(
  runtime: ElizaRuntime,
  plugins: ReadonlyMap<string, ElizaPlugin>,
  secrets: readonly string[],
): void {
  const register = runtime.registerAction.bind(runtime);
  const packageOf = (action: ElizaAction) =>
    [...plugins].find(([, plugin]) => plugin.actions?.includes(action))?.[0];
  runtime.registerAction = (action) => {
    const handler: ElizaAction["handler"] = async (...given) => {
      const message = Underway.current;
      const plugin = packageOf(action);
      message?.requireWaiting();
      if (plugin === BOOTSTRAP && HARMLESS.has(action.name)) return action.handler(...given);
      const end = await message?.begin(action.name, plugin);
      const step = beginStep("tool", action.name);
      try {
        const result = await action.handler(...given);
        end?.("done");
        const text = String((result as { text?: unknown } | undefined)?.text ?? "");
        step({ status: "ok", result: redactText(text.slice(0, MAX_RESULT), secrets) });
        return result;
      } catch (error) {
        end?.("failed");
        step({
          status: "error",
          error: { code: "ACTION_FAILED", message: redactText(describe(error), secrets) },
        });
        throw error;
      }
    };
    const watched: ElizaAction = Object.assign(
      Object.create(Object.getPrototypeOf(action)) as ElizaAction,
      action,
      { handler },
    );
    register(watched);
  };
}
