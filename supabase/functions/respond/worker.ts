/** Takes waiting answers in batches and makes them, several at a time, until none waits. */
import type { Piece } from "../../../packages/agent-runtime/src/abilities/knowledge.ts";
import type { Step } from "../../../packages/agent-runtime/src/abilities/steps.ts";
import { isFinal } from "../../../packages/agent-runtime/src/engines/model/completion.ts";
import { AgentError } from "../../../packages/agent-runtime/src/errors.ts";
import { ClaimedWork } from "../_shared/claimed-work.ts";
import { createEmbed, type Embed, embeddingFailure, questionText } from "../_shared/embeddings.ts";
import { type AnswerContext, AttemptError, answerByModel, unused } from "./answer.ts";
import type { Database, Failure, Meaning } from "./database.ts";
import { Progress } from "./progress.ts";
import { answerByRuntime } from "./runtime.ts";
import type { Settings } from "./settings.ts";
import type { Answer, Task } from "./task.ts";

/** Failures that another attempt may not meet. */
const RETRYABLE = new Set([
  "MODEL_RATE_LIMITED",
  "MODEL_UNAVAILABLE",
  "MODEL_TIMEOUT",
  "MODEL_BAD_RESPONSE",
  "AGENT_BUSY",
  "AGENT_STOPPING",
  "INTERNAL_ERROR",
  "BUDGET_EXHAUSTED",
  "SUPABASE_CONNECTION_ERROR",
]);
/** A limit that only calls under way stand at opens soon. */
const SOON_SECONDS = 60;
/** A wait longer than this is left to the database's sweep. */
const MAX_OWN_WAIT_SECONDS = 30;
/** How long an answer waits for its question's vector. */
const EMBEDDING_MS = 2_500;
/** As many as one claim takes. */
const MAX_CLAIM = 50;
/** The database gives one user no more places than this while others wait (`answering_limit('places_shared')`). */
const SHARED_PLACES = 4;

export type Log = (
  level: "INFO" | "WARN" | "ERROR",
  message: string,
  facts?: Record<string, unknown>,
) => void;

export class Worker {
  readonly #settings: Settings;
  readonly #database: Database;
  readonly #log: Log;
  readonly #embed: Embed;
  readonly #work = new ClaimedWork(() => this.#claim());
  /** Answers under way, by user. */
  readonly #places = new Map<string, number>();
  /** More may wait than there was room for. */
  #crowded = false;

  constructor(settings: Settings, database: Database, log: Log) {
    this.#settings = settings;
    this.#database = database;
    this.#log = log;
    this.#embed = createEmbed(settings.embedding);
  }

  /** Looks for work; returns when all it found, here or meanwhile, is done. Never throws. */
  async wake(): Promise<void> {
    await this.#work.wake();
  }

