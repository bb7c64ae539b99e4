/** One answer by a model: streamed, with tools in a bounded loop, within time limits. */
import { isStepCount, streamText } from "ai";
import type { Piece } from "../../../packages/agent-runtime/src/abilities/knowledge.ts";
import { randomWord } from "../../../packages/agent-runtime/src/abilities/marks.ts";
import { type Step, traced } from "../../../packages/agent-runtime/src/abilities/steps.ts";
import { makeTools } from "../../../packages/agent-runtime/src/abilities/tools/index.ts";
import { tracedModel } from "../../../packages/agent-runtime/src/abilities/traced-model.ts";
import { Acting, actedBefore } from "../../../packages/agent-runtime/src/engines/acting.ts";
import { MAX_STEPS, requireWhole } from "../../../packages/agent-runtime/src/engines/model/completion.ts";
import {
  mapModelError,
  withProviderWords,
} from "../../../packages/agent-runtime/src/engines/model/errors.ts";
import { fromSdkWarnings } from "../../../packages/agent-runtime/src/engines/model/facts.ts";
import { metered } from "../../../packages/agent-runtime/src/engines/model/metered.ts";
import { createLanguageModel } from "../../../packages/agent-runtime/src/engines/model/providers.ts";
import { mapSettings } from "../../../packages/agent-runtime/src/engines/model/settings.ts";
import { nothingStreamed, readStream } from "../../../packages/agent-runtime/src/engines/model/streaming.ts";
import { AgentError } from "../../../packages/agent-runtime/src/errors.ts";
import { createMeter, type Settlement } from "../../../packages/agent-runtime/src/meter.ts";
import { withServerTools } from "../../../packages/agent-runtime/src/plugins/mcp/names.ts";
import { messageKey } from "../../../packages/agent-runtime/src/signature.ts";
import type { Database } from "./database.ts";
import { toolsOfServers } from "./mcp.ts";
import { toolsOfOwnPlugins } from "./own-plugins.ts";
import { composePrompt } from "./prompt.ts";
import type { Settings } from "./settings.ts";
import type { Answer, Task } from "./task.ts";

/** The longest answer that is kept. */
export const MAX_CHARACTERS = 100_000;

export interface AnswerContext {
  readonly settings: Settings;
  readonly database: Database;
  readonly signal: AbortSignal;
  /** What the agent's knowledge has for the message. */
  readonly knowledge: readonly Piece[];
  /** Takes each piece of text as it comes. */
  say(text: string): void;
  /** Takes each step when it has ended. */
  note(step: Step): void;
  /** Tells the operator of what does not keep the answer from being made. */
  warn(message: string): void;
}

/** An attempt that failed, with what it cost. */
export class AttemptError extends Error {
  readonly failure: AgentError;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** What is left to settle; empty where that is not known here. */
  readonly settled: readonly Settlement[];

  constructor(
    failure: AgentError,
    settled: readonly Settlement[],
    { inputTokens, outputTokens } = { inputTokens: 0, outputTokens: 0 },
  ) {
    super(failure.message, { cause: failure });
    this.failure = failure;
    this.inputTokens = inputTokens;
    this.outputTokens = outputTokens;
    this.settled = settled;
  }
}

/**
 * Asks the agent's model for its answer.
 * @throws AttemptError with the code and message that people see; the provider's own words stay in its cause
 */
export async function answerByModel(task: Task, context: AnswerContext): Promise<Answer> {
  const { settings } = context;
  if (task.begun) throw new AttemptError(actedBefore(), unused(task));
  const { framework, model } = task.agent;
  const project = settings.providers[framework];
  const apiKey = task.apiKey ?? project.apiKey;
  if (apiKey === undefined) {
    const message = `No model key: store a secret named ${project.keyVariable}, or set it for the project.`;
    const refused = { code: "MODEL_UNCONFIGURED", message };
    throw new AttemptError(new AgentError("MODEL_UNCONFIGURED", message), [
      { id: task.reservation.id, unused: true, refused },
    ]);
  }

  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), settings.silenceMs);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), settings.silenceMs);
  };
  const limit = AbortSignal.timeout(settings.answerMs);
  const acting = new Acting(() => context.database.mayAct(task));
  const signal = AbortSignal.any([silence.signal, limit, context.signal, acting.signal]);
  const streamed = nothingStreamed();
  const { respondSecret } = settings;
  const meter = createMeter({
    agentId: task.agent.id,
    project: context.database.project,
    messageKey: respondSecret === undefined ? undefined : messageKey(respondSecret, task.agent.id),
    messageTimeoutMs: settings.answerMs,
    warn: context.warn,
    ahead: false,
  });
  const metering = meter.open({ source: "message", reservation: task.reservation });
  const word = randomWord();
  try {
    const [own, offered] = await Promise.all([
      toolsOfOwnPlugins(task),
      traced(context.note, () => toolsOfServers(task, settings)),
    ]);
    const definitions = [...withServerTools([...task.tools, ...own.tools], offered)];
    const { instructions, messages } = composePrompt(
      { ...task, tools: definitions },
      word,
      context.knowledge,
    );
    const tools = makeTools(definitions, {
      signal,
      toolMs: settings.toolMs,
      privateHosts: settings.privateHosts,
      word,
      search: (query, most) => context.database.search(task, query, most),
      acted: () => acting.begin(),
    });
    const access = { framework, provider: { ...project, apiKey }, openaiApi: settings.openaiApi };
    const call = mapSettings(task.agent.settings);
    const plain = await createLanguageModel(access, model);
    const seen = tracedModel(plain, model, framework, [apiKey]);
    const languageModel = metered(seen, metering, {
      name: model,
      framework,
      settings: task.agent.settings,
      secrets: [apiKey],
    });
    await traced(context.note, async () => {
      const { stream } = streamText({
        model: languageModel,
        instructions,
        messages,
        ...call,
        ...(Object.keys(tools).length > 0 && { tools, stopWhen: isStepCount(MAX_STEPS) }),
        maxRetries: 0, // the outbox retries, and says so
        abortSignal: signal,
        onError: () => undefined, // comes as a part
      });
      const delta = (piece: string) => {
        context.say(piece);
        if (streamed.text.length > MAX_CHARACTERS) {
          throw new AgentError("MODEL_BAD_RESPONSE", `${framework} did not come to an end.`);
        }
      };
      await readStream(stream, streamed, { delta, heard }, signal);
    });
    requireWhole(streamed, framework, call.maxOutputTokens);
    const warnings = [...own.warnings, ...fromSdkWarnings(streamed.warnings)];
    return { content: streamed.text, model, ...streamed.usage, warnings, settled: metering.end(true) };
  } catch (error) {
    const late = silence.signal.aborted || limit.aborted;
    const failure = withProviderWords(mapModelError(error, framework, late), [apiKey]);
    throw new AttemptError(acting.explain(failure), metering.end(false), streamed.usage);
  } finally {
    clearTimeout(timer);
  }
}

/** The claim's reservation, of an attempt that asked no model. */
export const unused = (task: Task): Settlement[] => [{ id: task.reservation.id, unused: true }];
