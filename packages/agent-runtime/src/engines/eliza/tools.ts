// The agent's own tools as actions of elizaOS. elizaOS lets a model choose an action by its name and description alone; the
// arguments are asked for here, from the tool's schema, and the answer is written from what the tool returned.
import { AsyncLocalStorage } from "node:async_hooks";
import { markResult, markRule } from "../../abilities/marks.ts";
import type { ToolDefinition } from "../../abilities/tools/definition.ts";
import type { ElizaAction, ElizaRuntime } from "./types.ts";

const TEXT_MODEL = "TEXT_LARGE";
/** What both prompts show of the conversation. */
const MAX_CONTEXT = 12_000;

/** The calls of one answer. */
export interface ToolCalls {
  call(definition: ToolDefinition, given: unknown): Promise<string>;
  /** The random word of the marks. */
  readonly word: string;
}

/** Tools among a runtime's actions. */
export interface ElizaTools {
  /** Runs an answer's work, during which these tools are offered. */
  run<T>(definitions: readonly ToolDefinition[], calls: ToolCalls, work: () => Promise<T>): Promise<T>;
}

/** Makes them; an action of a plugin with the same name stays. */
export function createElizaTools(runtime: ElizaRuntime): ElizaTools {
  const underway = new AsyncLocalStorage<ToolCalls>();
  let offered: { of: readonly ToolDefinition[]; actions: readonly ElizaAction[] } = { of: [], actions: [] };

  /** elizaOS has one list of actions for all conversations: it is changed only when the agent's tools have changed. */
  const offer = (definitions: readonly ToolDefinition[]) => {
    if (JSON.stringify(definitions) === JSON.stringify(offered.of)) return;
    const old = new Set(offered.actions);
    const kept = runtime.actions.filter((action) => !old.has(action));
    const names = new Set(kept.map(({ name }) => name));
    const actions = definitions
      .map((definition) => toAction(definition, underway))
      .filter(({ name }) => !names.has(name) && names.add(name));
    runtime.actions.splice(0, runtime.actions.length, ...kept, ...actions);
    offered = { of: definitions, actions };
  };

  return {
    run(definitions, calls, work) {
      offer(definitions);
      return underway.run(calls, work);
    },
  };
}

function toAction(definition: ToolDefinition, underway: AsyncLocalStorage<ToolCalls>): ElizaAction {
  const name = definition.name.toUpperCase().replaceAll(/[^A-Z0-9]+/g, "_");
  return {
    name,
    description: definition.description,
    similes: [],
    examples: [],
    validate: async () => underway.getStore() !== undefined,
    async handler(runtime, message, state, _options, callback) {
      const calls = underway.getStore();
      if (calls === undefined) return { success: false, text: "No answer is being made." };
      const context = String(state?.text ?? message.content.text ?? "").slice(-MAX_CONTEXT);
      const given = readArguments(
        await runtime.useModel(TEXT_MODEL, { prompt: argumentsPrompt(definition, context) }),
      );
      const result = await calls.call(definition, given);
      const shown = markResult(result, definition.name, calls.word);
      const said = await runtime.useModel(TEXT_MODEL, {
        prompt: answerPrompt(context, shown, calls.word),
      });
      await callback?.({ text: String(said).trim(), actions: [name], source: "launchpad" });
      return { success: !result.startsWith("error:"), text: shown };
    },
  };
}

const argumentsPrompt = ({ name, description, inputSchema }: ToolDefinition, context: string): string =>
  `${context}\n\nYou are about to call the tool "${name}": ${description}\nIts arguments fit this JSON Schema:\n` +
  `${JSON.stringify(inputSchema)}\nWrite the arguments that the conversation asks for, as one JSON object and nothing else.`;

const answerPrompt = (context: string, result: string, word: string): string =>
  `${context}\n\n${markRule(word)}\n\n${result}\n\nAnswer the last message with the help of this result. Write the answer alone, without XML.`;

/** The JSON object in a model's text; what is none is left to the tool's schema to refuse. */
export function readArguments(text: unknown): unknown {
  const found = /\{[\s\S]*\}/.exec(String(text))?.[0];
  try {
    return JSON.parse(found ?? "");
  } catch {
    return String(text);
  }
}
