// Puts the meter before every model that a plugin registers with elizaOS, whoever calls it: elizaOS itself, an action, a
// plugin's own work. What a call used comes by elizaOS's event MODEL_USED; where none comes, its text is counted.
import { AsyncLocalStorage } from "node:async_hooks";
import { redactText } from "../../abilities/redact.ts";
import { beginStep } from "../../abilities/steps.ts";
import type { ModelSettings } from "../../config.ts";
import { AgentError } from "../../errors.ts";
import { LASTING, likelyTokens, type Meter, mostTokens, type Refusal } from "../../meter.ts";
import { fitSettings } from "../model/facts.ts";
import { mapSettings } from "../model/settings.ts";
import { type EndOfAnswer, isStream, requireWholeAnswer, wholeStream } from "./endings.ts";
import { isLookingBack } from "./looking-back.ts";
import type { ElizaHandler, ElizaRuntime, ElizaUsage } from "./types.ts";
import { Underway } from "./underway.ts";
import { type CallOnWire, correctCalls } from "./wire.ts";

/** Models that no provider is asked for. */
const LOCAL = /^TEXT_TOKENIZER_/;
/** Models that write nothing. */
const SILENT = new Set(["TEXT_EMBEDDING"]);
/** What elizaOS and the provider add around a prompt. */
const AROUND = 200;

/** What a trace keeps of a model's words. */
const MAX_SAID = 1_000;

interface Counted extends CallOnWire {
  input: number;
  output: number;
  heard: boolean;
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
 * @returns handles each MODEL_USED of the runtime
 */
export function meterModels(
  runtime: ElizaRuntime,
  meter: Meter,
  { nameOf, framework, system, settings, secrets }: ElizaModels,
): (used: ElizaUsage) => void {
  const calls = new AsyncLocalStorage<Counted>();
  correctCalls(() => calls.getStore());
  const register = runtime.registerModel.bind(runtime);

  const metered =
    (kind: string, handler: ElizaHandler, name: string): ElizaHandler =>
    async (of, params) => {
      // null: elizaOS asks for the size of an embedding, and plugins answer on their own.
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
      const counted: Counted = { input: 0, output: 0, heard: false, fitted, end: undefined };
      const bounded =
        asked === undefined || SILENT.has(kind) ? params : { ...asked, maxTokens: call.outputTokens };
      const settle = (said: string) => {
        const used = {
          inputTokens: counted.heard ? counted.input : likelyTokens(system + JSON.stringify(params)),
          cachedInputTokens: 0,
          outputTokens: counted.heard ? counted.output : SILENT.has(kind) ? 0 : likelyTokens(said),
        };
        call.settle(used);
        return used;
      };
      const end = SILENT.has(kind) ? undefined : beginStep("model", name);
      const succeed = (said: string) => {
        const used = settle(said);
        if (message && !SILENT.has(kind) && !isLookingBack()) {
          message.model = name;
          if (!counted.heard) message.isPartlyUnknown = true;
        }
        // Unreported use is unknown in the trace; a budget counts an estimate.
        end?.({
          status: "ok",
          ...(counted.heard && used),
          ...(isLookingBack() && { arguments: { purpose: "looking back" } }),
          result: redactText(said.slice(0, MAX_SAID), secrets),
        });
      };
      const fail = async (error: unknown) => {
        const { mapModelError, withProviderWords } = await import("../model/errors.ts");
        const failure = mapModelError(error, framework, message?.isGivenUp === true);
        if (counted.heard) settle("");
        else call.release(lasting(withProviderWords(failure, secrets)));
        // The provider's own words stay in the log: they may quote a key.
        const { code, message: told } = failure;
        end?.({ status: "error", error: { code, message: told } });
      };
      const maxTokens = mapSettings(settings).maxOutputTokens;
      try {
        const result = await calls.run(counted, () => handler(of, bounded));
        if (isStream(result)) {
          const check = (said: string, ended: EndOfAnswer) =>
            requireWholeAnswer(said, ended, framework, maxTokens);
          return wholeStream(result, check, async (said, failure) => {
            if (failure === undefined) {
              const used = await result.usage?.catch(() => undefined);
              if (used) count(counted, used.promptTokens, used.completionTokens);
              return succeed(said);
            }
            // What it used is never reported then: the AI SDK's promise stays open where the connection broke.
            if (said !== "") settle(said); // its provider was at work
            await fail(failure);
          });
        }
        const said = written(result);
        const ended = await counted.end;
        settle(said); // whatever it was
        if (!SILENT.has(kind)) requireWholeAnswer(said, ended, framework, maxTokens);
        succeed(said);
        return result;
      } catch (thrown) {
        const error = unreadable(thrown, framework);
        await fail(error);
        throw error;
      }
    };

  runtime.registerModel = (kind, handler, provider, priority) =>
    register(kind, LOCAL.test(kind) ? handler : metered(kind, handler, nameOf(provider)), provider, priority);

  return ({ tokens }) => {
    const counted = calls.getStore();
    if (counted !== undefined) count(counted, tokens?.prompt, tokens?.completion);
  };
}

/** Counts what a provider reported of a call, to the call and to its message. */
function count(counted: Counted, input = 0, output = 0): void {
  // Some plugins report zeros where their provider reported nothing.
  if (!input && !output) return;
  counted.heard = true;
  const message = Underway.current;
  if (message && !isLookingBack()) {
    message.isCounted = true;
    message.usage.inputTokens += input;
    message.usage.outputTokens += output;
  }
  counted.input += input;
  counted.output += output;
}

/** What the owner is to know of a failure: one that repeats until somebody changes something. */
const lasting = ({ code, message }: AgentError): Refusal | undefined =>
  LASTING.has(code) ? { code, message } : undefined;

/** What Google's SDK throws of an answer that is not JSON or breaks off, which is as if the plugin itself had failed. */
function unreadable(error: unknown, framework: string): unknown {
  const isCut =
    error instanceof SyntaxError || (error instanceof TypeError && error.message === "terminated");
  if (!isCut) return error;
  const message = `${framework} sent an answer that cannot be understood.`;
  return new AgentError("MODEL_BAD_RESPONSE", message, { cause: error });
}

const written = (result: unknown): string =>
  typeof result === "string" ? result : (JSON.stringify(result ?? "") ?? "");
