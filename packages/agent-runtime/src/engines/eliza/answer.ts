// One message through elizaOS: its room, what is recalled of it, what the agent says to it.
import { randomUUID } from "node:crypto";
import { knowledgeRule, withKnowledge } from "../../abilities/knowledge.ts";
import type { Abilities } from "../../abilities/runtime-abilities.ts";
import type { Config } from "../../config.ts";
import { AgentError, describe } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Meter } from "../../meter.ts";
import { Acting } from "../acting.ts";
import { Turns } from "../conversation-queue.ts";
import { type Listener, type Message, type Reply, roomOf } from "../engine.ts";
import { SOURCE } from "./begun-messages.ts";
import { elizaModel } from "./character.ts";
import { Housekeeping } from "./growth.ts";
import type { KnowledgePart } from "./knowledge.ts";
import { createLookingBack } from "./looking-back.ts";
import { forgetOld, isId, MESSAGES, type Place, recall, STORED_ROOM, type ToUuid } from "./rooms.ts";
import { type Outcome, reasonOfSilence } from "./silence.ts";
import { createElizaTools, type ToolCalls } from "./tools.ts";
import type { ElizaContent, ElizaCore, ElizaMemory, ElizaRuntime } from "./types.ts";
import { Underway } from "./underway.ts";

/** Of an agent without tools: no action asks. */
const NO_CALLS: ToolCalls = { call: async () => "error: this agent has no tools", word: "" };
/** How long the end of an engine waits for work that is still going on. */
const END_MS = 3_000;

export interface AnswersOptions {
  readonly config: Config;
  readonly core: ElizaCore;
  readonly runtime: ElizaRuntime;
  readonly knowledge: KnowledgePart;
  readonly abilities: Abilities;
  readonly meter: Meter;
  readonly log: Log;
}

/** What answers the messages of one runtime, each conversation's in their order. */
export interface Answers {
  reply(message: Message, signal: AbortSignal, listener?: Listener): Promise<Reply>;
  /** Waits for the work that goes on when the answers are out, for at most some seconds. */
  end(): Promise<void>;
}

/** Makes it. */
export function createAnswers(options: AnswersOptions): Answers {
  const { config, core, runtime, knowledge, abilities, meter, log } = options;
  const tools = createElizaTools(runtime);
  const turns = new Turns(); // elizaOS discards a reply when the same room gets a newer message meanwhile
  const lookingBack = createLookingBack(runtime, meter);
  const housekeeping = new Housekeeping(runtime.adapter, log);
  const working = new Set<Promise<unknown>>();

  /** The agent's own tools for one answer. */
  const equip = async (
    { answer, conversationId, history }: Message,
    underway: Underway,
    signal: AbortSignal,
  ) => {
    const definitions = answer === undefined ? [] : await abilities.tools(answer.tools);
    if (answer === undefined || definitions.length === 0) return { definitions: [], calls: NO_CALLS };
    const { limitedCalls } = await import("../../abilities/tools/index.ts");
    const begun: Awaited<ReturnType<Underway["begin"]>>[] = [];
    const limited = limitedCalls({
      signal,
      toolMs: config.toolTimeoutMs,
      privateHosts: config.toolPrivateHosts,
      word: answer.word,
      // What is said at the agent's own address elizaOS remembers itself.
      search: async (query, limit) =>
        history === undefined ? [] : abilities.search(conversationId, query, limit),
      secretOf: (tool) => abilities.secretOf(tool),
      acted: async (name) => {
        begun.push(await underway.begin(name, undefined));
      },
    });
    const call: ToolCalls["call"] = async (definition, given) => {
      underway.requireWaiting();
      const result = await limited(definition, given);
      begun.pop()?.(result.startsWith("error:") ? "failed" : "done", false); // the model reads it, and goes on
      return result;
    };
    return { definitions, calls: { call, word: answer.word } };
  };

  const connect = async (message: Message): Promise<Place> => {
    const { conversationId, caller, userId, userName, history } = message;
    const stored = history !== undefined;
    const conversation = stored ? conversationId : roomOf(message);
    const id = toUuid(config, core);
    const user = stored ? userId : userId && `${caller} ${userId}`;
    // Rooms of their own: a caller who guesses a stored conversation's id finds nothing of it.
    const place = {
      entityId: id("user", user ?? `caller of ${conversation}`),
      roomId: id(stored ? STORED_ROOM : "room", conversation),
    };
    // An id is not a name: elizaOS writes it before what the person says.
    const name = userName ?? (isId(userId) ? "User" : (userId ?? "User"));
    await runtime.ensureConnection({
      ...place,
      worldId: id("world", "messages"),
      worldName: "Messages",
      userName: name,
      name,
      source: SOURCE,
      type: "API",
      channelId: conversation,
      messageServerId: id("server", "messages"),
    });
    if (history !== undefined) await recall(runtime, place, history, id);
    return place;
  };

  /** Work that no answer waits for. */
  const behind = (work: Promise<unknown>) => {
    working.add(work);
    work
      .catch((error: unknown) => log.warn("Work behind an answer failed", { cause: describe(error) }))
      .finally(() => working.delete(work));
  };

  const work = async (message: Message, underway: Underway, signal: AbortSignal) => {
    const place = await connect(message);
    if (message.history === undefined) behind(forgetOld(runtime, place.roomId));
    const found = await findFor(message, abilities);
    const { definitions, calls } = await equip(message, underway, signal);
    underway.requireWaiting();
    return knowledge.run(found, () =>
      tools.run(definitions, calls, () => handle(options, lookingBack, place, message, underway)),
    );
  };

  const reply = async (message: Message, outer: AbortSignal, listener: Listener | undefined) => {
    outer.throwIfAborted();
    const acting = new Acting(message.mayAct);
    const signal = AbortSignal.any([outer, acting.signal]);
    const underway = new Underway(listener, acting, message.answer?.id);
    const done = underway.run(() => work(message, underway, signal));
    working.add(done);
    done.catch(() => undefined).finally(() => working.delete(done));
    try {
      const { silence } = await untilAborted(done, underway, signal);
      underway.isAnswered = true;
      return {
        text: underway.texts.join("\n\n"),
        ...(silence !== undefined && { silence }),
        model: underway.model ?? elizaModel(config),
        ...(underway.isCounted && !underway.isPartlyUnknown && { usage: { ...underway.usage } }),
      };
    } catch (error) {
      underway.isGivenUp = true;
      const { mapModelError } = await import("../model/errors.ts");
      const failure = mapModelError(error, config.framework, signal.aborted);
      throw underway.explain(failure, error, message.caller === "platform", config.secrets);
    } finally {
      housekeeping.count();
    }
  };

  return {
    reply: (message, signal, listener) => {
      // Another caller's conversation, or the same name of a user, is another one; the platform's are stored elsewhere.
      const conversation = message.history === undefined ? roomOf(message) : message.conversationId;
      return turns.run(conversation, () => reply(message, signal, listener));
    },
    async end() {
      const over = Promise.withResolvers<void>();
      const timer = setTimeout(over.resolve, END_MS);
      const all = Promise.allSettled([...working, lookingBack.end(), housekeeping.end()]);
      await Promise.race([all, over.promise]);
      clearTimeout(timer);
    },
  };
}

