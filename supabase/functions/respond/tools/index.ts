/** The tools of one answer, in the AI SDK's form: arguments checked, time and size limited, results marked as data. */
import { tool as defineTool, jsonSchema, type Tool, type ToolSet } from "ai";
import type { Database } from "../database.ts";
import { markResult } from "../prompt.ts";
import type { Settings } from "../settings.ts";
import type { Task, TaskTool } from "../task.ts";
import { type Judgement, judgeArguments } from "./arguments.ts";
import { BUILTINS } from "./builtin.ts";
import type { ExchangeResponse } from "./exchange.ts";
import { type Arguments, composeRequest, withDefaults } from "./http-tool.ts";
import { completeSchema, toolName } from "./provider-form.ts";
import { type RequestLimits, requestOutside, ToolError } from "./request.ts";

/** Calls of tools in one answer. */
const MAX_CALLS = 16;
/** What the model is shown of a result. */
const MAX_CHARACTERS = 16_000;

export interface ToolContext {
  readonly limits: Omit<RequestLimits, "mayFollow">;
  search(query: string, limit: number): Promise<unknown>;
}

export interface AnswerTools {
  readonly settings: Settings;
  readonly database: Database;
  readonly signal: AbortSignal;
  /** The random word of the marks. */
  readonly word: string;
  /** Is told before a call that may change something outside. */
  acted(): void;
}

/** Makes the tools that a task's agent may use. */
export function makeTools(task: Task, { settings, database, signal, word, acted }: AnswerTools): ToolSet {
  const tools: Record<string, Tool> = {};
  let calls = 0;
  for (const definition of task.tools) {
    const name = uniqueName(definition.name, tools);
    tools[name] = defineTool({
      description: definition.description,
      // What the model is shown; the arguments are judged in runTool, so that it is told what is wrong.
      inputSchema: jsonSchema<Record<string, unknown>>(completeSchema(definition.inputSchema)),
      execute: async (given: unknown) => {
        calls += 1;
        if (calls > MAX_CALLS) return markResult("error: too many calls of tools; answer now", name, word);
        if (mayAct(definition, given)) acted();
        const limit = AbortSignal.timeout(settings.toolMs);
        const context: ToolContext = {
          limits: { privateHosts: settings.privateHosts, signal: AbortSignal.any([limit, signal]) },
          search: (query, most) => database.search(task, query, most),
        };
        return markResult(await runTool(definition, given, context), name, word);
      },
    });
  }
  return tools;
}

/**
 * Runs one call. Never throws: the model is told what went wrong, in words that hold no secret.
 * @param given what the model sent as arguments
 */
export async function runTool(tool: TaskTool, given: unknown, context: ToolContext): Promise<string> {
  try {
    const checked = checkArguments(tool, given);
    const { signal } = context.limits;
    const work = (async () => {
      if (tool.implementation.type === "builtin") {
        const builtin = BUILTINS[tool.implementation.name ?? ""];
        if (!builtin) throw new ToolError("This tool does not exist any more.");
        return await builtin(tool, checked, context);
      }
      const { url, request } = composeRequest(tool, checked);
      const mayFollow = (next: URL) => next.hostname === url.hostname;
      return describeResponse(await requestOutside(url, request, { ...context.limits, mayFollow }));
    })();
    return shorten(hide(await orAborted(work, signal), tool.secret));
  } catch (error) {
    if (context.limits.signal.aborted) return "error: the tool took too long";
    return `error: ${error instanceof ToolError ? error.message : "the tool failed: the other side did not answer properly"}`;
  }
}

/** Arguments that fit the tool's schema. Throws ToolError naming each that does not. */
function checkArguments(tool: TaskTool, given: unknown): Arguments {
  const filled = withDefaults(tool, typeof given === "object" && given !== null ? (given as Arguments) : {});
  let judged: Judgement;
  try {
    judged = judgeArguments(tool.inputSchema, filled);
  } catch {
    throw new ToolError("this tool's input_schema cannot be used.");
  }
  if ("arguments" in judged) return judged.arguments;
  throw new ToolError(`the arguments do not fit: ${judged.problems.join("; ")}`);
}

/** Whether a call may change something: a request by any method but those that only read. */
export function mayAct({ implementation }: TaskTool, given: unknown): boolean {
  const builtin = implementation.type === "builtin";
  if (builtin && implementation.name !== "http_request") return false;
  const asked = builtin ? (given as { method?: unknown } | null)?.method : implementation.method;
  return !["GET", "HEAD"].includes(String(asked ?? "GET").toUpperCase());
}

/** A response as the model reads it. */
export const describeResponse = ({ status, body }: ExchangeResponse): string => `HTTP ${status}\n${body}`;

const shorten = (text: string) =>
  text.length > MAX_CHARACTERS
    ? `${text.slice(0, MAX_CHARACTERS)}\n… (${text.length} characters in all)`
    : text;

/** Some services repeat the key that they were called with. */
const hide = (text: string, secret: string | null | undefined) =>
  secret && secret.length >= 4 ? text.replaceAll(secret, "[secret]") : text;

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(new ToolError("the tool took too long")), { once: true });
    work.then(resolve, reject);
  });
}

/** The tool's name for the providers; of two that look alike there the second gets a number. */
function uniqueName(name: string, taken: Readonly<Record<string, unknown>>): string {
  const plain = toolName(name);
  let unique = plain;
  for (let number = 2; Object.hasOwn(taken, unique); number++) unique = `${plain}_${number}`;
  return unique;
}
