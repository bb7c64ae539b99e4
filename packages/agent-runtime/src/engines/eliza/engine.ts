// The real elizaOS AgentRuntime, without elizaOS's server: one agent, its plugins, a PGlite database of its own.
import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { knowledgeRule, withKnowledge } from "../../abilities/knowledge.ts";
import type { Abilities } from "../../abilities/runtime-abilities.ts";
import type { Config } from "../../config.ts";
import { AgentError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Meter } from "../../meter.ts";
import { type Engine, type Listener, type Message, type Reply, roomOf, type Turn } from "../engine.ts";
import { Turns } from "../turns.ts";
import { logModelWarnings } from "../warnings.ts";
import { elizaModel, PROVIDER_PLUGINS, toElizaCharacter, toElizaSettings } from "./character.ts";
import { createKnowledgePart, type KnowledgePart } from "./knowledge.ts";
import { meterModels } from "./metered.ts";
import { BOOTSTRAP, CORE, openPart, SQL } from "./part.ts";
import { loadElizaPlugins, registerPlugins } from "./plugins.ts";
import { createElizaTools, type ToolCalls } from "./tools.ts";
import type {
  ElizaContent,
  ElizaCore,
  ElizaMemory,
  ElizaPlugin,
  ElizaRuntime,
  ElizaSql,
  ElizaUsage,
} from "./types.ts";
import { openWorkspace } from "./workspace.ts";

const TEXT_MODEL = "TEXT_LARGE";
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

/** Starts elizaOS with the agent's plugins. Throws ConfigurationError. */
export async function startElizaEngine(
  config: Config,
  log: Log,
  meter: Meter,
  abilities: Abilities,
): Promise<Engine> {
  const part = await openPart(config.elizaDir, config.plugins);
  const workspace = openWorkspace(config, process.env);
  const hasKey = config.provider.apiKey !== undefined;
  const provider = PROVIDER_PLUGINS[config.framework];
  const wanted =
    hasKey && !config.plugins.includes(provider) ? [...config.plugins, provider] : config.plugins;
  const plugins = await loadElizaPlugins(part, wanted);
  logModelWarnings(log);

  const core = (await part.load(CORE)) as unknown as ElizaCore;
  const sql = (await part.load(SQL)) as unknown as ElizaSql;
  const bootstrap = (await part.load(BOOTSTRAP)).default as ElizaPlugin;
  const agentId = core.stringToUuid(config.agentId);
  const adapter = sql.createDatabaseAdapter({ dataDir: workspace.databaseDir }, agentId);
  await adapter.init();
  // Before initialize(): it reads tables that only its own migrations make.
  await adapter.runPluginMigrations([{ name: sql.default.name, schema: sql.default.schema }]);

  const settings = toElizaSettings(config);
  const character = toElizaCharacter(config);
  const runtime = new core.AgentRuntime({ agentId, character, adapter, settings });
  for (const message of unheeded(config)) log.warn(message, { framework: config.framework });
  const count = meterModels(runtime, meter, {
    name: elizaModel(config),
    framework: config.framework,
    system: String(character.system ?? ""),
    settings: config.settings,
    secrets: config.provider.apiKey === undefined ? [] : [config.provider.apiKey],
  });
  const knowledge = createKnowledgePart();
  const own = knowledge.plugin;
  await registerPlugins(
    runtime,
    new Map([[SQL, sql.default], [BOOTSTRAP, bootstrap], [own.name, own], ...plugins]),
  );
  await runtime.initialize();

  const configured = hasKey || (runtime.getModel(TEXT_MODEL) !== undefined && !plugins.has(provider));
  if (!configured) log.warn(unconfigured(config), { framework: config.framework });
  const answer = createAnswer(config, core, runtime, count, knowledge, abilities);
  return {
    name: "eliza",
    model: configured ? elizaModel(config) : undefined,
    plugins: [SQL, BOOTSTRAP, ...plugins.keys()],
    reply: async (message, signal, listener) => {
      if (!configured) throw new AgentError("MODEL_UNCONFIGURED", unconfigured(config));
      return answer(message, signal, listener);
    },
    async close() {
      await runtime.stop();
      await runtime.close();
      workspace.dispose();
    },
  };
}

/** Settings that mean nothing in this engine; the launch warns of the same (private.definition_warnings). */
function unheeded({ framework, settings }: Config): string[] {
  const penalties = framework === "openai" && (settings.presence_penalty || settings.frequency_penalty);
  return [
    ...(settings.stop?.length
      ? ["elizaOS does not use stop: its answers have a form that a stop would cut."]
      : []),
    ...(penalties ? ["elizaOS does not use penalties with OpenAI: it calls the responses API."] : []),
  ];
}

function unconfigured({ provider }: Config): string {
  return `No model key: set ${provider.keyVariable} in the agent's environment or where the stack starts.`;
}

function createAnswer(
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
