// Holds requests to agents that sleep until the agents are awake: however many wait for one agent, it is woken once.

import type { Clock } from "../clock.ts";
import { errorMessage, type Log } from "../log.ts";
import type { Caller } from "./caller.ts";
import { Turns } from "./turns.ts";

/** What the database answers to the wish to wake an agent; the same however often it is asked. */
export type Wake =
  /** It is wanted running: whether it can take a request is for its replicas to say. */
  | { state: "awake" }
  /** It wakes, by this call or an earlier one. */
  | { state: "waking" }
  /** It sleeps on, or does not start; the callers get this as their answer. ofCaller: those alone who show the same. */
  | ({ state: "refused"; ofCaller?: boolean } & Refusal);

/** An answer that is given instead of the agent's. */
export interface Refusal {
  status: number;
  code: string;
  message: string;
  retryAfterSeconds?: number;
}

/** What becomes of a held request; undefined: a replica is ready, so try again. */
export type Verdict = Refusal | undefined;

/** A request that waits. */
export interface Wait {
  /** When it began to wait, also where it has waited before. */
  since: number;
  /** Its client has left. */
  leave(): void;
}

/** How the wait of a request ended, for the metrics. */
export type HeldOutcome = "passed" | "refused" | "late" | "left";

export interface DoorOptions {
  wake(agentId: string, caller: Caller): Promise<Wake>;
  /** Whether a replica of the agent takes requests now. */
  isReady(agentId: string): boolean;
  clock: Clock;
  log: Log;
  limits?: Partial<DoorLimits>;
  onHeld?(outcome: HeldOutcome, milliseconds: number): void;
}

export interface DoorLimits {
  /** How long a request waits at most; the wake goes on after that. */
  holdMs: number;
  /** How often the database is asked how far a wake is. */
  askMs: number;
  /** Requests held at once. Each may hold what fits a socket's buffer of its body, 64 KiB. */
  total: number;
  /** Of them for one agent, whatever they show: a flood of one keeps no other agent's callers out. */
  perAgent: number;
  /** Different keys and tokens of one address that wait for one agent before anyone's was found good. */
  perAddress: number;
  /** Of how many addresses the database is asked about one agent at once; one caller of each. */
  atOnce: number;
}

export const DOOR_LIMITS: DoorLimits = {
  holdMs: 30_000,
  askMs: 1000,
  total: 2048,
  perAgent: 1536,
  perAddress: 256,
  atOnce: 4,
};

/** How often one request waits: a replica that is called ready and cannot be reached is no reason to try for 30 seconds. */
export const MOST_WAITS = 5;

interface Waiter {
  /** How many came before. */
  place: number;
  since: number;
  decide(verdict: Verdict): void;
  cancel(): void;
}

/** Those who show the same. */
interface Party {
  caller: Caller;
  waiters: Set<Waiter>;
}

/** Who waits for one agent. */
interface Queue {
  agentId: string;
  /** By what they show, in the order of their coming. */
  parties: Map<string, Party>;
  /** Those that no question was asked for yet, by address; the address that waits longest for a question comes first. */
  unasked: Turns<Party>;
  /** Addresses that a question is under way for. */
  asking: Set<string>;
  /** Of whom the database said that the agent may wake for them. */
  good: Party | undefined;
  /** Grows with every answer about the agent: what was asked before says nothing new of it. */
  round: number;
  /** The next question has its time. */
  resting: boolean;
  size: number;
  /** The database has said that it wakes. */
  waking: boolean;
  /** How often in a row the database called it awake though no replica is ready here. */
  awake: number;
  cancel(): void;
}

/** How long an answer other than "waking" stands: an agent without a ready replica costs the database one call a second. */
const FRESH_MS = 1000;
const MOST_ANSWERS = 10_000;
/** A woken agent is DEPLOYED in the database a moment before or after its replica is seen to be ready here. */
const PATIENCE = 5;
const SOON_MS = 100;

const refusal = (code: string, retryAfterSeconds: number, message: string): Refusal => ({
  status: 503,
  code,
  message,
  retryAfterSeconds,
});
const BUSY = refusal("AGENT_BUSY", 1, "Too many requests wait for sleeping agents. Try again in a second.");
const LATE = refusal(
  "AGENT_WAKING",
  5,
  "The agent is waking up and was not ready in time. Try again in a few seconds.",
);
const UNREACHABLE = refusal(
  "SUPABASE_CONNECTION_ERROR",
  5,
  "The agent may be asleep and cannot be woken: the project's database does not answer. Try again.",
);
const STOPPING = refusal(
  "AGENT_WAKING",
  1,
  "The controller restarts while the agent wakes up. Try again in a second.",
);
export const NOT_READY = refusal("AGENT_NOT_READY", 1, "The agent has no replica that is ready.");

