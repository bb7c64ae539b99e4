// Puts the meter before every model that a plugin registers with elizaOS, whoever calls it: elizaOS itself, an action, a
// plugin's own work. What a call used comes by elizaOS's event MODEL_USED; where none comes, its text is counted.
import { AsyncLocalStorage } from "node:async_hooks";
import { redactText } from "../../abilities/redact.ts";
import { beginStep } from "../../abilities/steps.ts";
import type { ModelSettings } from "../../config.ts";
import { LASTING, likelyTokens, type Meter, mostTokens, type Refusal } from "../../meter.ts";
import { type Fitted, fitSettings } from "../model/facts.ts";
import { mapSettings } from "../model/settings.ts";
import { isLookingBack } from "./looking-back.ts";
import type { ElizaHandler, ElizaRuntime, ElizaUsage } from "./types.ts";
import { Underway } from "./underway.ts";
import { correctCalls } from "./wire.ts";

/** Models that no provider is asked for. */
const LOCAL = /^TEXT_TOKENIZER_/;
/** Models that write nothing. */
const SILENT = new Set(["TEXT_EMBEDDING"]);
/** What elizaOS and the provider add around a prompt. */
const AROUND = 200;

/** What a trace keeps of a model's words. */
const MAX_SAID = 1_000;

interface Counted {
  input: number;
  output: number;
  heard: boolean;
  /** The settings that the call goes out with. */
  readonly fitted: Fitted | undefined;
}

export interface ElizaModels {
  /**
   * What the calls of a provider's models are counted as.
   * @param provider as its plugin registers them
   */
  nameOf(provider: string): string;
  readonly framework: string;
  /** The instructions that the provider's plugin adds to each prompt. */
  readonly system: string;
  /** The agent's own. */
  readonly settings: ModelSettings;
  /** What no word of the provider may repeat. */
  readonly secrets: readonly string[];
}

/**
 * Wraps the models that will be registered with a runtime, and gives their calls the agent's settings.
 * @returns takes each MODEL_USED of the runtime
 */
export function meterModels(
  runtime: ElizaRuntime,
  meter: Meter,
  { nameOf, framework, system, settings, secrets }: ElizaModels,
): (used: ElizaUsage) => void {
  const calls = new AsyncLocalStorage<Counted>();
  correctCalls(() => calls.getStore()?.fitted);
  const register = runtime.registerModel.bind(runtime);

  const metered =
    (kind: string, handler: ElizaHandler, name: string): ElizaHandler =>
    async (of, params) => {
      // null: elizaOS asks for the size of an embedding, and plugins answer by themselves.
      if (params === null || params === undefined) return handler(of, params);
      const message = Underway.current;
      message?.requireWaiting();
      const asked = typeof params === "object" ? (params as { maxTokens?: number }) : undefined;
      const call = await meter.reserve({
        model: SILENT.has(kind) ? kind.toLowerCase() : name,
        inputTokens: AROUND + mostTokens(system) + mostTokens(JSON.stringify(params)),
        outputTokens: SILENT.has(kind) ? 0 : (asked?.maxTokens ?? mapSettings(settings).maxOutputTokens),
      });
      const fitted = SILENT.has(kind) ? undefined : fitSettings(settings, call.facts, name);
      const counted: Counted = { input: 0, output: 0, heard: false, fitted };
      const bounded =
        asked === undefined || SILENT.has(kind) ? params : { ...asked, maxTokens: call.outputTokens };
      const settle = (said: unknown) => {
        const used = {
          inputTokens: counted.heard ? counted.input : likelyTokens(system + JSON.stringify(params)),
          cachedInputTokens: 0,
          outputTokens: counted.heard ? counted.output : SILENT.has(kind) ? 0 : likelyTokens(written(said)),
        };
        call.settle(used);
        return used;
      };
      const end = SILENT.has(kind) ? undefined : beginStep("model", name);
      try {
        const result = await calls.run(counted, () => handler(of, bounded));
        const used = settle(result);
        if (message && !SILENT.has(kind) && !isLookingBack()) {
          message.model = name;
          if (!counted.heard) message.isPartlyUnknown = true;
        }
        // What nobody told is unknown in the trace; a budget counts an estimate.
        end?.({
          status: "ok",
          ...(counted.heard && used),
          ...(isLookingBack() && { arguments: { purpose: "looking back" } }),
          result: redactText(written(result).slice(0, MAX_SAID), secrets),
        });
        return result;
      } catch (error) {
        if (counted.heard) settle("");
        else call.release(await refusalOf(error, framework, secrets));
        // The provider's own words stay in the log: they may quote a key.
        end?.({
          status: "error",
          error: { code: "MODEL_UNAVAILABLE", message: "The call of the model failed." },
        });
        throw error;
      }
    };

  runtime.registerModel = (kind, handler, provider, priority) =>
    register(kind, LOCAL.test(kind) ? handler : metered(kind, handler, nameOf(provider)), provider, priority);

  return ({ tokens }) => {
    const counted = calls.getStore();
    if (counted === undefined) return;
    // Some plugins tell zeros where their provider told nothing.
    if (!tokens?.prompt && !tokens?.completion) return;
    counted.heard = true;
    const message = Underway.current;
    if (message && !isLookingBack()) {
      message.isCounted = true;
      message.usage.inputTokens += tokens.prompt ?? 0;
      message.usage.outputTokens += tokens.completion ?? 0;
    }
    counted.input += tokens.prompt ?? 0;
    counted.output += tokens.completion ?? 0;
  };
}

/** What the owner is to know of a failure that repeats until somebody changes something. */
async function refusalOf(
  error: unknown,
  framework: string,
  secrets: readonly string[],
): Promise<Refusal | undefined> {
  const { mapModelError, withProviderWords } = await import("../model/errors.ts");
  const { code, message } = withProviderWords(mapModelError(error, framework, false), secrets);
  return LASTING.has(code) ? { code, message } : undefined;
}

const written = (result: unknown): string =>
  typeof result === "string" ? result : (JSON.stringify(result ?? "") ?? "");
