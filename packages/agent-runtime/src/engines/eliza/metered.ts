// Puts the meter before every model that a plugin registers with elizaOS, whoever calls it: elizaOS itself, an action, a
// plugin's own work. What a call used comes by elizaOS's event MODEL_USED; where none comes, its text is counted.
import { AsyncLocalStorage } from "node:async_hooks";
import { likelyTokens, type Meter, mostTokens } from "../../meter.ts";
import type { ElizaHandler, ElizaRuntime, ElizaUsage } from "./types.ts";

/** Models that no provider is asked for. */
const LOCAL = /^TEXT_TOKENIZER_/;
/** Models that write nothing. */
const SILENT = new Set(["TEXT_EMBEDDING"]);
/** What elizaOS's provider plugins ask for where nothing says less. */
const DEFAULT_OUTPUT = 8_192;
/** What elizaOS and the provider add around a prompt. */
const AROUND = 200;

interface Counted {
  input: number;
  output: number;
  heard: boolean;
}

/**
 * Wraps the models that will be registered with a runtime.
 * @param name what the calls are counted as
 * @param system the instructions that the provider's plugin adds to each prompt
 * @param outputTokens the agent's own bound, if it has one
 * @returns takes each MODEL_USED of the runtime
 */
export function meterModels(
  runtime: ElizaRuntime,
  meter: Meter,
  name: string,
  system: string,
  outputTokens: number | undefined,
): (used: ElizaUsage) => void {
  const calls = new AsyncLocalStorage<Counted>();
  const register = runtime.registerModel.bind(runtime);

  const metered =
    (kind: string, handler: ElizaHandler): ElizaHandler =>
    async (of, params) => {
      // null: elizaOS asks for the size of an embedding, and plugins answer by themselves.
      if (params === null || params === undefined) return handler(of, params);
      const asked = typeof params === "object" ? (params as { maxTokens?: number }) : undefined;
      const call = await meter.reserve({
        model: SILENT.has(kind) ? kind.toLowerCase() : name,
        inputTokens: AROUND + mostTokens(system) + mostTokens(JSON.stringify(params)),
        outputTokens: SILENT.has(kind) ? 0 : (asked?.maxTokens ?? outputTokens ?? DEFAULT_OUTPUT),
      });
      const counted: Counted = { input: 0, output: 0, heard: false };
      const bounded =
        asked === undefined || SILENT.has(kind) ? params : { ...asked, maxTokens: call.outputTokens };
      const settle = (said: unknown) =>
        call.settle({
          inputTokens: counted.heard ? counted.input : likelyTokens(system + JSON.stringify(params)),
          cachedInputTokens: 0,
          outputTokens: counted.heard ? counted.output : SILENT.has(kind) ? 0 : likelyTokens(written(said)),
        });
      try {
        const result = await calls.run(counted, () => handler(of, bounded));
        settle(result);
        return result;
      } catch (error) {
        if (counted.heard) settle("");
        else call.release();
        throw error;
      }
    };

  runtime.registerModel = (kind, handler, provider, priority) =>
    register(kind, LOCAL.test(kind) ? handler : metered(kind, handler), provider, priority);

  return ({ tokens }) => {
    const counted = calls.getStore();
    if (counted === undefined) return;
    counted.heard = true;
    counted.input += tokens?.prompt ?? 0;
    counted.output += tokens?.completion ?? 0;
  };
}

const written = (result: unknown): string =>
  typeof result === "string" ? result : (JSON.stringify(result ?? "") ?? "");
