// The meter: no call of a model without a reservation by the database, and each is settled with what it used. A message
// may bring the reservation that the platform made for it. Without the database there is no call. Each call of the database
// carries what is known by then: what earlier calls used, and the steps of answers.
import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import type { StepSource } from "./abilities/step-log.ts";
import { credentialOf } from "./credential.ts";
import type { ModelFacts } from "./engines/model/facts.ts";
import { AgentError, type AgentErrorCode } from "./errors.ts";
import { createOutbox } from "./outbox.ts";
import { type Project, ProjectRefusal } from "./project.ts";

/** Through which door a message came; the database keeps the same list. */
export type Source = "message" | "address" | "schedule" | "trigger" | "completions" | "a2a" | "mcp";

/** What the database granted for one call. */
export interface Reservation {
  readonly id: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** What the model accepts; undefined where the catalogue knows nothing of it. */
  readonly facts?: ModelFacts | undefined;
}

/** Why a provider refused a call, as the agent's owner reads it. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** Failures that every further call meets too, until a person changes the key, the model or a setting. */
export const LASTING: ReadonlySet<string> = new Set<AgentErrorCode>([
  "MODEL_AUTHENTICATION_FAILED",
  "MODEL_NOT_FOUND",
  "MODEL_QUOTA_EXHAUSTED",
  "MODEL_REQUEST_REJECTED",
  "MODEL_UNCONFIGURED",
]);

export interface TokensUsed {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
}

