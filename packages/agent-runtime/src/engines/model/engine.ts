// The default engine: the character as instructions, the conversation as given or from memory, one call to the provider.
import type { LanguageModel, ToolSet } from "ai";
import type { Config } from "../../config.ts";
import { AgentError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Meter } from "../../meter.ts";
import type { Engine, Message, Reply, Turn } from "../engine.ts";
import { Turns } from "../turns.ts";
import { logModelWarnings } from "../warnings.ts";
import { Conversations } from "./conversations.ts";
import { composeInstructions } from "./instructions.ts";
import { metered } from "./metered.ts";
import { loadPlugins } from "./plugins.ts";
import { createLanguageModel, DEFAULT_MODELS } from "./providers.ts";
import { mapSettings } from "./settings.ts";

/** A model may call tools and look at their results this many times before it must answer. */
const MAX_STEPS = 8;

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
  const { maxOutputTokens } = mapSettings(config.settings);
  const model = await metered(await createLanguageModel(config, id), meter, id, maxOutputTokens);
  const tools: ToolSet = Object.assign({}, ...plugins.map((plugin) => plugin.tools ?? {}));
  const answer = await createAnswer(config, model, tools, log);
  return { ...base, model: id, reply: (message, signal) => answer(message, signal, id) };
}

async function createAnswer(config: Config, model: LanguageModel, tools: ToolSet, log: Log) {
  const { generateText, isStepCount } = await import("ai");
  const { mapModelError } = await import("./errors.ts");
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

  const reply = async (messages: Turn[], signal: AbortSignal, id: string): Promise<Reply> => {
    try {
      signal.throwIfAborted();
      const result = await generateText({ ...call, messages, abortSignal: signal });
      if (result.text.trim() === "") throw withoutReply(result.finishReason, config.framework);
      const { inputTokens = 0, outputTokens = 0 } = result.usage;
      return { text: result.text, model: id, usage: { inputTokens, outputTokens } };
    } catch (error) {
      throw mapModelError(error, config.framework, signal.aborted);
    }
  };
  return ({ conversationId, text, history }: Message, signal: AbortSignal, id: string): Promise<Reply> => {
    const said: Turn = { role: "user", content: text };
    // Not kept either: whoever guesses a stored conversation's id finds nothing of it here.
    if (history !== undefined) return reply([...history, said], signal, id);
    return turns.run(conversationId, async () => {
      const answered = await reply([...conversations.history(conversationId), said], signal, id);
      conversations.add(conversationId, said, { role: "assistant", content: answered.text });
      return answered;
    });
  };
}

function withoutReply(finishReason: string, framework: string): AgentError {
  if (finishReason === "content-filter") {
    return new AgentError("MODEL_REFUSED", `${framework} refused to answer this message.`);
  }
  const why = finishReason === "length" ? " Its max_tokens may be too small." : "";
  return new AgentError(
    "MODEL_BAD_RESPONSE",
    `${framework} answered without a text (${finishReason}).${why}`,
  );
}
