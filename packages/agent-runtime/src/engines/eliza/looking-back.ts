// Lets a reply go out before elizaOS looks back on it: its evaluators (reflection, those of plugins) work behind the answer, one
// message of a conversation at a time.
import { AsyncLocalStorage } from "node:async_hooks";
import type { Meter, Occasion } from "../../meter.ts";
import { Turns } from "../conversation-queue.ts";
import type { Outcome } from "./silence.ts";
import type { ElizaMemory, ElizaRuntime } from "./types.ts";

const lookingBack = new AsyncLocalStorage<true>();

/** Whether the work under way looks back on a message, so that the answer does not wait for it. */
export const isLookingBack = (): boolean => lookingBack.getStore() === true;

export interface LookingBack {
  /**
   * Runs elizaOS's work on a message until all is said.
   * @param occasion what the calls of evaluators count to
   * @param work resolves when the evaluators are done, too
   */
  behind(message: ElizaMemory, occasion: Occasion, work: () => Promise<Outcome>): Promise<Outcome>;
  /** Resolves when no evaluator is at work. */
  end(): Promise<void>;
}

/** Takes the place of the runtime's own beginning of its evaluators. */
export function createLookingBack(runtime: ElizaRuntime, meter: Meter): LookingBack {
  const answers = new Map<ElizaMemory, { said: (outcome: Outcome) => void; occasion: Occasion }>();
  const rooms = new Turns();
  const working = new Set<Promise<unknown>>();
  const evaluate = runtime.evaluate.bind(runtime);

  runtime.evaluate = async (message, state, didRespond, callback, responses) => {
    const answer = answers.get(message);
    // Messages that a platform's plugin brought.
    if (answer === undefined) return evaluate(message, state, didRespond, callback, responses);
    answer.said({ didRespond, content: responses[0]?.content ?? null });
    return rooms.run(message.roomId, () =>
      lookingBack.run(true, () =>
        meter.run(answer.occasion, () => evaluate(message, state, didRespond, callback, responses)),
      ),
    );
  };

  return {
    async behind(message, occasion, work) {
      const said = Promise.withResolvers<Outcome>();
      answers.set(message, { said: said.resolve, occasion });
      const whole = work().finally(() => {
        answers.delete(message);
        working.delete(whole);
      });
      working.add(whole);
      // What fails behind an answer costs nothing of it; elizaOS's own evaluators log what they met.
      whole.catch(() => undefined);
      return Promise.race([said.promise, whole]);
    },
    async end() {
      await Promise.allSettled(working);
    },
  };
}
