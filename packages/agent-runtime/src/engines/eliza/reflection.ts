// elizaOS's reflection: a second call of the model that looks back on the conversation. Its own test whether enough was said
// since the last one counts what was said before it (1.7), so that it runs for nearly every message; this one counts what is new.
import type { ElizaEvaluator, ElizaMemory, ElizaRuntime } from "./types.ts";

const REFLECTION = "REFLECTION";

/** Watches what plugins register from now on. */
export function paceReflection(runtime: ElizaRuntime, isOff: boolean): void {
  const register = runtime.registerEvaluator.bind(runtime);
  runtime.registerEvaluator = (evaluator) => {
    if (evaluator.name !== REFLECTION) return register(evaluator);
    if (isOff) return;
    const key = (roomId: string) => `${roomId}-reflection-last-processed`;
    const validate: ElizaEvaluator["validate"] = async (_runtime, message) => {
      const most = runtime.getConversationLength();
      const last = await runtime.getCache<string>(key(message.roomId));
      const said = await runtime.getMemories({
        tableName: "messages",
        roomId: message.roomId,
        count: most,
      });
      return newSince(said, last) > Math.ceil(most / 4);
    };
    const handler: ElizaEvaluator["handler"] = async (...given) => {
      try {
        return await evaluator.handler(...given);
      } finally {
        // Also where the model's answer had not the wanted form: it is not asked for after every message.
        await runtime.setCache(key(given[1].roomId), given[1].id);
      }
    };
    register({ ...evaluator, validate, handler });
  };
}

/** How many messages came after the last one that was looked at. Pure. */
export function newSince(said: readonly ElizaMemory[], last: string | undefined): number {
  const newestFirst = said.toSorted((a, b) => b.createdAt - a.createdAt);
  const place = newestFirst.findIndex(({ id }) => id === last);
  return place < 0 ? newestFirst.length : place;
}
