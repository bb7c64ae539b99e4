/** An answer by a deployed agent's own runtime: its POST /message, the same rows. */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { AgentError, type AgentErrorCode } from "../../../packages/agent-runtime/src/errors.ts";
import { type AnswerContext, AttemptError } from "./answer.ts";
import { newWords } from "./prompt.ts";
import type { Answer, Task } from "./task.ts";
import { exchange } from "./tools/exchange.ts";

const MAX_BYTES = 1024 * 1024;

/**
 * Asks the runtime at the agent's own address, which the controller reported.
 * @throws AttemptError
 */
export async function answerByRuntime(task: Task, context: AnswerContext): Promise<Answer> {
  const url = new URL(`${(task.url ?? "").replace(/\/+$/, "")}/message`);
  // The processes cluster's names: not every resolver knows them, and they mean this machine by definition.
  const local = url.hostname.endsWith(".localhost");
  const limit = AbortSignal.timeout(context.settings.answerMs);
  const request = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: Buffer.from(
      JSON.stringify({
        text: newWords(task, randomBytes(4).toString("hex")),
        conversationId: task.conversationId,
        userId: task.userId,
      }),
    ),
  };
  try {
    const signal = AbortSignal.any([limit, context.signal]);
    const { status, body } = local
      ? await exchange(url, "127.0.0.1", request, { maxBytes: MAX_BYTES, signal })
      : await viaFetch(url, request, signal);
    const answered = parse(body);
    if (status !== 200) {
      const { code = "MODEL_UNAVAILABLE", message = `The agent answered ${status}.` } = answered.error ?? {};
      throw new AgentError(code as AgentErrorCode, message);
    }
    if (typeof answered.reply !== "string" || answered.reply.trim() === "") {
      throw new AgentError("MODEL_BAD_RESPONSE", "The agent answered without a text.");
    }
    context.say(answered.reply);
    return {
      content: answered.reply,
      model: answered.model ?? task.agent.model,
      inputTokens: answered.usage?.inputTokens ?? 0,
      outputTokens: answered.usage?.outputTokens ?? 0,
    };
  } catch (error) {
    if (error instanceof AgentError) throw new AttemptError(error, 0, 0);
    const code = limit.aborted ? "MODEL_TIMEOUT" : "MODEL_UNAVAILABLE";
    const message = limit.aborted ? "The agent did not answer in time." : "The agent cannot be reached.";
    throw new AttemptError(new AgentError(code, message, { cause: error }), 0, 0);
  }
}

interface Answered {
  reply?: unknown;
  model?: string;
  usage?: { inputTokens?: number; outputTokens?: number };
  error?: { code?: string; message?: string };
}

function parse(body: string): Answered {
  try {
    return JSON.parse(body) as Answered;
  } catch {
    return {};
  }
}

async function viaFetch(url: URL, request: RequestInit, signal: AbortSignal) {
  const response = await fetch(url, { ...request, redirect: "error", signal });
  return { status: response.status, body: await response.text() };
}
