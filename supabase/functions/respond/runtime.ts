/** An answer by a deployed agent's own runtime: its POST /message, read as it is made; the same rows. */
import { Buffer } from "node:buffer";
import { createParser } from "eventsource-parser";
import { randomWord } from "../../../packages/agent-runtime/src/abilities/marks.ts";
import { toolsDigest } from "../../../packages/agent-runtime/src/abilities/tools/digest.ts";
import { exchange } from "../../../packages/agent-runtime/src/abilities/tools/exchange.ts";
import { afterActing } from "../../../packages/agent-runtime/src/engines/model/completion.ts";
import type { Warning } from "../../../packages/agent-runtime/src/engines/model/facts.ts";
import { AgentError, type AgentErrorCode } from "../../../packages/agent-runtime/src/errors.ts";
import { messageKey, signed } from "../../../packages/agent-runtime/src/signature.ts";
import { isBlank } from "../_shared/contract/blank.ts";
import { type AnswerContext, AttemptError, MAX_CHARACTERS, unused } from "./answer.ts";
import { composeMessage } from "./prompt.ts";
import type { Answer, Task } from "./task.ts";

/** Of a stream; each delta has some forty bytes around its text. */
const MAX_BYTES = 8 * 1024 * 1024;
/** There are not more settings. */
const MAX_WARNINGS = 20;
const BROKE_OFF = "The agent broke off its answer.";
/** Of the sentence that stands for a text. */
const MAX_SILENCE = 500;
/** With these the runtime says that it has not begun with a message. */
const UNTOUCHED = new Set(["AGENT_BUSY", "AGENT_STOPPING"]);

/**
 * Asks the runtime at the agent's own address, which the controller reported. The conversation goes along, signed, so that
 * any replica can answer, also one that has just started. What the runtime says is the agent's owner's word: it is bounded
 * and checked, and nothing follows from it but this answer.
 * @throws AttemptError
 */
export async function answerByRuntime(task: Task, context: AnswerContext): Promise<Answer> {
  const { settings } = context;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), settings.silenceMs);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), settings.silenceMs);
  };
  const limit = AbortSignal.timeout(settings.answerMs);
  const signal = AbortSignal.any([limit, silence.signal, context.signal]);
  const reader = new AnswerReader(context.say);
  try {
    const status = await ask(task, context, signal, (part, type) => {
      heard();
      return reader.take(part, type);
    });
    return reader.answer(status, task.agent.model);
  } catch (error) {
    if (error instanceof AgentError) {
      const untouched = UNTOUCHED.has(error.code);
      throw new AttemptError(reader.hasActed ? afterActing(error) : error, untouched ? unused(task) : []);
    }
    const [code, message] =
      limit.aborted || silence.signal.aborted
        ? (["MODEL_TIMEOUT", "The agent did not answer in time."] as const)
        : reader.begun
          ? (["MODEL_BAD_RESPONSE", BROKE_OFF] as const)
          : (["MODEL_UNAVAILABLE", "The agent cannot be reached."] as const);
    const failure = new AgentError(code, message, { cause: error });
    throw new AttemptError(
      reader.hasActed ? afterActing(failure) : failure,
      unreached(error) ? unused(task) : [],
    );
  } finally {
    clearTimeout(timer);
  }
}

/** Takes a part of the response's body; true: enough is read. */
type Take = (part: Uint8Array, contentType: string) => boolean;

/** Sends the message. Returns the response's status when its body is read. */
async function ask(task: Task, context: AnswerContext, signal: AbortSignal, take: Take): Promise<number> {
  const url = new URL(`${(task.url ?? "").replace(/\/+$/, "")}/message`);
  const word = randomWord();
  const { text, history, rules } = composeMessage(task, word, context.knowledge);
  const { reservation, conversationId, userId, userName, question } = task;
  const answer = {
    id: task.jobId,
    word,
    ...(question && { question }),
    tools: toolsDigest(task.tools),
    ...(rules !== undefined && { rules }),
    ...(task.begun && { begun: true }),
    ...(context.knowledge.length > 0 && { knowledge: context.knowledge }),
  };
  const body = Buffer.from(
    JSON.stringify({ text, conversationId, userId, userName, reservation, history, answer }),
  );
  const headers = {
    "content-type": "application/json",
    accept: "text/event-stream",
    ...sign(task, context, body),
  };
  const request = { method: "POST", headers, body };
  // The processes cluster's names: not every resolver knows them, and they mean this machine by definition.
  if (!url.hostname.endsWith(".localhost")) return viaFetch(url, request, signal, take);
  const { status } = await exchange(url, "127.0.0.1", request, {
    maxBytes: MAX_BYTES,
    signal,
    onBody: (part, head) => take(part, head.headers["content-type"] ?? ""),
  });
  return status;
}

async function viaFetch(url: URL, request: RequestInit, signal: AbortSignal, take: Take): Promise<number> {
  const response = await fetch(url, { ...request, redirect: "error", signal });
  const type = response.headers.get("content-type") ?? "";
  const parts = response.body?.getReader();
  let bytes = 0;
  for (let enough = false; !enough; ) {
    const read = await parts?.read();
    if (read === undefined || read.done) break;
    bytes += read.value.length;
    if (bytes > MAX_BYTES) throw endless();
    enough = take(read.value, type);
  }
  // Whoever goes on speaking is not listened to.
  await parts?.cancel().catch(() => undefined);
  return response.status;
}

