/** An answer by a deployed agent's own runtime: its POST /message, the same rows. */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { Warning } from "../../../packages/agent-runtime/src/engines/model/facts.ts";
import { AgentError, type AgentErrorCode } from "../../../packages/agent-runtime/src/errors.ts";
import { messageKey, signed } from "../../../packages/agent-runtime/src/signature.ts";
import { type AnswerContext, AttemptError, unused } from "./answer.ts";
import { composeMessage } from "./prompt.ts";
import type { Answer, Task } from "./task.ts";
import { exchange } from "./tools/exchange.ts";

const MAX_BYTES = 1024 * 1024;
/** With these the runtime says that it has not begun with a message. */
const UNTOUCHED = new Set(["AGENT_BUSY", "AGENT_STOPPING"]);

/**
 * Asks the runtime at the agent's own address, which the controller reported. The conversation goes along, signed, so that
 * any replica can answer, also one that has just started.
 * @throws AttemptError
 */
export async function answerByRuntime(task: Task, context: AnswerContext): Promise<Answer> {
  const url = new URL(`${(task.url ?? "").replace(/\/+$/, "")}/message`);
  // The processes cluster's names: not every resolver knows them, and they mean this machine by definition.
  const local = url.hostname.endsWith(".localhost");
  const limit = AbortSignal.timeout(context.settings.answerMs);
  const signal = AbortSignal.any([limit, context.signal]);
  const ask = async (message: Record<string, unknown>) => {
    const bytes = Buffer.from(JSON.stringify(message));
    const headers = { "content-type": "application/json", ...sign(task, context, bytes) };
    const request = { method: "POST", headers, body: bytes };
    const { status, body } = local
      ? await exchange(url, "127.0.0.1", request, { maxBytes: MAX_BYTES, signal })
      : await viaFetch(url, request, signal);
    return { status, answered: parse(body) };
  };
  const { text, history } = composeMessage(task, randomBytes(4).toString("hex"));
  const { reservation, conversationId, userId } = task;
  const message = { text, conversationId, userId, reservation };
  try {
    const { status, answered } = await ask({ ...message, history });
    if (answered.error?.code === "INVALID_API_KEY") {
      // A replica that started before the key was there, or before it changed: it cannot reserve either.
      throw new AgentError(
        "FORBIDDEN",
        "The agent does not accept the platform's signature; restart it to give it the present key.",
      );
    }
    if (status !== 200) {
      const {
        code = "MODEL_UNAVAILABLE",
        message = `The agent answered ${status}.`,
        details,
      } = answered.error ?? {};
      // Days may pass until a budget turns; the database asks again every ten minutes.
      const more = code === "BUDGET_EXHAUSTED" ? { retryAfterSeconds: 600 } : {};
      throw new AgentError(code as AgentErrorCode, message, { ...more, ...(details && { details }) });
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
      warnings: answered.warnings ?? [],
      settled: [],
    };
  } catch (error) {
    if (error instanceof AgentError) {
      throw new AttemptError(error, UNTOUCHED.has(error.code) ? unused(task) : []);
    }
    const code = limit.aborted ? "MODEL_TIMEOUT" : "MODEL_UNAVAILABLE";
    const message = limit.aborted ? "The agent did not answer in time." : "The agent cannot be reached.";
    throw new AttemptError(
      new AgentError(code, message, { cause: error }),
      unreached(error) ? unused(task) : [],
    );
  }
}

/** Whether the runtime cannot have seen the message. */
function unreached(error: unknown): boolean {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return code === "ECONNREFUSED" || (cause !== undefined && cause !== error && unreached(cause));
}

interface Answered {
  reply?: unknown;
  model?: string;
  usage?: { inputTokens?: number; outputTokens?: number };
  warnings?: Warning[];
  error?: { code?: string; message?: string; details?: Record<string, string> };
}

function sign(task: Task, { settings }: AnswerContext, bytes: Uint8Array): Record<string, string> {
  const secret = settings.respondSecret;
  return secret === undefined ? {} : signed(messageKey(secret, task.agent.id), bytes, Date.now());
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