  async #claim(): Promise<boolean> {
    const free = this.#settings.concurrency - this.#work.size;
    if (free <= 0) {
      this.#crowded = true; // whoever ends looks again
      return false;
    }
    try {
      const most = Math.min(free, MAX_CLAIM);
      const tasks = await this.#database.claim(most);
      for (const task of tasks) this.#start(task);
      return this.#mayWait(tasks.length, most);
    } catch (error) {
      this.#log("ERROR", "Answers cannot be claimed", { cause: String(error) });
      return false;
    }
  }

  /**
   * Whether another claim may find more. Usually one message comes alone, and a claim in vain would stand in the way of its answer:
   * more can wait behind a full claim, or where a user had as many places as there are while others waited, who may be served now.
   */
  #mayWait(claimed: number, most: number): boolean {
    return (
      claimed === most || (claimed > 0 && [...this.#places.values()].some((held) => held >= SHARED_PLACES))
    );
  }

  #start(task: Task): void {
    this.#places.set(task.userId, (this.#places.get(task.userId) ?? 0) + 1);
    this.#work.start(this.#answer(task), () => {
      const hadMany = this.#release(task.userId) >= SHARED_PLACES;
      // More of this user may wait, passed over by the last claim.
      if (!this.#crowded && !hadMany) return;
      this.#crowded = false;
      void this.wake();
    });
  }

  /** Gives back a place; returns how many the user had. */
  #release(userId: string): number {
    const places = this.#places.get(userId) ?? 1;
    if (places > 1) this.#places.set(userId, places - 1);
    else this.#places.delete(userId);
    return places;
  }

  async #answer(task: Task): Promise<void> {
    const started = performance.now();
    const facts = { jobId: task.jobId, agentId: task.agent.id, attempt: task.attempt, turn: task.turn };
    const progress = new Progress(this.#database, task);
    let settled: Answer["settled"] = [];
    try {
      const answer = await this.#attempt(task, progress, facts);
      ({ settled } = answer);
      await progress.close();
      await this.#database.finish(task, { ...answer, steps: progress.takeSteps() });
      const { inputTokens, outputTokens } = answer;
      const milliseconds = Math.round(performance.now() - started);
      this.#log("INFO", "Answered", { ...facts, milliseconds, inputTokens, outputTokens });
    } catch (error) {
      await progress.close();
      if (progress.lost.aborted) {
        this.#log("WARN", "The lease was lost; somebody else answers", facts);
        return;
      }
      await this.#fail(task, error, settled, progress.takeSteps(), facts);
    }
  }

  async #attempt(task: Task, progress: Progress, facts: Record<string, unknown>): Promise<Answer> {
    const knowledge = task.knowledge ? await this.#retrieve(task) : [];
    const context: AnswerContext = {
      knowledge,
      settings: this.#settings,
      database: this.#database,
      signal: progress.lost,
      say: (text) => progress.say(text),
      note: (step) => progress.note(step),
      warn: (message) => this.#log("WARN", message, facts),
    };
    return task.url ? answerByRuntime(task, context) : answerByModel(task, context);
  }

  /** An answer without its knowledge would be made up, so that it waits. */
  async #retrieve(task: Task): Promise<readonly Piece[]> {
    try {
      return await this.#database.retrieve(task, await this.#meaning(task));
    } catch (cause) {
      const message = "The agent's knowledge cannot be read now.";
      throw new AttemptError(new AgentError("SUPABASE_CONNECTION_ERROR", message, { cause }), unused(task));
    }
  }

  /** The question's vector. Without one, words find the knowledge, and the answer's step says so. */
  async #meaning(task: Task): Promise<Meaning | undefined> {
    if (!task.embedding) return undefined;
    const asked = task.messages.findLastIndex(({ id }) => id === task.question);
    const question = task.messages[asked];
    if (question === undefined) return undefined;
    const before = task.messages.slice(0, asked).findLast(({ role }) => role === "user")?.content;
    try {
      const text = questionText(question.content, before);
      const [embedding = []] = await this.#embed(task.embedding, [text], "question", EMBEDDING_MS);
      return { embedding };
    } catch (error) {
      this.#log("WARN", "The question could not be embedded", {
        jobId: task.jobId,
        cause: String(error).slice(0, 500),
      });
      return { unembedded: embeddingFailure(error) };
    }
  }

  async #fail(
    task: Task,
    error: unknown,
    settled: Answer["settled"],
    steps: readonly Step[],
    facts: Record<string, unknown>,
  ): Promise<void> {
    const failure = { ...describeFailure(error, settled), steps };
    const cause = error instanceof AttemptError ? error.failure.cause : error;
    this.#log("WARN", failure.message, {
      ...facts,
      code: failure.code,
      cause: String(cause ?? "").slice(0, 500),
    });
    try {
      const wait = await this.#database.fail(task, failure);
      if (wait !== undefined && wait <= MAX_OWN_WAIT_SECONDS) {
        setTimeout(() => void this.wake(), wait * 1000 + 20);
      }
    } catch (unreachable) {
      // The lease ends on its own, and the sweep finds the job.
      this.#log("ERROR", "A failure could not be reported", { ...facts, cause: String(unreachable) });
    }
  }
}

function describeFailure(error: unknown, settled: Answer["settled"]): Failure {
  if (!(error instanceof AttemptError)) {
    return { code: "INTERNAL_ERROR", message: "The agent failed to answer.", retryable: true, settled };
  }
  const { code, message, retryAfterSeconds, details } = error.failure;
  return {
    code,
    message,
    ...(details?.said !== undefined && { content: details.said }),
    retryable:
      !isFinal(error.failure) &&
      (RETRYABLE.has(code) ||
        (code === "RESOURCE_LIMIT_EXCEEDED" && (retryAfterSeconds ?? SOON_SECONDS + 1) <= SOON_SECONDS)),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    inputTokens: error.inputTokens,
    outputTokens: error.outputTokens,
    settled: error.settled,
  };
}
