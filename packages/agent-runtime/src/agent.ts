// The agent as the server sees it: an engine, what it may do at once, how it is, and whether it is stopping.
import { randomUUID } from "node:crypto";
import type { Abilities } from "./abilities/runtime-abilities.ts";
import { traced } from "./abilities/steps.ts";
import type { Config } from "./config.ts";
import { actedBefore } from "./engines/acting.ts";
import type { Engine, Listener, Message, Reply } from "./engines/engine.ts";
import { isFinal } from "./engines/model/completion.ts";
import { AgentError, describe } from "./errors.ts";
import { agentSeconds } from "./hand-over.ts";
import type { Log } from "./log.ts";
import type { Meter } from "./meter.ts";
import type { Metrics } from "./metrics.ts";
import { Outcomes } from "./outcomes.ts";
import type { PluginStates } from "./plugin-states.ts";

export interface Agent {
  /** A message comes: what answering it takes is read ahead. */
  prepare(): void;
  /** Answers a message within the limits of time and number. Throws AgentError. */
  answer(message: Message, signal: AbortSignal, listener?: Listener): Promise<Reply>;
  health(): Record<string, unknown>;
  /** Why no message can be taken now; undefined where one can. */
  unready(): string | undefined;
  /** Takes no new message; resolves when those under way are answered, or given up after the stop timeout. */
  stop(): Promise<void>;
}

/** The other side's words in the log: whoever chose its address chose them. */
const MAX_CAUSE = 300;

/** Of its places, what strangers of a public agent may take: the rest stays for its owner, its keys and the platform. */
const STRANGERS = 0.75;

/** Failures of the model that make the agent's health degraded until it answers again. */
const PROVIDER_FAULT = /^MODEL_(?!REFUSED|REQUEST_REJECTED|PRICE_MISSING)/;

/** Wraps an engine with limits and bookkeeping. */
export function createAgent(
  config: Config,
  engine: Engine,
  metrics: Metrics,
  meter: Meter,
  abilities: Abilities,
  log: Log,
  states: PluginStates,
): Agent {
  let stopping = false;
  let lastError: { code: string; message: string; at: string } | undefined;
  const underway = new Set<Promise<unknown>>();
  const outcomes = new Outcomes<Reply>();
  let strangers = 0;
  const giveUp = new AbortController();

  async function run(message: Message, signal: AbortSignal, listener?: Listener): Promise<Reply> {
    const started = performance.now();
    const facts = { conversationId: message.conversationId, replica: config.replica };
    const steps = message.answer && abilities.steps.open(message.answer.id);
    try {
      const timeout = AbortSignal.timeout(config.messageTimeoutMs);
      const end = AbortSignal.any([timeout, signal, giveUp.signal]);
      const work = () =>
        meter.run(message.occasion ?? { source: "address" }, () => engine.reply(message, end, listener));
      const reply = await (steps === undefined ? work() : traced(steps.trace, work));
      const { inputTokens = 0, outputTokens = 0 } = reply.usage ?? {};
      metrics.message({ input: inputTokens, output: outputTokens });
      lastError = undefined;
      log.info("Message answered", {
        ...facts,
        model: reply.model,
        milliseconds: elapsed(started),
        ...reply.usage,
      });
      return reply;
    } catch (error) {
      const known = knownFailure(error, signal);
      metrics.failure(known.code);
      if (PROVIDER_FAULT.test(known.code)) {
        lastError = { code: known.code, message: known.message, at: new Date().toISOString() };
      }
      const cause = known.cause === undefined ? {} : { cause: describe(known.cause).slice(0, MAX_CAUSE) };
      log.warn(known.message, { ...facts, code: known.code, milliseconds: elapsed(started), ...cause });
      throw known;
    } finally {
      steps?.end();
    }
  }

  /** The platform may deliver a message again whose outcome it did not get. */
  function begin(message: Message, signal: AbortSignal, listener?: Listener): Promise<Reply> {
    const { answer, caller, occasion } = message;
    if (answer === undefined || caller !== "platform") return run(message, signal, listener);
    let isNew = false;
    const outcome = outcomes.once(answer.id, async () => {
      isNew = true;
      if (answer.begun) throw actedBefore();
      const attempt = randomUUID();
      return run({ ...message, mayAct: () => abilities.mayAct(answer.id, attempt) }, signal, listener);
    });
    // What it brought to pay with is given back.
    return isNew ? outcome : meter.run(occasion ?? { source: "message" }, () => outcome);
  }

  return {
    prepare() {
      engine.prepare?.();
      abilities.prepare();
    },
    answer(message, signal, listener) {
      if (stopping) {
        throw new AgentError("AGENT_STOPPING", "This replica is stopping; try again.", {
          retryAfterSeconds: 1,
        });
      }
      const isStranger = message.caller === "public";
      const places = config.maxConcurrentMessages;
      if (
        underway.size >= places ||
        (isStranger && strangers >= Math.max(1, Math.floor(places * STRANGERS)))
      ) {
        const message = `The agent answers ${underway.size} messages already; try again.`;
        throw new AgentError("AGENT_BUSY", message, { retryAfterSeconds: 1 });
      }
      strangers += Number(isStranger);
      const end = metrics.work();
      const work = begin(message, signal, listener).finally(() => {
        end();
        underway.delete(work);
        strangers -= Number(isStranger);
        metrics.inFlight = underway.size;
      });
      underway.add(work);
      metrics.inFlight = underway.size;
      return work;
    },
    health: () => ({
      status: lastError || states.list().some(({ ready }) => !ready) ? "degraded" : "ok",
      engine: engine.name,
      model: engine.model ?? "unconfigured",
      framework: config.framework,
      uptimeSeconds: Math.round(agentSeconds() * 10) / 10,
      revision: config.revision ?? null,
      generation: config.generation ?? null,
      agentId: config.agentId,
      replica: config.replica,
      name: config.name,
      plugins: engine.plugins,
      pluginStates: states.list(),
      messagesInFlight: underway.size,
      stopping,
      ...(lastError && { lastError }),
    }),
    unready: () => (stopping ? "stopping" : undefined),
    async stop() {
      stopping = true;
      if (underway.size === 0) return;
      log.info("Stopping after the messages under way", { messages: underway.size });
      const timer = setTimeout(() => giveUp.abort(), config.stopTimeoutMs);
      await Promise.allSettled(underway);
      clearTimeout(timer);
    },
  };
}

/** What the caller is told of a failure. */
function knownFailure(error: unknown, signal: AbortSignal): AgentError {
  const failure =
    error instanceof AgentError
      ? error
      : new AgentError("INTERNAL_ERROR", "The agent failed to answer.", { cause: error });
  // Also for a caller who is gone: what has acted is not done again when the message comes again.
  if (!signal.aborted || isFinal(failure)) return failure;
  return signal.reason instanceof AgentError
    ? signal.reason // the door's: what the caller showed is no longer good
    : new AgentError("REQUEST_TIMEOUT", "The caller disconnected.");
}

function elapsed(since: number): number {
  return Math.round(performance.now() - since);
}
