// Messages that an agent begins itself, on their way to the project: sent under an id until the project has them or refuses, so that
// each becomes one message however often it is sent.
import { setTimeout as wait } from "node:timers/promises";
import type { Credential } from "../credential.ts";
import { type Project, ProjectRefusal, ProjectUnavailable } from "../project.ts";

/** How long a message is tried; who began it waits meanwhile. */
const TRY_MS = 30_000;
const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = 5_000;

/** A message without a question. */
export interface BegunMessage {
  /** The same message has the same id, also after a restart. */
  readonly id: string;
  /** Of a conversation with the agent, or of one of its swarms. */
  readonly conversationId: string;
  readonly text: string;
  /** Whether code that runs in every replica begins it; then the one that holds the agent's platforms sends it. */
  readonly byService: boolean;
}

/**
 * Appends a message to a conversation.
 * @returns the id of the stored message; undefined where another replica sends it
 * @throws ProjectRefusal, in words for whoever began it; ProjectUnavailable where it may or may not be stored
 */
export type Begin = (message: BegunMessage, signal: AbortSignal) => Promise<string | undefined>;

export interface BeginOptions {
  readonly agentId: string;
  readonly replica: string;
  readonly project: Project | undefined;
  readonly credential: Credential | undefined;
  readonly tryMs?: number;
}

/** Makes the function that sends the messages of one runtime. */
export function createBegin({ agentId, replica, project, credential, tryMs = TRY_MS }: BeginOptions): Begin {
  return async ({ id, conversationId, text, byService }, signal) => {
    if (project === undefined || credential === undefined) {
      throw new ProjectUnavailable("This agent has no project that keeps conversations.");
    }
    const args = {
      agent_id: agentId,
      credential: credential(),
      id,
      conversation_id: conversationId,
      content: text,
      replica,
      by_service: byService,
    };
    const until = performance.now() + tryMs;
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(MOST_WAIT_MS, waitMs * 2)) {
      try {
        const { messageId } = await project.call<{ messageId: string | null }>(
          "runtime_begin_message",
          args,
          { signal },
        );
        return messageId ?? undefined;
      } catch (error) {
        if (!mayPass(error) || performance.now() + waitMs > until) throw error;
        await wait(waitMs, undefined, { signal });
      }
    }
  };
}

/** Whether the same call may succeed soon: the project is down, or busy with other calls. Its own limits are a refusal. */
const mayPass = (error: unknown): boolean =>
  error instanceof ProjectUnavailable ||
  (error instanceof ProjectRefusal && error.status === 429 && error.details?.limit_type === undefined);
