// Reads and checks the body of a message.

import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import { isBlank } from "../../../../supabase/functions/_shared/contract/blank.ts";
import { piecesSchema } from "../abilities/knowledge.ts";
import { randomWord } from "../abilities/marks.ts";
import type { Turn, Wanted } from "../engines/engine.ts";
import { factsSchema } from "../engines/model/facts.ts";
import { AgentError } from "../errors.ts";
import type { Occasion } from "../meter.ts";
import { isGenuine } from "../signature.ts";

export const MAX_BODY_BYTES = 1024 * 1024;
const MAX_DISCARDED_BYTES = 8 * MAX_BODY_BYTES;
/** Longest text of one message: more than any model's useful prompt, less than a body. */
export const MAX_TEXT = 100_000;

/** More than the platform sends: its newest 100 messages up to 48,000 characters, and the marks around others' words. */
export const MAX_HISTORY_TURNS = 200;
export const MAX_HISTORY = 100_000;

const identifier = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces");

const historySchema = z
  .array(
    z.strictObject({
      id: z.string().max(100).optional(),
      role: z.enum(["user", "assistant"]),
      content: z.string().min(1),
    }),
  )
  .max(MAX_HISTORY_TURNS, `must have at most ${MAX_HISTORY_TURNS} turns`)
  .refine(
    (turns) => turns.reduce((sum, { content }) => sum + content.length, 0) <= MAX_HISTORY,
    `must have at most ${MAX_HISTORY} characters`,
  );

/** What the platform reserved for this message (meter.ts). */
const reservationSchema = z.object({
  id: z.uuid(),
  inputTokens: z.int().min(0),
  outputTokens: z.int().min(0),
  facts: factsSchema,
});

/** The answer that the platform wants (engine.ts: Wanted). */
const wantedSchema = z.object({
  id: z.uuid(),
  word: z.string().regex(/^[0-9a-f]{8,32}$/),
  question: z.uuid().optional(),
  rules: z.string().max(20_000).optional(),
  tools: z.string().max(64).optional(),
  knowledge: piecesSchema.optional(),
  begun: z.boolean().optional(),
});

const messageSchema = z.strictObject({
  text: z
    .string()
    .max(MAX_TEXT, `must have at most ${MAX_TEXT} characters`)
    .refine((text) => !isBlank(text), "must not be empty"),
  conversationId: identifier.nullish(),
  userId: identifier.nullish(),
  userName: z.string().trim().min(1).max(100).nullish(),
  history: historySchema.nullish(),
  reservation: reservationSchema.nullish(),
  answer: wantedSchema.nullish(),
});

/** A message as it came; what is left out is undefined. */
export interface Said {
  readonly text: string;
  readonly conversationId: string | undefined;
  readonly userId: string | undefined;
  readonly userName: string | undefined;
  readonly history: readonly Turn[] | undefined;
  readonly answer: Wanted;
  readonly occasion: Occasion;
}

/**
 * Only JSON: a web page of another origin can send any other type without asking the browser first.
 * @throws AgentError UNSUPPORTED_MEDIA_TYPE
 */
export function requireJson(request: IncomingMessage): void {
  const type = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type === "application/json") return;
  throw new AgentError(
    "UNSUPPORTED_MEDIA_TYPE",
    "Send the message as JSON, with Content-Type: application/json.",
  );
}

/** Whether the platform signed these very bytes. */
export function isSigned(request: IncomingMessage, body: Buffer, messageKey: string | undefined): boolean {
  const get = (name: string) => String(request.headers[name] ?? "");
  return messageKey !== undefined && isGenuine(messageKey, { get }, body, Date.now());
}

/**
 * Reads a message.
 * @param ofPlatform whether the platform sent it: words put into the agent's mouth steer it, so only who stores what it
 *   really said may tell a history
 * @throws AgentError VALIDATION_ERROR (with one problem per field), FORBIDDEN
 */
export function parseMessage(bytes: Buffer, ofPlatform: boolean): Said {
  const result = messageSchema.safeParse(parseJson(bytes));
  if (!result.success) {
    const details = Object.fromEntries(result.error.issues.flatMap(toProblems));
    throw new AgentError("VALIDATION_ERROR", "The message is not valid.", { details });
  }
  const { text, conversationId, userId, userName, history, reservation, answer } = result.data;
  for (const [field, value] of Object.entries({ reservation, history, answer })) {
    if (value && !ofPlatform) {
      const message = `${NAMED[field]} is taken from the platform alone, in a call it signed.`;
      throw new AgentError("FORBIDDEN", message, {
        details: { [field]: "needs the platform's signature; leave it out" },
      });
    }
  }
  return {
    text,
    conversationId: conversationId ?? undefined,
    userId: userId ?? undefined,
    userName: userName ?? undefined,
    history: history ?? undefined,
    // An answer that no message keeps has an id all the same: its steps are found under it.
    answer: answer ?? { id: randomUUID(), word: randomWord() },
    occasion: ofPlatform
      ? { source: "message", reservation: reservation ?? undefined }
      : { source: "address" },
  };
}

const NAMED: Readonly<Record<string, string>> = {
  reservation: "A reservation",
  history: "A history",
  answer: "The id of an answer",
};

function toProblems(issue: z.core.$ZodIssue): [string, string][] {
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => [key.slice(0, 100), "is not a known field"]);
  return [[issue.path.join(".") || "body", issue.message]];
}

/**
 * Reads on past the limit, discarding, so that a sender who is only a little over it gets to read the refusal.
 * @throws AgentError PAYLOAD_TOO_LARGE
 */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // The iterator must not destroy the request when the loop ends early: the answer goes over the same socket.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
    if (size > MAX_DISCARDED_BYTES) break;
  }
  if (size <= MAX_BODY_BYTES) return Buffer.concat(chunks);
  throw new AgentError("PAYLOAD_TOO_LARGE", `A body may have at most ${MAX_BODY_BYTES} bytes.`);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new AgentError("VALIDATION_ERROR", "The body is not JSON.", {
      details: { body: "must be a JSON object" },
    });
  }
}
