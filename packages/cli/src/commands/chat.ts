// The command `launchpad chat`.

import { createInterface } from "node:readline/promises";
import type { AgentLaunchpadClient, Message } from "@agent-launchpad/sdk";
import { say } from "../agent-http.ts";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import type { Outcome } from "../exit-codes.ts";
import { explain } from "../explain.ts";
import { canAsk } from "../input/prompt.ts";
import { readStdin } from "../input/stdin.ts";
import type { Look } from "../output/output.ts";
import { oneLine, printable } from "../output/text.ts";
import { errorText } from "../run.ts";

interface Options {
  conversation?: string;
  timeout: number;
}

interface Answer {
  reply: string;
  /** Why there is no text. */
  silence: string | null;
  conversationId: string | null;
  model: string | null;
  /** What `launchpad trace` takes. */
  messageId: string | null;
}

/** Says something to the agent; tells pieces of the answer as they come, where the way there can. */
type Say = (
  text: string,
  conversation: string | undefined,
  onText: (piece: string) => void,
) => Promise<Answer>;

/** `launchpad chat` */
export async function run(
  context: Context,
  [agent, ...words]: readonly string[],
  options: Options,
): Promise<Outcome> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const { name, url, status } = await client.agents.getStatus(agentId, { signal: context.signal });
  const named = agent !== undefined && /^[\w.-]+$/.test(agent) ? agent : agentId;
  const serves = url !== null && !["STOPPED", "STOPPING", "FAILED"].includes(status);
  const stored = await isStored(client, agentId, options.conversation);
  const speak =
    serves && !stored ? atUrl(context, url, named, options) : byMessages(context, agentId, named, options);
  if (words.length > 0 || !canAsk()) {
    const text = words.length > 0 ? words.join(" ") : await readStdin();
    if (text.trim() === "")
      throw new CliError("usage", "Say something: `launchpad chat <agent> <message>`.", { code: "USAGE" });
    await tellAnswer(context, text, options.conversation, speak, "");
    return "ok";
  }
  return await converse(context, { id: agentId, name: oneLine(name), stored }, options.conversation, speak);
}

/** Whether a conversation is one of messages: the agent's own address would begin another one under its id. */
async function isStored(
  client: AgentLaunchpadClient,
  agentId: string,
  id: string | undefined,
): Promise<boolean> {
  if (id === undefined || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) return false;
  const messages = await client.messages.list({ conversationId: id });
  return messages.some(({ to_agent_id, agent_id }) => to_agent_id === agentId || agent_id === agentId);
}

/**
 * Listens to what the agent says without being asked: messages that answer none.
 * @returns ends it
 */
export function hearBegun(
  { messages }: { readonly messages: Pick<AgentLaunchpadClient["messages"], "subscribe"> },
  agentId: string,
  onMessage: (message: Message) => void,
): () => void {
  return messages.subscribe({ agentId }, (update) => {
    if (update.type !== "message") return;
    const { sender_kind, root_id } = update.message;
    if (sender_kind === "agent" && root_id === null) onMessage(update.message);
  });
}

/** A deployed agent answers at its own address. */
function atUrl(context: Context, url: string, agent: string, { timeout }: Options): Say {
  const { signal } = context;
  return async (text, conversationId) => {
    const { supabase } = await context.session();
    const { data } = await supabase.auth.getSession();
    const token = data.session?.access_token ?? "";
    const {
      reply,
      conversationId: id,
      messageId,
      model,
      silence,
    } = await say(url, token, { text, conversationId }, { signal, timeout, agent });
    return {
      reply,
      conversationId: id,
      model: model ?? null,
      messageId: messageId ?? null,
      silence: silence ?? null,
    };
  };
}

/** A definition answers messages. */
function byMessages(context: Context, agentId: string, agent: string, { timeout }: Options): Say {
  return async (text, conversationId, onText) => {
    const { client } = await context.session();
    const { id, content, conversation_id, model, silence } = await client.messages
      .ask(agentId, text, {
        signal: context.signal,
        answerTimeout: timeout * 1000,
        ...(conversationId === undefined ? {} : { conversationId }),
        onText: (piece, restarted) => onText(restarted ? `\n${piece}` : piece),
      })
      .catch((error: unknown) => {
        throw explain(error, { ...context.place, agent });
      });
    return {
      reply: content,
      conversationId: conversation_id,
      model,
      messageId: id,
      silence: silence ?? null,
    };
  };
}

/** An answer for people: its text, or in brackets why there is none. Pure. */
export const answerText = (
  { reply, silence }: Pick<Answer, "reply" | "silence">,
  { paint }: Pick<Look, "paint">,
): string => (silence === null ? printable(reply) : paint("dim", `(${oneLine(silence)})`));

/** Says one thing and prints the answer, piece by piece where it comes so and a person reads. */
async function tellAnswer(
  context: Context,
  text: string,
  conversation: string | undefined,
  speak: Say,
  prefix: string,
): Promise<string | undefined> {
  const { out } = context;
  let streamed = false;
  out.progress("…");
  const answer = await speak(text, conversation, (piece) => {
    if (out.json || out.look.columns === undefined) return;
    out.item(undefined, () => (streamed ? "" : prefix) + printable(piece));
    streamed = true;
  });
  out.item(answer, () => (streamed ? "\n" : `${prefix}${answerText(answer, out.look)}\n`));
  return answer.conversationId ?? conversation;
}

/** A conversation on a terminal, until Ctrl-C, Ctrl-D or `/exit`. */
async function converse(
  context: Context,
  { id, name, stored }: { id: string; name: string; stored: boolean },
  first: string | undefined,
  speak: Say,
): Promise<Outcome> {
  const { out, signal } = context;
  out.note(`Chatting with ${name}. Press Ctrl-D to leave.`);
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    prompt: out.errPaint("bold", "you> "),
  });
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  signal.addEventListener("abort", () => lines.close(), { once: true });
  let conversation = first;
  const { client } = await context.session();
  const deafen = stored
    ? hearBegun(client, id, (message) => {
        if (message.conversation_id !== conversation) return;
        const { content } = message;
        out.item({ begun: content }, ({ paint }) => `\n${paint("bold", `${name}> `)}${printable(content)}\n`);
        lines.prompt(true);
      })
    : () => undefined;
  lines.prompt();
  for await (const line of lines) {
    const text = line.trim();
    if (text === "/exit") break;
    if (text !== "") {
      try {
        conversation = await tellAnswer(
          context,
          text,
          conversation,
          speak,
          out.look.paint("bold", `${name}> `),
        );
      } catch (error) {
        if (signal.aborted) break;
        const explained = explain(error, context.place);
        out.error(errorText(explained, out)); // the conversation goes on: the next message may be answered
      }
    }
    lines.prompt();
  }
  deafen();
  lines.close();
  return signal.aborted ? "interrupted" : "ok";
}
