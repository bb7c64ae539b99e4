// Why elizaOS says nothing: silence is an answer, and it comes with its reason.
import type { ElizaContent, ElizaRuntime } from "./types.ts";

/** What came of one message, besides what was said. */
export interface Outcome {
  readonly didRespond: boolean;
  readonly content: ElizaContent | null;
}

/** Actions that promise a text: without one the model's answer is not whole. */
const SPEAKING = /^reply$/i;

/**
 * The sentence that stands in for an answer.
 * @returns undefined where the silence is none: the model's answer has not elizaOS's form
 */
export async function reasonOfSilence(
  runtime: ElizaRuntime,
  roomId: string,
  { didRespond, content }: Outcome,
): Promise<string | undefined> {
  if (content === null && !didRespond) {
    if ((await runtime.getParticipantUserState(roomId, runtime.agentId)) === "MUTED") {
      const { name } = runtime.character;
      return `The agent muted this conversation. To be heard, write its name: "${name}, unmute this conversation".`;
    }
    if (String(runtime.getSetting("BOOTSTRAP_DEFLLMOFF")) === "true") {
      return "The agent stays silent because its setting BOOTSTRAP_DEFLLMOFF is on; turn it off to get answers.";
    }
    return "The agent chose not to answer.";
  }
  const actions = content?.actions ?? [];
  if (actions.length === 0 || actions.every((action) => SPEAKING.test(action))) return undefined;
  return "The agent chose not to answer.";
}
