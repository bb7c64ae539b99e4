// What an agent begins itself (a reminder, an alert of a plugin): its text becomes a message of the agent in the conversation. Where
// it cannot, the plugin gets an error that says why, and the log names the plugin.
import { randomUUID } from "node:crypto";
import type { Abilities } from "../../abilities/runtime-abilities.ts";
import { describe } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { ProjectRefusal } from "../../project.ts";
import { pluginUnderway } from "../plugin-faults.ts";
import { isId, MESSAGES, STORED_ROOM, type ToUuid } from "./rooms.ts";
import { taskRun } from "./task-runs.ts";
import type { ElizaContent, ElizaRuntime, ElizaTarget } from "./types.ts";
import { Underway } from "./underway.ts";

/** What the rooms of the runtime's own conversations name as their source. */
export const SOURCE = "launchpad";

export interface BeginningOptions {
  readonly runtime: ElizaRuntime;
  readonly begin: Abilities["begin"];
  readonly toUuid: ToUuid;
  readonly log: Log;
}

/**
 * Lets plugins send messages to conversations of the platform.
 * @returns gives up what is not sent yet
 */
export function sendBegunMessages({ runtime, begin, toUuid, log }: BeginningOptions): () => void {
  const closed = new AbortController();
  const warned = new Set<string>();

  const refuse = (plugin: string, code: string, why: string, cause?: unknown): never => {
    const message = `${plugin} could not begin a message in a conversation: ${why}`;
    if (!warned.has(`${plugin} ${code}`)) log.warn(message, { plugin, code });
    warned.add(`${plugin} ${code}`);
    throw new Error(message, { cause });
  };

  runtime.registerSendHandler(SOURCE, async (_, target, content) => {
    const plugin = pluginUnderway() ?? Underway.current?.plugin ?? "elizaOS";
    const text = content.text ?? "";
    if (text.trim() === "") return refuse(plugin, "NO_TEXT", "It has no text.");
    const place = await placeOf(runtime, target, toUuid);
    if ("problem" in place) return refuse(plugin, "NO_CONVERSATION", place.problem);
    const { conversationId, roomId } = place;
    const { key, byService } = originOf(roomId);
    const id = key === undefined ? randomUUID() : toUuid("begun", `${conversationId} ${key}`);
    let messageId: string | undefined;
    try {
      messageId = await begin({ id, conversationId, text, byService }, closed.signal);
    } catch (error) {
      const code = error instanceof ProjectRefusal ? error.code : "SUPABASE_CONNECTION_ERROR";
      return refuse(plugin, code, describe(error), error);
    }
    if (messageId === undefined) {
      log.info(`Another replica sends what ${plugin} begins`, { plugin, conversationId });
      return;
    }
    log.info("Began a message", { plugin, conversationId, messageId });
    // The message is out: whoever began it must not try again for what elizaOS keeps of it; the next answer's history has it too.
    await remember(runtime, toUuid("message", messageId), roomId, text).catch((error: unknown) =>
      log.warn("A message that the agent began is not remembered yet", { plugin, cause: describe(error) }),
    );
  });
  return () => closed.abort(new Error("The agent is stopping."));
}

/** elizaOS leaves it to whoever sends; the id is that of the stored message, as the next answer's history has it. */
async function remember(runtime: ElizaRuntime, id: string, roomId: string, text: string): Promise<void> {
  const content: ElizaContent = { text, source: SOURCE, channelType: "API" };
  const { agentId } = runtime;
  await runtime.createMemory(
    { id, agentId, entityId: agentId, roomId, content, createdAt: Date.now() },
    MESSAGES,
  );
}

/** The stored conversation that is meant, or why it is missing. */
async function placeOf(
  runtime: ElizaRuntime,
  { roomId, channelId }: ElizaTarget,
  toUuid: ToUuid,
): Promise<{ conversationId: string; roomId: string } | { problem: string }> {
  const named = roomId === undefined ? undefined : await runtime.getRoom(roomId);
  const conversationId = named?.channelId ?? (roomId === undefined ? channelId : undefined);
  if (conversationId === undefined) {
    return { problem: "Name the conversation: the roomId of a message that the agent got there." };
  }
  const stored = toUuid(STORED_ROOM, conversationId);
  if (!isId(conversationId) || (roomId !== undefined && roomId !== stored)) {
    return {
      problem:
        "It was held at the agent's own address, where answers alone are sent. Talk to the agent with messages (POST /rest/v1/messages) instead.",
    };
  }
  return { conversationId, roomId: stored };
}

/**
 * What begins a message: a task's run or an answer, by which a repetition is known (key), else a service. Tasks and answers of a
 * conversation belong to one replica; services, and tasks of no conversation, run in each.
 */
function originOf(roomId: string): { key: string | undefined; byService: boolean } {
  const task = taskRun();
  if (task !== undefined) {
    task.begun += 1;
    return { key: `${task.key} ${task.begun}`, byService: task.roomId !== roomId };
  }
  const answer = Underway.current;
  if (answer === undefined) return { key: undefined, byService: true };
  answer.begun += 1;
  const { answerId } = answer;
  return { key: answerId && `answer ${answerId} ${answer.begun}`, byService: false };
}
