/** The tools of one answer, in the AI SDK's form: arguments checked, time and size limited, results marked as data, each call a step. */
import { tool as defineTool, jsonSchema, type Tool, type ToolSet } from "ai";
import { markResult } from "../marks.ts";
import { redactArguments, redactText, withoutSecrets } from "../redact.ts";
import { beginStep, type StepStatus } from "../steps.ts";
import { type Judgement, judgeArguments, MAX_CHARACTERS as MAX_ARGUMENTS } from "./arguments.ts";
import { BUILTINS } from "./builtin.ts";
import type { ToolDefinition } from "./definition.ts";
import { describeResponse, ExchangeError } from "./exchange.ts";
import { type Arguments, composeRequest, withDefaults } from "./http-tool.ts";
import { completeSchema, toolName } from "./provider-form.ts";
import { type RequestLimits, requestOutside, ToolError } from "./request.ts";

/** Calls of tools in one answer. */
const MAX_CALLS = 16;
/** What the model is shown of a result. */
const MAX_CHARACTERS = 16_000;

/** What a call of a tool may do. */
export interface ToolContext {
  readonly limits: Omit<RequestLimits, "mayFollow">;
  /** Earlier messages of the conversation. */
  search(query: string, limit: number): Promise<unknown>;
  /** The value that `configuration.api_key_ref` names, read for this call alone; null where it is not stored. */
  secretOf?(tool: ToolDefinition): Promise<string | null>;
  /** The secret of this call, for a tool that the runtime brings. */
  readonly secret?: string | null | undefined;
}

/** What the tools of one answer share. */
export interface AnswerTools {
  readonly signal: AbortSignal;
  /** How long one call may take. */
  readonly toolMs: number;
  /** Hosts that may be reached though their addresses are not public. */
  readonly privateHosts: readonly string[];
  /** The random word of the marks. */
  readonly word: string;
  /** Names that other tools of this answer have. */
  readonly taken?: readonly string[] | undefined;
  search: ToolContext["search"];
  secretOf?: ToolContext["secretOf"];
  /** Awaited before a call that may change something outside; what it throws ends the answer. */
  acted(name: string): void | Promise<void>;
}

/** Makes the tools that an agent may use in one answer. */
export function makeTools(definitions: readonly ToolDefinition[], answer: AnswerTools): ToolSet {
  const tools: Record<string, Tool> = {};
  const taken = new Set(answer.taken);
  const call = limitedCalls(answer);
  for (const definition of definitions) {
    const name = uniqueName(definition.name, taken);
    taken.add(name);
    tools[name] = defineTool({
      description: definition.description,
      // What the model sees; callTool checks the arguments, so that the model reads what is wrong.
      inputSchema: jsonSchema<Record<string, unknown>>(completeSchema(definition.inputSchema)),
      execute: async (given: unknown) => markResult(await call(definition, given), name, answer.word),
    });
  }
  return tools;
}

/**
 * Calls tools of one answer: at most so many, each within its time, each a step of the trace.
 * @returns what the model is shown
 */
export function limitedCalls(
  answer: AnswerTools,
): (definition: ToolDefinition, given: unknown) => Promise<string> {
  let calls = 0;
  return async (definition, given) => {
    calls += 1;
    const end = beginStep("tool", definition.name);
    if (calls > MAX_CALLS) {
      const message = "too many calls of tools; answer now";
      end({ status: "refused", error: { code: "TOOL_LIMIT_REACHED", message } });
      return `error: ${message}`;
    }
    try {
      if (mayAct(definition, given)) await answer.acted(definition.name);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      end({ status: "refused", error: { code: "TOOL_NOT_ALLOWED", message } });
      throw error;
    }
    const signal = AbortSignal.any([AbortSignal.timeout(answer.toolMs), answer.signal]);
    const limits = { privateHosts: answer.privateHosts, signal };
    const context = { limits, search: answer.search, ...(answer.secretOf && { secretOf: answer.secretOf }) };
    const { text, status, error, secrets } = await callTool(definition, given, context);
    end({
      status,
      arguments: redactArguments(given, secrets),
      ...(error === undefined
        ? { result: redactText(text, secrets) }
        : { error: { ...error, message: redactText(error.message, secrets) } }),
      ...(error?.code === "TOOL_HTTP_ERROR" && { result: redactText(text, secrets) }),
    });
    return text;
  };
}

/** What came of a call. */
export interface ToolOutcome {
  /** What the model reads. */
  readonly text: string;
  readonly status: StepStatus;
  readonly error?: { readonly code: string; readonly message: string };
  /** What was called with and must stand nowhere. */
  readonly secrets: readonly string[];
}

/**
 * Runs one call. Never throws: the model reads what went wrong, without any secret.
 * @param given what the model sent as arguments
 */
