// Answers one message with a provider's model. Loaded by an agent's first message: the AI SDK is most of what a replica would need
// while it waits.
import { generateText, isStepCount, streamText, type Tool, type ToolSet } from "ai";
import { knowledgeRule, type Piece, withKnowledge } from "../../abilities/knowledge.ts";
import { markRule } from "../../abilities/marks.ts";
import type { Abilities } from "../../abilities/runtime-abilities.ts";
import { tracedModel } from "../../abilities/traced-model.ts";
import { tracedTools } from "../../abilities/traced-tools.ts";
import type { Config } from "../../config.ts";
import type { Log } from "../../log.ts";
import type { Meter } from "../../meter.ts";
import { Acting } from "../acting.ts";
import { Turns } from "../conversation-queue.ts";
import { type Listener, type Message, type Reply, roomOf, type Turn } from "../engine.ts";
import { logModelWarnings } from "../model-warnings.ts";
import { MAX_STEPS, requireWhole } from "./completion.ts";
import { Conversations } from "./conversations.ts";
import { mapModelError, withProviderWords } from "./errors.ts";
import { fromSdkWarnings } from "./facts.ts";
import { composeInstructions } from "./instructions.ts";
import { metered } from "./metered.ts";
import { createLanguageModel } from "./providers.ts";
import { mapSettings } from "./settings.ts";
import { nothingStreamed, readStream } from "./streaming.ts";

/** Answers a message as an agent. */
export type Answer = (message: Message, signal: AbortSignal, listener?: Listener) => Promise<Reply>;

/**
 * Makes what answers an agent's messages: its provider's model, metered and traced, and its tools.
 * @param id the model's name
 * @param given the tools of its plugins
 */