/** Makes an answer of what a runtime sends: events, or one JSON object where it refuses. */
class AnswerReader {
  readonly #say: (text: string) => void;
  readonly #decoder = new TextDecoder();
  readonly #parser = createParser({
    onEvent: ({ event, data }) => this.#event(event, data),
    maxBufferSize: MAX_BYTES,
  });
  /** Whether anything of an answer has come. */
  begun = false;
  /** Whether a tool or an action has begun: what it does outside is done, however the answer ends. */
  hasActed = false;
  #isStream = false;
  #json = "";
  #said = "";
  #last: { event: string; data: Answered } | undefined;

  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  /** Takes a part of the body; true when the last event has come. */
  take(part: Uint8Array, contentType: string): boolean {
    this.begun = true;
    this.#isStream = contentType.startsWith("text/event-stream");
    const text = this.#decoder.decode(part, { stream: true });
    if (this.#isStream) this.#parser.feed(text);
    else this.#json += text;
    return this.#last !== undefined;
  }

  #event(event: string | undefined, text: string): void {
    if (this.#last !== undefined) return;
    const data = parse(text);
    if (event === "done" || event === "error") this.#last = { event, data };
    else if (event === "tool" && data.status === "started") this.hasActed = true;
    else if (event === "delta" && typeof data.text === "string") this.#tell(data.text);
  }

  #tell(text: string): void {
    this.#said += text;
    if (this.#said.length > MAX_CHARACTERS) throw endless();
    this.#say(text);
  }

  /** The whole answer. Throws AgentError. */
  answer(status: number, model: string): Answer {
    if (!this.#isStream) return this.#whole(status, parse(this.#json), model);
    if (this.#last === undefined) throw new AgentError("MODEL_BAD_RESPONSE", BROKE_OFF);
    const { event, data } = this.#last;
    return event === "error" ? this.#whole(500, { error: data }, model) : this.#whole(status, data, model);
  }

  #whole(status: number, answered: Answered, model: string): Answer {
    const { error, reply, usage } = answered;
    const silence = typeof answered.silence === "string" ? answered.silence.trim() : "";
    if (error?.code === "INVALID_API_KEY") {
      // A replica that started before the key was there, or before it changed: it cannot reserve either.
      throw new AgentError(
        "FORBIDDEN",
        "The agent does not accept the platform's signature; restart it to give it the present key.",
      );
    }
    if (status !== 200 || error !== undefined) {
      const code = typeof error?.code === "string" ? error.code : "MODEL_UNAVAILABLE";
      const message = typeof error?.message === "string" ? error.message : `The agent answered ${status}.`;
      // Days may pass until a budget turns; the database asks again every ten minutes.
      const more = code === "BUDGET_EXHAUSTED" ? { retryAfterSeconds: 600 } : {};
      const details = isTexts(error?.details) ? { details: error.details } : {};
      throw new AgentError(code as AgentErrorCode, message, { ...more, ...details });
    }
    if (typeof reply !== "string" || (isBlank(reply) && silence === "")) {
      throw new AgentError("MODEL_BAD_RESPONSE", "The agent answered without a text.");
    }
    if (reply.length > MAX_CHARACTERS) throw endless();
    // The stored answer is what counts; who listens gets what was not streamed of it.
    if (reply.startsWith(this.#said) && reply.length > this.#said.length)
      this.#say(reply.slice(this.#said.length));
    return {
      content: isBlank(reply) ? "" : reply,
      ...(isBlank(reply) && { silence: silence.slice(0, MAX_SILENCE) }),
      model: typeof answered.model === "string" ? answered.model : model,
      ...(usage && {
        inputTokens: Number(usage.inputTokens) || 0,
        outputTokens: Number(usage.outputTokens) || 0,
      }),
      warnings: Array.isArray(answered.warnings)
        ? answered.warnings.filter(isWarning).slice(0, MAX_WARNINGS)
        : [],
      settled: [],
    };
  }
}

interface Answered {
  text?: unknown;
  reply?: unknown;
  silence?: unknown;
  status?: unknown;
  model?: unknown;
  usage?: { inputTokens?: unknown; outputTokens?: unknown };
  warnings?: unknown;
  code?: unknown;
  message?: unknown;
  details?: unknown;
  error?: { code?: unknown; message?: unknown; details?: unknown };
}

/** What is no object is an empty one. */
function parse(text: string): Answered {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

const isTexts = (details: unknown): details is Record<string, string> =>
  typeof details === "object" &&
  details !== null &&
  Object.values(details).every((text) => typeof text === "string");

const isWarning = (value: unknown): value is Warning => {
  const { field, message } = (value ?? {}) as Record<string, unknown>;
  return (
    typeof field === "string" && field.length <= 100 && typeof message === "string" && message.length <= 500
  );
};

const endless = () => new AgentError("MODEL_BAD_RESPONSE", "The agent did not come to an end.");

/** Whether the runtime cannot have seen the message. */
function unreached(error: unknown): boolean {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return code === "ECONNREFUSED" || (cause !== undefined && cause !== error && unreached(cause));
}

function sign(task: Task, { settings }: AnswerContext, bytes: Uint8Array): Record<string, string> {
  const secret = settings.respondSecret;
  return secret === undefined ? {} : signed(messageKey(secret, task.agent.id), bytes, Date.now());
}