export async function callTool(
  definition: ToolDefinition,
  given: unknown,
  context: ToolContext,
): Promise<ToolOutcome> {
  const { signal } = context.limits;
  let secrets: readonly string[] = [];
  try {
    const tool = await orAborted(withSecret(definition, context), signal);
    secrets = tool.secret ? [tool.secret] : [];
    const checked = checkArguments(tool, given);
    const { status, text } = await orAborted(run(tool, checked, context), signal);
    const clean = shorten(withoutSecrets(text, secrets)); // some services repeat the key that they were called with
    if (status === undefined || status < 400) return { text: clean, status: "ok", secrets };
    const error = { code: "TOOL_HTTP_ERROR", message: `The other side answered HTTP ${status}.` };
    return { text: clean, status: "error", error, secrets };
  } catch (thrown) {
    const error = signal.aborted
      ? new ToolError("the tool took too long", "TOOL_TIMEOUT")
      : asToolError(thrown);
    const { code } = error;
    const message = withoutSecrets(error.message, secrets);
    const status = REFUSALS.has(code) ? "refused" : "error";
    return {
      text: `error: ${message}`,
      status,
      error: { code, message },
      secrets,
    };
  }
}

/** What the platform does not let happen, as opposed to what fails. */
const REFUSALS = new Set<string>(["TOOL_NOT_ALLOWED", "TOOL_SECRET_MISSING", "TOOL_LIMIT_REACHED"]);

/** Runs what the arguments were judged for; `status` is that of an HTTP response. */
async function run(
  tool: ToolDefinition,
  checked: Arguments,
  context: ToolContext,
): Promise<{ text: string; status?: number }> {
  if (tool.run !== undefined) return tool.run(checked, { ...context, secret: tool.secret });
  if (tool.implementation.type === "builtin") {
    const builtin = BUILTINS[tool.implementation.name ?? ""];
    if (!builtin) throw new ToolError("This tool does not exist any more.", "TOOL_FAILED");
    return { text: await builtin(tool, checked, context) };
  }
  const { url, request } = composeRequest(tool, checked);
  const mayFollow = (next: URL) => next.hostname === url.hostname;
  const response = await requestOutside(url, request, { ...context.limits, mayFollow });
  return { text: describeResponse(response), status: response.status };
}

/** The tool with its secret, which a runtime asks for now. */
async function withSecret(tool: ToolDefinition, { secretOf }: ToolContext): Promise<ToolDefinition> {
  if (secretOf === undefined || tool.configuration.api_key_ref === undefined) return tool;
  return { ...tool, secret: await secretOf(tool) };
}

/** Whatever was thrown, in words that hold nothing of the other side's. */
function asToolError(thrown: unknown): ToolError {
  if (thrown instanceof ToolError) return thrown;
  const code = (thrown as NodeJS.ErrnoException | undefined)?.code;
  const why =
    thrown instanceof ExchangeError
      ? `: ${thrown.message}`
      : /^[A-Z_]{3,40}$/.test(String(code))
        ? ` (${code})`
        : "";
  return new ToolError(`the tool failed: the other side did not answer properly${why}`, "TOOL_FAILED");
}

/** Arguments that fit the tool's schema. Throws ToolError naming each that does not. */
function checkArguments(tool: ToolDefinition, given: unknown): Arguments {
  const filled = withDefaults(tool, typeof given === "object" && given !== null ? (given as Arguments) : {});
  let judged: Judgement;
  if (tool.judgedThere) {
    if (JSON.stringify(filled).length <= MAX_ARGUMENTS) return filled;
    throw new ToolError(`the arguments are longer than ${MAX_ARGUMENTS} characters of JSON`);
  }
  try {
    judged = judgeArguments(tool.inputSchema, filled);
  } catch {
    throw new ToolError("this tool's input_schema cannot be used.");
  }
  if ("arguments" in judged) return judged.arguments;
  throw new ToolError(`the arguments do not fit: ${judged.problems.join("; ")}`);
}

/** Whether a call may change something: a request by any method but those that only read. */
export function mayAct({ implementation }: ToolDefinition, given: unknown): boolean {
  const builtin = implementation.type === "builtin";
  if (builtin && implementation.name !== "http_request") return false;
  const asked = builtin ? (given as { method?: unknown } | null)?.method : implementation.method;
  return !["GET", "HEAD"].includes(String(asked ?? "GET").toUpperCase());
}

const shorten = (text: string) =>
  text.length > MAX_CHARACTERS
    ? `${text.slice(0, MAX_CHARACTERS)}\n… (${text.length} characters in all)`
    : text;

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(new ToolError("the tool took too long", "TOOL_TIMEOUT")), {
      once: true,
    });
    work.then(resolve, reject);
  });
}

/** The tool's name for the providers; of two that look alike there the second gets a number. */
function uniqueName(name: string, taken: ReadonlySet<string>): string {
  const plain = toolName(name);
  let unique = plain;
  for (let number = 2; taken.has(unique); number++) unique = `${plain}_${number}`;
  return unique;
}