/** One call as it is asked for: bounds from above. */
export interface Wanted {
  readonly model: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** A call that may be made. Exactly one of its ends is called; a second does nothing. */
export interface MeteredCall {
  /** The most output that the call may ask for: what was wanted, or what a limit leaves. */
  readonly outputTokens: number;
  readonly facts?: ModelFacts | undefined;
  settle(used: TokensUsed, refused?: Refusal): void;
  /** The provider did nothing: it could not be reached, or refused. */
  release(refused?: Refusal): void;
}

/** Of what a message's calls are part. */
export interface Occasion {
  readonly source: Source;
  /** What the platform reserved for this message. */
  readonly reservation?: Reservation | undefined;
}

/** What a model's calls are reserved by. */
export interface Reserving {
  /**
   * Reserves one call.
   * @throws AgentError BUDGET_EXHAUSTED, RESOURCE_LIMIT_EXCEEDED, MODEL_PRICE_MISSING, SUPABASE_CONNECTION_ERROR
   */
  reserve(wanted: Wanted, signal?: AbortSignal): Promise<MeteredCall>;
}

/** One message under way. */
export interface Metering extends Reserving {
  /** Ends it; returns what is left to settle, which the caller reports to the database. Later calls settle on their own. */
  end(answered: boolean): Settlement[];
}

export interface Meter extends Reserving {
  /** Begins a message whose calls are reserved through what this returns. */
  open(occasion: Occasion): Metering;
  /** Runs a message's work; its calls, also those of code that knows nothing of meters, count to its source. */
  run<T>(occasion: Occasion, work: () => Promise<T>): Promise<T>;
  /** Gives back what is unused and sends what is not yet settled, for at most some seconds. */
  close(): Promise<void>;
}

export interface MeterOptions {
  readonly agentId: string;
  /** Without it nothing can be reserved. */
  readonly project: Pick<Project, "call"> | undefined;
  readonly messageKey: string | undefined;
  /** How long one message may take: the lease outlasts it. */
  readonly messageTimeoutMs: number;
  warn(message: string, facts?: Record<string, unknown>): void;
  /** The steps of answers: they go with what the calls used. */
  readonly steps?: StepSource | undefined;
  /** Whether the next call is reserved while this one is made: saves the wait (bench: metering). */
  readonly ahead?: boolean;
  /** How long a report waits for a reserve that carries it: by default some milliseconds. */
  readonly flushMs?: number;
}

/** A spare that no call wants goes back. */
const SPARE_IDLE_MS = 10_000;
/** As long as a signed message can be sent again (signature.ts: five minutes, either way). */
const REPLAY_MS = 600_000;
const REFUSALS = new Set<string>(["BUDGET_EXHAUSTED", "RESOURCE_LIMIT_EXCEEDED", "MODEL_PRICE_MISSING"]);

/** The report of one reservation, sent once. */
export interface Settlement extends Partial<TokensUsed> {
  readonly id: string;
  readonly unused?: true;
  answered?: true;
  /** The call failed, and so will the next. */
  readonly refused?: Refusal;
}

/** A message under way. */
interface Scope {
  readonly source: Source;
  readonly parent: string | undefined;
  /** The platform's reservation, until a call uses it. */
  carried: Reservation | undefined;
  /** The last call's settlement: sent with the next reserve, or at the end, when it is known whether there was an answer. */
  held: Settlement | undefined;
  open: boolean;
}

interface Spare {
  readonly source: Source;
  readonly model: string;
  readonly reservation: Promise<Reservation | undefined>;
}

/** An upper bound of the tokens of a text: each is at least one byte, whoever cuts it. */
export const mostTokens = (text: string): number => Buffer.byteLength(text);

/** The tokens assumed for an uncounted text: two bytes a token, which few texts reach. */
export const likelyTokens = (text: string): number => Math.ceil(Buffer.byteLength(text) / 2);

/** Makes the meter of one runtime (or, in `respond`, of one answer). */
export function createMeter({
  agentId,
  project,
  messageKey,
  messageTimeoutMs,
  warn,
  steps,
  ahead = true,
  flushMs,
}: MeterOptions): Meter {
  const scopes = new AsyncLocalStorage<Scope>();
  const credential = credentialOf(messageKey);
  const leaseSeconds = Math.min(3_600, Math.ceil(messageTimeoutMs / 1000) + 60);
  const outbox = createOutbox({
    agentId,
    credential,
    project,
    keepMs: leaseSeconds * 1000,
    steps,
    flushMs,
    warn,
  });
  let spare: Spare | undefined;
  /** The platform's reservations that messages brought, oldest first, with the moment from which none can come again. */
  const carried = new Map<string, number>();
  let closed = false;
  let idle: NodeJS.Timeout | undefined;

  async function ask(
    wanted: Wanted,
    scope: Scope,
    isSpare: boolean,
    signal?: AbortSignal,
  ): Promise<Reservation> {
    if (project === undefined || credential === undefined) throw unavailable();
    const id = randomUUID();
    // Not steps where an answer waits for this call.
    const { items, answers, kept, putBack } = outbox.take(isSpare);
    if (!isSpare && scope.held !== undefined) {
      items.push(scope.held);
      scope.held = undefined;
    }
    try {
      const reservation = await project.call<Reservation>(
        "reserve_model_call",
        {
          agent_id: agentId,
          credential: credential(),
          call: {
            id,
            source: scope.source,
            model: wanted.model,
            inputTokens: wanted.inputTokens,
            outputTokens: wanted.outputTokens,
            leaseSeconds,
            ...(isSpare ? { spare: true } : scope.parent !== undefined && { parent: scope.parent }),
          },
          settled: items,
          ...(answers.length > 0 && { steps: answers }),
        },
        { signal },
      );
      kept();
      return reservation;
    } catch (error) {
      // What came along is kept all the same.
      if (error instanceof ProjectRefusal && REFUSALS.has(error.code)) {
        kept();
        throw refusal(error);
      }
      putBack();
      for (const item of items) outbox.tell(item);
      outbox.tell({ id, unused: true }); // it may have been reserved all the same
      if (signal?.aborted) throw signal.reason;
      warn("No call of a model can be reserved", { cause: String(error) });
      throw unavailable(error);
    }
  }

  function takeSpare(wanted: Wanted, scope: Scope): Promise<Reservation | undefined> | undefined {
    if (spare === undefined || spare.source !== scope.source || spare.model !== wanted.model)
      return undefined;
    const { reservation } = spare;
    spare = undefined;
    clearTimeout(idle);
    return reservation;
  }

  /** Reserves a call like this one before it is wanted. The database grants it only far from every limit. */
  function refill(wanted: Wanted, scope: Scope): void {
    if (!ahead || closed || spare !== undefined || scope.parent !== undefined) return;
    const next = { ...wanted, inputTokens: Math.max(4_096, 2 * wanted.inputTokens) };
    const made = {
      source: scope.source,
      model: wanted.model,
      reservation: ask(next, scope, true).catch(() => undefined),
    };
    spare = made;
    void made.reservation.then((reservation) => {
      if (spare !== made) return;
      if (reservation === undefined) {
        spare = undefined;
        return;
      }
      idle = setTimeout(() => void giveBack(), SPARE_IDLE_MS);
      idle.unref();
    });
  }

  async function giveBack(): Promise<void> {
    const unwanted = spare;
    spare = undefined;
    clearTimeout(idle);
    const reservation = await unwanted?.reservation;
    if (reservation !== undefined) outbox.tell({ id: reservation.id, unused: true });
  }

  async function grant(wanted: Wanted, scope: Scope, signal?: AbortSignal): Promise<Reservation> {
    const brought = scope.carried;
    if (brought !== undefined) {
      scope.carried = undefined;
      if (wanted.inputTokens <= brought.inputTokens) return brought;
      scope.held = { id: brought.id, unused: true };
    }
    const ready = takeSpare(wanted, scope);
    const reservation = await ready;
    const fits =
      reservation !== undefined &&
      wanted.inputTokens <= reservation.inputTokens &&
      wanted.outputTokens <= reservation.outputTokens;
    if (reservation !== undefined && !fits) outbox.tell({ id: reservation.id, unused: true });
    const granted = fits ? reservation : await ask(wanted, scope, false, signal);
    setImmediate(refill, wanted, scope); // the call itself goes out first
    return granted;
  }

  async function reserve(wanted: Wanted, scope: Scope, signal?: AbortSignal): Promise<MeteredCall> {
    const reservation = await grant(wanted, scope, signal);
    let ended = false;
    const end = (item: Settlement) => {
      if (ended) return;
      ended = true;
      if (!scope.open) return outbox.tell(item);
      if (scope.held !== undefined) outbox.tell(scope.held);
      scope.held = item;
    };
    return {
      outputTokens: Math.min(wanted.outputTokens, reservation.outputTokens),
      facts: reservation.facts,
      settle: ({ inputTokens, cachedInputTokens, outputTokens }, refused) =>
        end({
          id: reservation.id,
          inputTokens,
          cachedInputTokens,
          outputTokens,
          ...(refused && { refused }),
        }),
      release: (refused) => end({ id: reservation.id, unused: true, ...(refused && { refused }) }),
    };
  }

  /** Whether this reservation comes for the first time: a signed message that is sent again reserves its calls again. */
  function isNew({ id }: Reservation): boolean {
    const now = performance.now();
    for (const [old, until] of carried) {
      if (until > now) break;
      carried.delete(old);
    }
    if (carried.has(id)) return false;
    carried.set(id, now + REPLAY_MS);
    return true;
  }

  function begin({ source, reservation }: Occasion): Scope {
    const usable = reservation !== undefined && isNew(reservation) ? reservation : undefined;
    return { source, parent: reservation?.id, carried: usable, held: undefined, open: true };
  }

  function finish(scope: Scope, answered: boolean): Settlement[] {
    const left: Settlement[] = [];
    if (scope.carried !== undefined) left.push({ id: scope.carried.id, unused: true });
    // The platform counts its own answers.
    const counts = answered && scope.parent === undefined;
    if (scope.held !== undefined) left.push({ ...scope.held, ...(counts && { answered: true as const }) });
    scope.open = false;
    scope.carried = undefined;
    scope.held = undefined;
    return left;
  }

  return {
    open(occasion) {
      const scope = begin(occasion);
      return {
        reserve: (wanted, signal) => reserve(wanted, scope, signal),
        end: (answered) => finish(scope, answered),
      };
    },
    async run(occasion, work) {
      const scope = begin(occasion);
      let answered = false;
      try {
        const result = await scopes.run(scope, work);
        answered = true;
        return result;
      } finally {
        for (const item of finish(scope, answered)) outbox.tell(item);
      }
    },
    // Without a scope: work that no message began, such as an elizaOS plugin's own.
    reserve: (wanted, signal) =>
      reserve(wanted, scopes.getStore() ?? { ...begin({ source: "address" }), open: false }, signal),
    async close() {
      closed = true;
      await giveBack();
      await outbox.close();
    },
  };
}

function unavailable(cause?: unknown): AgentError {
  return new AgentError("SUPABASE_CONNECTION_ERROR", "What this costs cannot be reserved now; try again.", {
    retryAfterSeconds: 5,
    ...(cause !== undefined && { cause }),
  });
}

function refusal({ code, message, details }: ProjectRefusal): AgentError {
  const seconds = Number(details?.retryAfterSeconds);
  const told = Object.entries(details ?? {}).filter(([, value]) => typeof value === "string");
  return new AgentError(code as AgentErrorCode, message, {
    retryAfterSeconds: Number.isFinite(seconds) ? seconds : 60,
    ...(told.length > 0 && { details: Object.fromEntries(told) }),
  });
}