/**
 * The waiting room of sleeping agents. A request without a ready replica waits here; the first one has the agent woken, all
 * go on when a replica is ready, and each gets an answer within the time that it may wait.
 */
export class Door {
  readonly #options: DoorOptions;
  readonly #limits: DoorLimits;
  readonly #queues = new Map<string, Queue>();
  readonly #answers = new Map<string, { verdict: Refusal; at: number }>();
  #held = 0;
  #came = 0;
  #stopped = false;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#limits = { ...DOOR_LIMITS, ...options.limits };
  }

  /** How many requests wait now. */
  get held(): number {
    return this.#held;
  }

  /**
   * Waits for a ready replica of the agent.
   * @param decide called once, never before this returns, and not after the request was let go
   * @param since since when it has waited, where it waits again
   */
  hold(
    agentId: string,
    caller: Caller,
    decide: (verdict: Verdict) => void,
    since = this.#options.clock.now(),
  ): Wait {
    const { clock } = this.#options;
    const now = clock.now();
    const refused = this.#refusal(agentId, caller, now);
    if (refused !== undefined) {
      let wanted = true;
      queueMicrotask(() => wanted && decide(refused));
      const leave = () => {
        wanted = false;
      };
      return { since, leave };
    }
    const queue = this.#queues.get(agentId) ?? this.#open(agentId);
    let party = queue.parties.get(caller.id);
    if (party === undefined) {
      party = { caller, waiters: new Set() };
      queue.parties.set(caller.id, party);
      queue.unasked.add(addressOf(party), party);
      // The microtask that opened the queue asks for those who come with the first one.
      if (queue.asking.size > 0 && !queue.resting) this.#askAll(queue);
    }
    this.#came += 1;
    const waiter: Waiter = { place: this.#came, since, decide, cancel: () => {} };
    // The machine's clock may have been set back or forward since.
    const left = Math.min(this.#limits.holdMs, Math.max(0, this.#limits.holdMs - (now - since)));
    const own = party;
    const late = () => this.#end(queue, own, waiter, "late", queue.waking ? LATE : UNREACHABLE);
    waiter.cancel = clock.after(left, late);
    party.waiters.add(waiter);
    queue.size += 1;
    this.#held += 1;
    return { since, leave: () => this.#end(queue, own, waiter, "left") };
  }

  /** A replica of the agent takes requests: whoever waits for it goes on, in the order in which they came. */
  ready(agentId: string): void {
    this.#answers.delete(agentId);
    const queue = this.#queues.get(agentId);
    if (queue !== undefined) this.#endAll(queue, "passed", undefined);
  }

  /** Answers everybody: this process ends. */
  stop(): void {
    this.#stopped = true;
    for (const queue of [...this.#queues.values()]) this.#endAll(queue, "refused", STOPPING);
  }

  /** Why a request is not held; undefined where it is. */
  #refusal(agentId: string, caller: Caller, now: number): Refusal | undefined {
    const { id } = caller;
    if (this.#stopped) return STOPPING;
    for (const key of [agentId, keyOf(agentId, id)]) {
      const known = this.#answers.get(key);
      // Counted both ways: the machine's clock may be set back.
      if (known !== undefined && Math.abs(now - known.at) < FRESH_MS) return known.verdict;
    }
    const queue = this.#queues.get(agentId);
    if (this.#held >= this.#limits.total || (queue?.size ?? 0) >= this.#limits.perAgent) return BUSY;
    const isJudged = queue === undefined || queue.waking || queue.parties.has(id);
    return !isJudged && queue.unasked.of(caller.address ?? "") >= this.#limits.perAddress ? BUSY : undefined;
  }

  #open(agentId: string): Queue {
    const queue: Queue = {
      agentId,
      parties: new Map(),
      unasked: new Turns(),
      asking: new Set(),
      good: undefined,
      round: 0,
      resting: false,
      size: 0,
      waking: false,
      awake: 0,
      cancel: () => {},
    };
    this.#queues.set(agentId, queue);
    queueMicrotask(() => this.#askAll(queue));
    return queue;
  }

  /**
   * Asks for a caller of each of a few addresses; where one may not wake the agent, for the next. Addresses take turns, so that
   * a flood of false keys from one costs the others a question. @param attempt how often the database did not answer, plus one
   */
  #askAll(queue: Queue, attempt = 1): void {
    if (!this.#isOpen(queue)) return;
    queue.resting = false;
    if (queue.good !== undefined && queue.parties.get(queue.good.caller.id) === queue.good) {
      if (queue.asking.size === 0) void this.#ask(queue, queue.good, attempt);
      return;
    }
    while (queue.asking.size < this.#limits.atOnce) {
      const party = queue.unasked.next(queue.asking);
      if (party === undefined) break;
      void this.#ask(queue, party, attempt);
    }
  }

  async #ask(queue: Queue, party: Party, attempt: number): Promise<void> {
    const { isReady, log, wake } = this.#options;
    const { agentId, round } = queue;
    const address = addressOf(party);
    queue.asking.add(address);
    let answer: Wake | undefined;
    try {
      answer = await wake(agentId, party.caller);
    } catch (error) {
      if (attempt === 1) log.warn("an agent could not be woken yet", { agentId, error: errorMessage(error) });
    }
    queue.asking.delete(address);
    if (!this.#isOpen(queue)) return;
    if (answer?.state === "refused" && answer.ofCaller === true) {
      if (queue.good === party) queue.good = undefined;
      const { ofCaller: _, state: __, ...verdict } = answer;
      this.#refuseParty(queue, party, verdict);
      if (round === queue.round) this.#askAll(queue);
      return;
    }
    // It may be asked for again, should the one that is good leave.
    if (queue.parties.get(party.caller.id) === party) queue.unasked.add(address, party);
    if (round !== queue.round) return;
    queue.round += 1;
    if (answer === undefined) {
      const wait = Math.min(this.#limits.askMs, SOON_MS * 2 ** Math.min(attempt - 1, 10));
      this.#askAgain(queue, wait, attempt + 1);
    } else if (isReady(agentId)) this.ready(agentId);
    else this.#take(queue, party, answer);
  }

  #take(queue: Queue, party: Party, answer: Wake): void {
    if (answer.state === "refused") {
      const { ofCaller: _, state: __, ...verdict } = answer;
      this.#refuse(queue, verdict);
      return;
    }
    queue.good = party;
    if (answer.state === "waking") {
      queue.waking = true;
      queue.awake = 0;
      this.#askAgain(queue, this.#limits.askMs, 1);
    } else {
      queue.awake += 1;
      if (queue.awake < (queue.waking ? PATIENCE : 2)) this.#askAgain(queue, SOON_MS * queue.awake, 1);
      else this.#refuse(queue, NOT_READY);
    }
  }

  #askAgain(queue: Queue, milliseconds: number, attempt: number): void {
    queue.resting = true;
    queue.cancel = this.#options.clock.after(milliseconds, () => this.#askAll(queue, attempt));
  }

  #isOpen(queue: Queue): boolean {
    return this.#queues.get(queue.agentId) === queue;
  }

  #refuse(queue: Queue, verdict: Refusal): void {
    this.#keep(queue.agentId, verdict);
    this.#endAll(queue, "refused", verdict);
  }

  #refuseParty(queue: Queue, party: Party, verdict: Refusal): void {
    this.#keep(keyOf(queue.agentId, party.caller.id), verdict);
    for (const waiter of [...party.waiters]) this.#end(queue, party, waiter, "refused", verdict);
  }

  #keep(key: string, verdict: Refusal): void {
    if (this.#answers.size >= MOST_ANSWERS) this.#answers.clear();
    this.#answers.set(key, { verdict, at: this.#options.clock.now() });
  }

  #endAll(queue: Queue, outcome: HeldOutcome, verdict: Verdict): void {
    const all = [...queue.parties.values()].flatMap((party) =>
      [...party.waiters].map((waiter) => ({ party, waiter })),
    );
    all.sort((a, b) => a.waiter.place - b.waiter.place);
    for (const { party, waiter } of all) this.#end(queue, party, waiter, outcome, verdict);
  }

  #end(queue: Queue, party: Party, waiter: Waiter, outcome: HeldOutcome, verdict?: Verdict): void {
    if (!party.waiters.delete(waiter)) return;
    waiter.cancel();
    this.#held -= 1;
    queue.size -= 1;
    if (party.waiters.size === 0 && queue.parties.get(party.caller.id) === party) {
      queue.parties.delete(party.caller.id);
      queue.unasked.delete(addressOf(party), party);
    }
    // Nobody waits any more: the wake goes on in the database without us.
    if (queue.size === 0 && this.#isOpen(queue)) {
      queue.cancel();
      this.#queues.delete(queue.agentId);
    }
    this.#options.onHeld?.(outcome, Math.max(0, this.#options.clock.now() - waiter.since));
    if (outcome !== "left") waiter.decide(verdict);
  }
}

const addressOf = ({ caller }: Party): string => caller.address ?? "";

/** Of an answer for those alone who show the same; agents' ids have no space. */
function keyOf(agentId: string, callerId: string): string {
  return `${agentId} ${callerId}`;
}
