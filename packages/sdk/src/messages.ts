/** `client.messages`: what people and agents say. Through `/rest/v1`, heard through Realtime. */

import { sleep } from "./deadline.ts";
import { AgentLaunchpadError, invalid } from "./errors.ts";
import { defined, type Http } from "./http.ts";
import type { CallOptions } from "./options.ts";
import { type PageList, type Paging, rowList } from "./page.ts";
import type { Broadcast } from "./realtime/topics.ts";
import type { AnswerStep, Message, Open } from "./rows.ts";
import { idOf } from "./swarms.ts";
import { deferred } from "./wait.ts";
import type { Unsubscribe, WatchFailure, Watching, WatchOptions } from "./watching.ts";

/** A message of a person: to a swarm, or to one agent. */
export interface NewMessage {
  content: string;
  swarm_id?: string | undefined;
  to_agent_id?: string | undefined;
  /** Continues a conversation with an agent. Left out: a new one begins. */
  conversation_id?: string | undefined;
}

/** Where messages are. */
export type Conversation = { swarmId: string } | { agentId: string } | { conversationId: string };

/**
 * An answer on its way. After `retried` what was streamed before is void; a `step` may come after `finished`. Events that this
 * version does not know are passed on; they may lack `replyTo` and `attempt`.
 */
export interface ReplyProgress {
  event: Open<"started" | "delta" | "step" | "finished" | "failed" | "retried" | "waiting">;
  /** The id that the answer will have. */
  messageId: string;
  agentId: string;
  /** The message that is being answered. */
  replyTo?: string | undefined;
  attempt?: number | undefined;
  text?: string | undefined;
  sequence?: number | undefined;
  code?: string | undefined;
  message?: string | undefined;
  final?: boolean | undefined;
  /** Of a step, as in `AnswerStep`; so are the next ones. */
  index?: number | undefined;
  kind?: AnswerStep["kind"] | undefined;
  name?: string | undefined;
  status?: AnswerStep["status"] | undefined;
  milliseconds?: number | undefined;
  error?: AnswerStep["error"] | undefined;
}

export type MessageUpdate =
  | { type: "message"; message: Message }
  | { type: "reply"; reply: ReplyProgress }
  | WatchFailure;

export interface MessagesSubscribeOptions extends WatchOptions {}

export interface AskOptions extends CallOptions {
  /** Continues a conversation. */
  conversationId?: string | undefined;
  /** Called with each piece of the answer; `restarted`: forget the pieces before. An error it throws is logged. */
  onText?: ((text: string, restarted: boolean) => void) | undefined;
  /** Milliseconds to wait for the answer. Default 180000. */
  answerTimeout?: number | undefined;
}

const PATH = "/rest/v1/messages";
const STEPS = "/rest/v1/answer_steps";
/** The database keeps no more of one answer. */
const MOST_STEPS = 200;
const WRITTEN = { accept: "application/vnd.pgrst.object+json", prefer: "return=representation" };
const DEFAULT_LIMIT = 50;
const ANSWER_TIMEOUT = 180_000;
/** How long a question waits for the channel that will carry its answer. */
const LISTENING = 3_000;
/** Between looks at the table, for an answer whose broadcast was lost. */
const LOOK = 2_000;

export class Messages {
  readonly #http: Http;
  readonly #watching: Watching;

  /** @internal */
  constructor(http: Http, watching: Watching) {
    this.#http = http;
    this.#watching = watching;
  }

  /** Writes a message. Who is to answer does so on its own; see `ask` and `subscribe`. */
  async send(message: NewMessage, options?: CallOptions): Promise<Message> {
    return await this.#http.send({ method: "POST", path: PATH, body: message, headers: WRITTEN, options });
  }

