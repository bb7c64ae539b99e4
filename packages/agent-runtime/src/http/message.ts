// What a message may be. Loaded by the first one: an agent that waits for messages does without it.

import { randomUUID } from "node:crypto";
import { z } from "zod";
import { isBlank } from "../../../../supabase/functions/_shared/contract/blank.ts";
import { piecesSchema } from "../abilities/knowledge.ts";
import { randomWord } from "../abilities/marks.ts";
import type { Turn, Wanted } from "../engines/engine.ts";
import { factsSchema } from "../engines/model/facts.ts";
import { AgentError } from "../errors.ts";
import type { Occasion } from "../meter.ts";

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
 * Reads a message.
 * @param ofPlatform whether the platform sent it: words put into the agent's mouth steer it, so only who stores what it
 *   really said may send a history
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

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new AgentError("VALIDATION_ERROR", "The body is not JSON.", {
      details: { body: "must be a JSON object" },
    });
  }
}
