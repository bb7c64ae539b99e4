// The message that elizaOS is at work on: what it said, which action began, whether anybody still waits for it.
import { AsyncLocalStorage } from "node:async_hooks";
import { redactText } from "../../abilities/redact.ts";
import { AgentError, describe } from "../../errors.ts";
import { Acting } from "../acting.ts";
import type { Listener } from "../engine.ts";
import { finalFailure } from "../model/completion.ts";

/** An action that began: what it did outside cannot be taken back. */
export interface Begun {
  readonly name: string;
  /** The package that brings it; undefined for the agent's own tools, and where no package says that it does. */
  readonly plugin: string | undefined;
  status: "running" | "done" | "failed";
}

/** What a caller reads of a plugin's words. */
const MAX_CAUSE = 300;

const messages = new AsyncLocalStorage<Underway>();

/** One message, from its beginning until the work on it ends. */
export class Underway {
  readonly texts: string[] = [];
  readonly usage = { inputTokens: 0, outputTokens: 0 };
  /** Whether a provider reported what its calls used. */
  isCounted = false;
  /** Whether a call's usage is unknown, so that a sum would be too small. */
  isPartlyUnknown = false;
  /** Providers' models that answered, the last one last. */
  model: string | undefined;
  /** Nobody waits any longer: no further action and no further call of a model begins. */
  isGivenUp = false;
  /** The answer is out: what follows is elizaOS's own work on it. */
  isAnswered = false;
  /** How many messages it began beside its answer. */
  begun = 0;
  /** The id of the answer's message. */
  readonly answerId: string | undefined;
  readonly #actions: Begun[] = [];
  readonly #listener: Listener | undefined;
  readonly #acting: Acting;

  constructor(listener: Listener | undefined, acting = new Acting(), answerId?: string) {
    this.answerId = answerId;
    this.#listener = listener;
    this.#acting = acting;
  }

  /** The message whose work this is; undefined for what elizaOS or a plugin begins itself. */
  static get current(): Underway | undefined {
    return messages.getStore();
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return messages.run(this, work);
  }

  /** @throws AgentError once the caller has stopped waiting */
  requireWaiting(): void {
    if (this.isGivenUp && !this.isAnswered) throw new AgentError("REQUEST_TIMEOUT", "The message is over.");
  }

  /**
   * Notes that an action begins, where the platform lets it. Call the returned function at its end.
   * @throws AgentError where an earlier attempt at the message acted
   */
  async begin(
    name: string,
    plugin: string | undefined,
  ): Promise<(status: "done" | "failed", hasThrown?: boolean) => void> {
    try {
      await this.#acting.begin();
    } catch (error) {
      this.isGivenUp = true;
      throw error;
    }
    const begun: Begun = { name, plugin, status: "running" };
    const started = performance.now();
    this.#actions.push(begun);
    this.#listener?.tool({ name, status: "started", milliseconds: 0 });
    return (status, hasThrown = status === "failed") => {
      begun.status = hasThrown ? "failed" : "done";
      const milliseconds = Math.round(performance.now() - started);
      if (!this.isGivenUp)
        this.#listener?.tool({ name, status: status === "done" ? "completed" : "failed", milliseconds });
    };
  }

  say(text: string): void {
    // elizaOS says whole texts, each when it is ready.
    this.#listener?.delta(this.texts.length === 0 ? text : `\n\n${text}`);
    this.texts.push(text);
  }

  /** The plugin whose action is running. */
  get plugin(): string | undefined {
    return this.#actions.findLast(({ status }) => status === "running")?.plugin;
  }

  /** Whether an action began. */
  get hasActed(): boolean {
    return this.#actions.length > 0;
  }

  /**
   * How a failure reads: final as soon as an action began, since another attempt would do it again.
   * @param isOwner whether the owner reads it: a plugin's own words may be meant for the owner alone
   */
  explain(failure: AgentError, cause: unknown, isOwner: boolean, secrets: readonly string[]): AgentError {
    if (this.#acting.refusal !== undefined && !this.hasActed) return this.#acting.refusal;
    const last = this.#actions.find(({ status }) => status !== "done") ?? this.#actions.at(-1);
    if (last === undefined) return failure;
    const name = `The action ${last.name}${last.plugin === undefined ? "" : ` of ${last.plugin}`}`;
    const facts = {
      action: last.name,
      ...(last.plugin !== undefined && { plugin: last.plugin }),
      ...(this.texts.length > 0 && { said: this.texts.join("\n\n") }),
    };
    const end = "It may have taken effect, so the message is not tried again.";
    if (last.status === "running") {
      return finalFailure("ACTION_TIMEOUT", `${name} did not finish in time. ${end}`, facts, cause);
    }
    if (last.status === "failed") {
      const words = redactText(describe(cause), secrets).slice(0, MAX_CAUSE).trim();
      const why = isOwner && words !== "" ? `: ${words.replace(/\.$/, "")}` : "";
      return finalFailure("ACTION_FAILED", `${name} failed${why}. ${end}`, facts, cause);
    }
    const message = `${failure.message} ${name} ran before, so the message is not tried again.`;
    return finalFailure(failure.code, message, { ...failure.details, ...facts }, failure.cause);
  }
}
