// One message through elizaOS: its room, what is recalled of it, what the agent says to it.
import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { knowledgeRule, withKnowledge } from "../../abilities/knowledge.ts";
import type { Abilities } from "../../abilities/runtime-abilities.ts";
import type { Config } from "../../config.ts";
import { AgentError } from "../../errors.ts";
import { type Listener, type Message, type Reply, roomOf, type Turn } from "../engine.ts";
import { Turns } from "../turns.ts";
import { elizaModel } from "./character.ts";
import type { KnowledgePart } from "./knowledge.ts";
import { createElizaTools, type ToolCalls } from "./tools.ts";
import type { ElizaContent, ElizaCore, ElizaMemory, ElizaRuntime, ElizaUsage } from "./types.ts";

/** elizaOS's table of what was said. */
const MESSAGES = "messages";

/** Of an agent without tools: no action asks. */
const NO_CALLS: ToolCalls = { call: async () => "error: this agent has no tools", word: "" };

/** Who speaks, and in which conversation. */
interface Place {
  readonly entityId: string;
  readonly roomId: string;
}

interface Usage {
  inputTokens: number;
  outputTokens: number;
}

/** Makes what answers the messages of one runtime, each conversation's in their order. */
export function createAnswer(
  config: Config,
  core: ElizaCore,
  runtime: ElizaRuntime,
  count: (used: ElizaUsage) => void,
  knowledge: KnowledgePart,
  abilities: Abilities,
) {
  const tools = createElizaTools(runtime);
  const turns = new Turns(); // elizaOS discards a reply when the same room gets a newer message meanwhile
  const usages = new AsyncLocalStorage<Usage>();
  runtime.registerEvent("MODEL_USED", async (used) => {
    count(used);
    const { tokens } = used;
    const usage = usages.getStore();
    if (!usage) return;
    usage.inputTokens += tokens?.prompt ?? 0;
    usage.outputTokens += tokens?.completion ?? 0;
  });

  /** The agent's own tools for one answer. That they acted is told by the trace alone: elizaOS tries nothing again. */
  const equip = async ({ answer, conversationId, history }: Message, signal: AbortSignal) => {
    const definitions = answer === undefined ? [] : await abilities.tools(answer.tools);
    if (answer === undefined || definitions.length === 0) return { definitions: [], calls: NO_CALLS };
    const { limitedCalls } = await import("../../abilities/tools/index.ts");
    const call = limitedCalls({
      signal,
      toolMs: config.toolTimeoutMs,
      privateHosts: config.toolPrivateHosts,
      word: answer.word,
      // What is said at the agent's own address elizaOS remembers itself.
      search: async (query, limit) =>
        history === undefined ? [] : abilities.search(conversationId, query, limit),
      secretOf: (tool) => abilities.secretOf(tool),
      acted: () => undefined,
    });
    return { definitions, calls: { call, word: answer.word } };
  };

  return (message: Message, signal: AbortSignal, listener?: Listener): Promise<Reply> => {
    const { text, conversationId, caller, userId, history } = message;
    const stored = history !== undefined;
    // Another caller's conversation, or the same name of a user, is another one; the platform's are stored elsewhere.
    const conversation = stored ? conversationId : roomOf(message);
    const named = stored ? userId : userId && `${caller} ${userId}`;
    return turns.run(conversation, async () => {
      const usage: Usage = { inputTokens: 0, outputTokens: 0 };
      try {
        signal.throwIfAborted();
        const id = (kind: string, name: string) => core.stringToUuid(`${config.agentId}:${kind}:${name}`);
        const user = named ?? `caller of ${conversation}`;
        // Rooms of their own: a caller who guesses a stored conversation's id finds nothing of it.
        const room = stored ? "stored room" : "room";
        const place = { entityId: id("user", user), roomId: id(room, conversation) };
        await runtime.ensureConnection({
          ...place,
          worldId: id("world", "messages"),
          worldName: "Messages",
          userName: userId ?? "user",
          name: userId ?? "user",
          source: "launchpad",
          type: "API",
          channelId: conversation,
          messageServerId: id("server", "messages"),
        });
        if (history !== undefined) await recall(runtime, place, history);
        const found = await findFor(message, abilities);
        const { definitions, calls } = await equip(message, signal);
        const handled = usages.run(usage, () =>
          knowledge.run(found, () =>
            tools.run(definitions, calls, () =>
              handle(runtime, place, text, config.messageTimeoutMs, listener),
            ),
          ),
        );
        const texts = await untilAborted(handled, signal);
        return { text: texts.join("\n\n"), model: elizaModel(config), usage };
      } catch (error) {
        const { mapModelError } = await import("../model/errors.ts");
        throw mapModelError(error, config.framework, signal.aborted);
      }
    });
  };
}

/** What is found for a message, marked: by the platform for its own, else by this replica. */
async function findFor({ answer, text, history }: Message, abilities: Abilities): Promise<string> {
  if (answer === undefined) return "";
  const found =
    history === undefined ? await abilities.knowledge(answer.id, text, undefined) : (answer.knowledge ?? []);
  return found.length === 0 ? "" : withKnowledge(knowledgeRule(answer.word), found, answer.word);
}

/** Makes a room's messages what the platform says was said, whatever this replica remembered of it. */
async function recall(runtime: ElizaRuntime, place: Place, history: readonly Turn[]): Promise<void> {
  await runtime.deleteAllMemories(place.roomId, MESSAGES);
  const recent = history.slice(-runtime.getConversationLength());
  const begin = Date.now() - recent.length; // elizaOS orders by time
  for (const [index, { role, content }] of recent.entries()) {
    const memory: ElizaMemory = {
      id: randomUUID(),
      agentId: runtime.agentId,
      roomId: place.roomId,
      entityId: role === "assistant" ? runtime.agentId : place.entityId,
      content: { text: content, source: "launchpad", channelType: "API" },
      createdAt: begin + index,
    };
    await runtime.createMemory(memory, MESSAGES);
  }
}

/** Gives elizaOS one message and gathers what it says. An agent that decides to stay silent says nothing: an empty list. */
async function handle(
  runtime: ElizaRuntime,
  place: Place,
  text: string,
  timeoutDuration: number,
  listener: Listener | undefined,
): Promise<string[]> {
  const base = { agentId: runtime.agentId, roomId: place.roomId };
  const content = { text, source: "launchpad", channelType: "API" };
  const message: ElizaMemory = {
    ...base,
    id: randomUUID(),
    entityId: place.entityId,
    content,
    createdAt: Date.now(),
  };
  const texts: string[] = [];
  const keep = async (said: ElizaContent): Promise<ElizaMemory[]> => {
    if (!said.text?.trim()) return [];
    // elizaOS says whole texts, each when it is ready.
    listener?.delta(texts.length === 0 ? said.text : `\n\n${said.text}`);
    texts.push(said.text);
    const memory = {
      ...base,
      id: randomUUID(),
      entityId: runtime.agentId,
      content: said,
      createdAt: Date.now(),
    };
    await runtime.createMemory(memory, MESSAGES); // elizaOS leaves this to its caller; without it the agent forgets
    return [memory];
  };
  const result = await runtime.messageService?.handleMessage(runtime, message, keep, { timeoutDuration });
  if (texts.length === 0 && !result?.responseContent?.actions?.length) {
    throw new AgentError("MODEL_BAD_RESPONSE", "The model's answer has not the form that elizaOS asks for.");
  }
  return texts;
}

/** elizaOS cannot be interrupted: its work goes on, but nobody waits for it any longer. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