export async function createAnswer(
  config: Config,
  id: string,
  given: ToolSet,
  meter: Meter,
  abilities: Abilities,
  log: Log,
): Promise<Answer> {
  const secrets = config.provider.apiKey === undefined ? [] : [config.provider.apiKey];
  const seen = tracedModel(await createLanguageModel(config, id), id, config.framework, config.secrets);
  const { framework, settings } = config;
  const model = metered(seen, meter, { name: id, framework, settings, secrets });
  const pluginTools = tracedTools(given, config.secrets);
  logModelWarnings(log);
  const conversations = new Conversations();
  const turns = new Turns();
  const instructions = composeInstructions(config);
  const call = {
    model,
    ...mapSettings(config.settings),
    maxRetries: config.modelRetries,
  };

  /** The plugins' tools and the agent's own, and what the model reads besides its instructions. */
  const equip = async (
    message: Message,
    found: readonly Piece[],
    signal: AbortSignal,
    acted: (name: string) => Promise<void>,
  ) => {
    const { answer } = message;
    const definitions = answer === undefined ? [] : await abilities.tools(answer.tools);
    const ownRules = answer && [
      ...(definitions.length > 0 ? [markRule(answer.word)] : []),
      ...(found.length > 0 ? [knowledgeRule(answer.word)] : []),
    ];
    const told = answer?.rules ?? (ownRules?.join("\n\n") || undefined);
    // The platform does not know of the tools that plugins bring.
    const unmarked = answer && definitions.length > 0 && !told?.includes(markRule(answer.word));
    const rules = unmarked ? [told, markRule(answer.word)].filter(Boolean).join("\n\n") : told;
    const own =
      definitions.length > 0 && answer
        ? (await import("../../abilities/tools/index.ts")).makeTools(definitions, {
            signal,
            toolMs: config.toolTimeoutMs,
            privateHosts: config.toolPrivateHosts,
            word: answer.word,
            taken: Object.keys(pluginTools),
            search: (query, limit) => searchIn(message, query, limit),
            secretOf: (tool) => abilities.secretOf(tool),
            acted,
          })
        : {};
    // A plugin's tool may do anything; the agent's own say themselves when they act.
    const tools: ToolSet = { ...askingFirst(pluginTools, acted), ...own };
    return {
      instructions: rules === undefined ? instructions : `${instructions}\n\n${rules}`,
      ...(Object.keys(tools).length > 0 && { tools, stopWhen: isStepCount(MAX_STEPS) }),
    };
  };

  /** What is found for a message: by the platform for its own, else by this replica. */
  const findFor = async ({ answer, text, history }: Message, messages: readonly Turn[]) => {
    if (answer === undefined || history !== undefined) return answer?.knowledge ?? [];
    const before = messages.slice(0, -1).findLast(({ role }) => role === "user")?.content;
    return abilities.knowledge(answer.id, text, before);
  };

  /** Stored conversations are searched where they are stored, others in this replica's memory. */
  const searchIn = async (message: Message, query: string, limit: number): Promise<unknown> =>
    message.history === undefined
      ? foundIn(conversations.history(roomOf(message)), query, limit)
      : abilities.search(message.conversationId, query, limit);

  const reply = async (
    message: Message,
    messages: Turn[],
    outer: AbortSignal,
    listener: Listener | undefined,
  ): Promise<Reply> => {
    const acting = new Acting(message.mayAct);
    const signal = AbortSignal.any([outer, acting.signal]);
    const acted = async (name: string) => {
      await acting.begin();
      listener?.tool({ name, status: "started", milliseconds: 0 });
    };
    try {
      signal.throwIfAborted();
      const found = await findFor(message, messages);
      const asked = {
        ...call,
        ...(await equip(message, found, signal, acted)),
        messages: messages.with(-1, {
          role: "user",
          content: withKnowledge(messages.at(-1)?.content ?? "", found, message.answer?.word ?? ""),
        }),
        abortSignal: signal,
      };
      const streamed = nothingStreamed();
      if (listener === undefined) {
        const { text, finishReason, rawFinishReason, usage, warnings } = await generateText(asked);
        Object.assign(streamed, { text, finishReason, rawFinishReason, warnings: warnings ?? [] });
        streamed.usage.inputTokens = usage.inputTokens ?? 0;
        streamed.usage.outputTokens = usage.outputTokens ?? 0;
      } else {
        const { stream } = streamText({
          ...asked,
          onError: () => undefined, // comes as a part
          onToolExecutionEnd: (event) => {
            listener.tool({
              name: event.toolCall.toolName,
              status: event.toolOutput.type === "tool-error" ? "failed" : "completed",
              milliseconds: Math.round(event.toolExecutionMs),
            });
          },
        });
        await readStream(stream, streamed, listener, signal);
      }
      requireWhole(streamed, config.framework, call.maxOutputTokens);
      const warnings = fromSdkWarnings(streamed.warnings);
      return { text: streamed.text, model: id, usage: streamed.usage, warnings };
    } catch (error) {
      const mapped = mapModelError(error, config.framework, signal.aborted);
      // What the platform brings are the owner's messages.
      const byOwner = message.caller === "platform";
      const failure = byOwner ? withProviderWords(mapped, secrets) : mapped;
      throw acting.explain(failure);
    }
  };
  return (message, signal, listener) => {
    const { text, history } = message;
    const room = roomOf(message);
    const said: Turn = { role: "user", content: text };
    // Not kept either: whoever guesses a stored conversation's id finds nothing of it here.
    if (history !== undefined) return reply(message, [...history, said], signal, listener);
    return turns.run(room, async () => {
      const answered = await reply(message, [...conversations.history(room), said], signal, listener);
      conversations.add(room, said, { role: "assistant", content: answered.text });
      return answered;
    });
  };
}

/** Tools that ask before each call whether the answer may act. */
function askingFirst(tools: ToolSet, acted: (name: string) => Promise<void>): ToolSet {
  return Object.fromEntries(
    Object.entries(tools).map(([name, tool]) => {
      const { execute } = tool;
      if (execute === undefined) return [name, tool];
      const asking: NonNullable<Tool["execute"]> = async (given, options) => {
        await acted(name);
        return execute(given, options);
      };
      return [name, { ...tool, execute: asking } as Tool];
    }),
  );
}

/** Earlier turns that hold the words, newest first. */
function foundIn(turns: readonly Turn[], query: string, limit: number): { from: string; text: string }[] {
  const wanted = query.toLowerCase();
  return turns
    .filter(({ content }) => content.toLowerCase().includes(wanted))
    .slice(-Math.min(20, Math.max(1, limit)))
    .reverse()
    .map(({ role, content }) => ({
      from: role === "user" ? "user" : "agent",
      text: content.slice(0, 1_000),
    }));
}
