// Whether an answer may act: the platform remembers which attempt at a message acted first, and no other one acts after it.
import { AgentError } from "../errors.ts";
import { afterActing, finalFailure } from "./model/completion.ts";

/** What is said of a message that another attempt acted for. */
export const actedBefore = (): AgentError =>
  finalFailure(
    "ACTION_FAILED",
    "An earlier attempt at this message began to act, and what came of it is not known. It may have taken effect, so the message is not tried again.",
    {},
    undefined,
  );

/** The acts of one attempt at an answer. */
export class Acting {
  readonly #ask: (() => Promise<boolean>) | undefined;
  readonly #over = new AbortController();
  #asked: Promise<void> | undefined;
  #refusal: AgentError | undefined;
  #hasActed = false;

  /** @param ask whether this attempt may act; left out: it may */
  constructor(ask?: () => Promise<boolean>) {
    this.#ask = ask;
  }

  /** Aborts once the answer must not act: it has come to its end. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  get hasActed(): boolean {
    return this.#hasActed;
  }

  /**
   * Must be awaited before each call that may change something outside; the platform is asked before the first.
   * @throws AgentError
   */
  async begin(): Promise<void> {
    this.#asked ??= this.#permit();
    await this.#asked;
    this.#hasActed = true;
  }

  async #permit(): Promise<void> {
    try {
      // The answer may have been lost on its way: asked again it is the same.
      if ((await this.#ask?.().catch(this.#ask)) === false) throw actedBefore();
    } catch (cause) {
      const message = "The platform cannot be asked whether the agent may act now; try again.";
      this.#refusal =
        cause instanceof AgentError
          ? cause
          : new AgentError("SUPABASE_CONNECTION_ERROR", message, { retryAfterSeconds: 5, cause });
      this.#over.abort(this.#refusal);
      throw this.#refusal;
    }
  }

  /** Why the answer must not act; undefined where nothing forbids it. */
  get refusal(): AgentError | undefined {
    return this.#refusal;
  }

  /** How a failure of this answer reads. */
  explain(failure: AgentError): AgentError {
    if (this.#refusal !== undefined && !this.#hasActed) return this.#refusal;
    return this.#hasActed ? afterActing(failure) : failure;
  }
}