/** Makes elizaOS's ids of one agent. */
export const toUuid =
  (config: Config, core: ElizaCore): ToUuid =>
  (kind, name) =>
    core.stringToUuid(`${config.agentId}:${kind}:${name}`);

/** What is found for a message, marked: by the platform for its own, else by this replica. */
async function findFor({ answer, text, history }: Message, abilities: Abilities): Promise<string> {
  if (answer === undefined) return "";
  const found =
    history === undefined ? await abilities.knowledge(answer.id, text, undefined) : (answer.knowledge ?? []);
  return found.length === 0 ? "" : withKnowledge(knowledgeRule(answer.word), found, answer.word);
}

/** Gives elizaOS one message and gathers what it says, until it is all said; what follows goes on behind the answer. */
async function handle(
  { config, core, runtime }: AnswersOptions,
  lookingBack: ReturnType<typeof createLookingBack>,
  place: Place,
  { text, answer, occasion, history }: Message,
  underway: Underway,
): Promise<{ silence: string | undefined }> {
  const base = { agentId: runtime.agentId, roomId: place.roomId };
  const id = toUuid(config, core);
  const stored = history === undefined ? undefined : answer;
  const message: ElizaMemory = {
    ...base,
    id: stored?.question === undefined ? randomUUID() : id("message", stored.question),
    entityId: place.entityId,
    content: { text, source: "launchpad", channelType: "API" },
    createdAt: Date.now(),
  };
  const remember = async (said: ElizaContent): Promise<ElizaMemory[]> => {
    // elizaOS puts what an action says into what it says, which then holds itself.
    const { actionCallbacks: _, evalCallbacks: __, ...content } = said;
    const isFirst = underway.texts.length === 0;
    const memory = {
      ...base,
      id: isFirst && stored !== undefined ? id("message", stored.id) : randomUUID(),
      entityId: runtime.agentId,
      content,
      createdAt: Date.now(),
    };
    await runtime.createMemory(memory, MESSAGES); // elizaOS leaves this to its caller; without it the agent forgets
    return [memory];
  };
  const keep = async (said: ElizaContent): Promise<ElizaMemory[]> => {
    // What comes after the caller stopped waiting was never said.
    if (!said.text?.trim() || (underway.isGivenUp && !underway.isAnswered)) return [];
    const kept = await remember(said);
    if (!underway.isAnswered) underway.say(said.text);
    return kept;
  };
  const settle = async (outcome: Outcome) => {
    const unsaid = outcome.content?.text?.trim();
    // A text beside an action that does not say it: the agent wanted it said.
    if (underway.texts.length === 0 && unsaid) await keep({ ...outcome.content, text: unsaid });
    if (underway.texts.length > 0) return { silence: undefined };
    const silence = await reasonOfSilence(runtime, place.roomId, outcome);
    if (silence !== undefined) return { silence };
    throw new AgentError("MODEL_BAD_RESPONSE", "The model's answer has not the form that elizaOS asks for.");
  };
  const outcome = await lookingBack.behind(message, { source: occasion?.source ?? "address" }, async () => {
    const options = { timeoutDuration: config.messageTimeoutMs + 1_000 }; // ours is over first
    const result = await runtime.messageService?.handleMessage(runtime, message, keep, options);
    return { didRespond: result?.didRespond ?? false, content: result?.responseContent ?? null };
  });
  return settle(outcome);
}

/** elizaOS cannot be interrupted: its work ends at its next action or call of a model, and the caller does not wait for it. */
async function untilAborted<T>(work: Promise<T>, underway: Underway, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => {
    underway.isGivenUp = true;
    reject(signal.reason);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