  /** Messages, newest first. Await it for one page, iterate over it for all. */
  list(
    conversation: Conversation,
    { limit = DEFAULT_LIMIT, offset, ...options }: Paging = {},
  ): PageList<Message[], Message> {
    return rowList((query) => this.#http.send<Message[]>({ method: "GET", path: PATH, query, options }), {
      ...rowsOf(conversation),
      limit,
      offset,
    });
  }

  /**
   * What an answer was made of: calls of models and tools with their times, tokens and errors, oldest first. Kept for 30 days.
   * @param messageId the answer's id, or its question's (then the steps of all answers to it)
   */
  async steps(messageId: string, options?: CallOptions): Promise<AnswerStep[]> {
    const read = (filter: string) => {
      const query = { message_id: filter, order: "started_at,index", limit: MOST_STEPS };
      return this.#http.send<AnswerStep[]>({ method: "GET", path: STEPS, query, options });
    };
    const own = await read(`eq.${idOf("messageId", messageId)}`);
    if (own.length > 0) return own;
    const query = { reply_to: `eq.${messageId}`, sender_kind: "eq.agent", select: "id", limit: 100 };
    const answers = await this.#http.send<{ id: string }[]>({ method: "GET", path: PATH, query, options });
    return answers.length === 0 ? [] : await read(`in.(${answers.map(({ id }) => id).join(",")})`);
  }

  /** Deletes a message. */
  async delete(messageId: string, options?: CallOptions): Promise<void> {
    const query = { id: `eq.${idOf("messageId", messageId)}` };
    await this.#http.send({ method: "DELETE", path: PATH, query, headers: WRITTEN, options });
  }

  /**
   * Asks an agent and waits for its answer.
   * @returns the answer; its `conversation_id` continues the conversation
   * @throws AgentLaunchpadError ANSWER_FAILED when the agent could not answer (`details.code` says why), TIMEOUT
   */
  async ask(agentId: string, content: string, options: AskOptions = {}): Promise<Message> {
    const { conversationId, onText, answerTimeout = ANSWER_TIMEOUT, signal } = options;
    signal?.throwIfAborted();
    const listening = deferred<void>();
    const early: ReplyProgress[] = [];
    let questionId: string | undefined;
    let restarted = false;
    let look = deferred<void>();
    const take = (reply: ReplyProgress) => {
      if (questionId === undefined) early.push(reply);
      if (reply.replyTo !== questionId) return;
      if (reply.event === "retried") restarted = true;
      else if (reply.event === "finished" || reply.event === "failed") look.resolve();
      else if (reply.event === "delta") {
        const again = restarted;
        restarted = false;
        try {
          onText?.(reply.text ?? "", again);
        } catch (error) {
          // The answer goes on: the pieces are a preview of it.
          console.error("@agent-launchpad/sdk: onText threw", error);
        }
      }
    };
    const stop = this.#watching.broadcasts(
      `agent:${idOf("agentId", agentId)}`,
      (broadcast) => withReply(broadcast, take),
      listening.resolve,
    );
    const deadline = Date.now() + answerTimeout;
    try {
      await within(listening.promise, LISTENING, signal);
      const body = defined({ to_agent_id: agentId, conversation_id: conversationId, content });
      const question = await this.#http.send<Message>({
        method: "POST",
        path: PATH,
        body,
        headers: WRITTEN,
        options,
      });
      questionId = question.id;
      early.splice(0).forEach(take);
      while (Date.now() < deadline) {
        await within(look.promise, Math.min(LOOK, deadline - Date.now()), signal);
        look = deferred();
        const answer = await this.#answerTo(questionId, options);
        if (answer !== undefined) return answer;
      }
      throw new AgentLaunchpadError({
        code: "TIMEOUT",
        message: `Agent '${agentId}' did not answer within ${answerTimeout / 1000} s`,
        details: { messageId: questionId },
      });
    } finally {
      stop();
    }
  }

  /**
   * Calls back with every new message of a conversation, and with the answers on their way. Messages come across lost
   * connections, each once; pieces of an answer that pass meanwhile do not.
   * @returns ends the subscription
   */
  subscribe(
    conversation: { swarmId: string } | { agentId: string },
    callback: (update: MessageUpdate) => void,
    options: MessagesSubscribeOptions = {},
  ): Unsubscribe {
    const ofSwarm = "swarmId" in conversation;
    const topic = ofSwarm ? `swarm:${conversation.swarmId}` : `agent:${conversation.agentId}`;
    const filters = ofSwarm
      ? [`swarm_id=eq.${conversation.swarmId}`]
      : [`to_agent_id=eq.${conversation.agentId}`, `agent_id=eq.${conversation.agentId}`];
    const stopMessages = this.#watching.messages(
      rowsOf(conversation),
      filters,
      (message) => {
        // What an agent says in swarms is heard there.
        if (ofSwarm || message.swarm_id === null) callback({ type: "message", message });
      },
      callback,
      options,
    );
    const stopReplies = this.#watching.broadcasts(topic, (broadcast) =>
      withReply(broadcast, (reply) => callback({ type: "reply", reply })),
    );
    const stop = () => {
      options.signal?.removeEventListener("abort", stop);
      stopMessages();
      stopReplies();
    };
    options.signal?.addEventListener("abort", stop, { once: true });
    if (options.signal?.aborted) stop();
    return stop;
  }

  async #answerTo(questionId: string, options: CallOptions): Promise<Message | undefined> {
    const query = { reply_to: `eq.${questionId}`, sender_kind: "eq.agent", limit: 1 };
    const [answer] = await this.#http.send<Message[]>({ method: "GET", path: PATH, query, options });
    if (answer?.status !== "error") return answer;
    throw new AgentLaunchpadError({
      code: "ANSWER_FAILED",
      message: answer.error?.message ?? "The agent could not answer",
      details: { code: answer.error?.code, messageId: answer.id },
    });
  }
}

/** Waits for something, at most so long; leaves no timer. */
async function within(promise: Promise<void>, milliseconds: number, signal?: AbortSignal): Promise<void> {
  const waiting = new AbortController();
  const abort = () => waiting.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([promise, sleep(milliseconds, waiting.signal)]);
  } finally {
    signal?.removeEventListener("abort", abort);
    waiting.abort();
  }
}

function rowsOf(conversation: Conversation): Record<string, string> {
  if ("swarmId" in conversation) return { swarm_id: `eq.${idOf("swarmId", conversation.swarmId)}` };
  if ("conversationId" in conversation) {
    return { conversation_id: `eq.${idOf("conversationId", conversation.conversationId)}` };
  }
  const { agentId } = conversation;
  if (!/^[a-z0-9-]+$/.test(agentId)) throw invalid("agentId", "Must be the id of an agent");
  return { or: `(to_agent_id.eq.${agentId},and(agent_id.eq.${agentId},swarm_id.is.null))` };
}

function withReply({ event, payload }: Broadcast, take: (reply: ReplyProgress) => void): void {
  if (!event.startsWith("reply.")) return;
  take({ ...payload, event: event.slice("reply.".length) } as ReplyProgress);
}
