// The default engine: the character as instructions, the conversation from memory, one call to the provider.
import type { LanguageModel, ToolSet } from "ai";
import type { Config } from "../../config.ts";
import { AgentError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Engine, Message, Reply } from "../engine.ts";
import { Turns } from "../turns.ts";
import { logModelWarnings } from "../warnings.ts";
import { Conversations } from "./conversations.ts";
import { composeInstructions } from "./instructions.ts";
import { loadPlugins } from "./plugins.ts";
import { createLanguageModel, DEFAULT_MODELS } from "./providers.ts";
import { mapSettings } from "./settings.ts";

/** A model may call tools and look at their results this many times before it must answer. */
const MAX_STEPS = 8;

/** Starts the engine: loads plugins, and the provider where a key is set. Throws ConfigurationError. */
export async function startModelEngine(config: Config, log: Log): Promise<Engine> {
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
  const model = await createLanguageModel(config, id);
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

  return ({ conversationId, text }: Message, signal: AbortSignal, id: string): Promise<Reply> =>
    turns.run(conversationId, async () => {
      const said = { role: "user", content: text } as const;
      try {
        signal.throwIfAborted();
        const result = await generateText({
          ...call,
          messages: [...conversations.history(conversationId), said],
          abortSignal: signal,
        });
        if (result.text.trim() === "") throw withoutReply(result.finishReason, config.framework);
        conversations.add(conversationId, said, { role: "assistant", content: result.text });
        const { inputTokens = 0, outputTokens = 0 } = result.usage;
        return { text: result.text, model: id, usage: { inputTokens, outputTokens } };
      } catch (error) {
        throw mapModelError(error, config.framework, signal.aborted);
      }
    });
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
