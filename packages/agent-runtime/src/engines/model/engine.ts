// The default engine: the character as instructions, the conversation as given or from memory, one call to the provider.
import type { LanguageModel, ToolSet } from "ai";
import type { Config } from "../../config.ts";
import { AgentError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Meter } from "../../meter.ts";
import { type Engine, type Listener, type Message, type Reply, roomOf, type Turn } from "../engine.ts";
import { Turns } from "../turns.ts";
import { logModelWarnings } from "../warnings.ts";
import { afterActing, MAX_STEPS, requireWhole } from "./completion.ts";
import { Conversations } from "./conversations.ts";
import { fromSdkWarnings } from "./facts.ts";
import { composeInstructions } from "./instructions.ts";
import { metered } from "./metered.ts";
import { loadPlugins } from "./plugins.ts";
import { createLanguageModel, DEFAULT_MODELS } from "./providers.ts";
import { mapSettings } from "./settings.ts";

/** Starts the engine: loads plugins, and the provider where a key is set. Throws ConfigurationError. */
export async function startModelEngine(config: Config, log: Log, meter: Meter): Promise<Engine> {
  const plugins = await loadPlugins(config.plugins, {
    agentId: config.agentId,
    environment: config.environment,
    log: log.named("plugin"),
  });
  const base = {
    name: "model",
    plugins: plugins.map(({ name }) => name),
    close: async () => undefined,
  } as const;
  if (config.provider.apiKey === undefined) {
    const message = `No model key: set ${config.provider.keyVariable} in the agent's environment or where the stack starts.`;
    log.warn(message, { framework: config.framework });
    const reply = async () => {
      throw new AgentError("MODEL_UNCONFIGURED", message);
    };
    return { ...base, model: undefined, reply };
  }
  const id = config.model ?? DEFAULT_MODELS[config.framework];
  const model = await metered(await createLanguageModel(config, id), meter, {
    name: id,
    framework: config.framework,
    settings: config.settings,
    secrets: [config.provider.apiKey],
  });
  const tools: ToolSet = Object.assign({}, ...plugins.map((plugin) => plugin.tools ?? {}));
  const answer = await createAnswer(config, model, tools, log);
  return { ...base, model: id, reply: (message, signal, listener) => answer(message, signal, id, listener) };
}

async function createAnswer(config: Config, model: LanguageModel, tools: ToolSet, log: Log) {
  const { generateText, isStepCount, streamText } = await import("ai");
  const { mapModelError, withProviderWords } = await import("./errors.ts");
  logModelWarnings(log);
  const conversations = new Conversations();
  const turns = new Turns();
  const call = {
    model,
    instructions: composeInstructions(config),
    ...mapSettings(config.settings),
    maxRetries: config.modelRetries,
    ...(Object.keys(tools).length > 0 && { tools, stopWhen: isStepCount(MAX_STEPS) }),
  };

  /** Is told of each call of a tool that has ended. */
  type Ended = NonNullable<Parameters<typeof generateText>[0]["onToolExecutionEnd"]>;

  const stream = async (messages: Turn[], abortSignal: AbortSignal, listener: Listener, ended: Ended) => {
    let text = "";
    let finishReason = "unknown";
    let rawFinishReason: string | undefined;
    let separate = false;
    const warnings: Parameters<typeof fromSdkWarnings>[0][number][] = [];
    const usage = { inputTokens: 0, outputTokens: 0 };
    const result = streamText({
      ...call,
      messages,
      abortSignal,
      onError: () => undefined, // comes as a part, below
      onToolExecutionEnd: (event) => {
        ended(event);
        listener.tool({
          name: event.toolCall.toolName,
          status: event.toolOutput.type === "tool-error" ? "failed" : "completed",
          milliseconds: Math.round(event.toolExecutionMs),
        });
      },
    });
    for await (const part of result.stream) {
      if (part.type === "text-delta") {
        const piece = separate && text !== "" ? `\n\n${part.text}` : part.text;
        separate = false;
        text += piece;
        listener.delta(piece);
      } else if (part.type === "start-step") {
        warnings.push(...part.warnings);
      } else if (part.type === "finish-step") {
        separate = true;
        usage.inputTokens += part.usage.inputTokens ?? 0;
        usage.outputTokens += part.usage.outputTokens ?? 0;
        ({ finishReason, rawFinishReason } = part);
      } else if (part.type === "error") {
        throw part.error;
      }
    }
    abortSignal.throwIfAborted();
    return { text, finishReason, rawFinishReason, usage, warnings };
  };

  const reply = async (
    messages: Turn[],
    signal: AbortSignal,
    id: string,
    listener: Listener | undefined,
    byOwner: boolean,
  ): Promise<Reply> => {
    let acted = false;
    const ended = () => {
      acted = true;
    };
    try {
      signal.throwIfAborted();
      const result = await (listener === undefined
        ? generateText({ ...call, messages, abortSignal: signal, onToolExecutionEnd: ended })
        : stream(messages, signal, listener, ended));
      requireWhole(result, config.framework, call.maxOutputTokens);
      const { inputTokens = 0, outputTokens = 0 } = result.usage;
      const warnings = fromSdkWarnings(result.warnings ?? []);
      return { text: result.text, model: id, usage: { inputTokens, outputTokens }, warnings };
    } catch (error) {
      const mapped = mapModelError(error, config.framework, signal.aborted);
      const failure = byOwner ? withProviderWords(mapped, [config.provider.apiKey ?? ""]) : mapped;
      throw acted ? afterActing(failure) : failure;
    }
  };
  return (message: Message, signal: AbortSignal, id: string, listener?: Listener): Promise<Reply> => {
    const { text, history } = message;
    // What the platform brings are the owner's messages.
    const byOwner = message.caller === "platform";
    const room = roomOf(message);
    const said: Turn = { role: "user", content: text };
    // Not kept either: whoever guesses a stored conversation's id finds nothing of it here.
    if (history !== undefined) return reply([...history, said], signal, id, listener, byOwner);
    return turns.run(room, async () => {
      const answered = await reply([...conversations.history(room), said], signal, id, listener, byOwner);
      conversations.add(room, said, { role: "assistant", content: answered.text });
      return answered;
    });
  };
}
