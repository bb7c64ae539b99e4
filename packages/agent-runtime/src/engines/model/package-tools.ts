// What a package brings to a model agent: a plugin of ours, or tools of the AI SDK in the forms that packages export them. Pure.
import type { Tool, ToolSet } from "ai";
import { toolName } from "../../abilities/tools/provider-form.ts";
import type { ModelPlugin } from "./plugins.ts";

/** A module's plugin, or why it has none, with the cure. */
export type Read = { readonly plugin: ModelPlugin } | { readonly problem: string };

/**
 * Reads a module: its default export as a plugin, else the tools under `tools`, in the default export, and among the exports.
 * @param name the package's name
 * @example
 * readPlugin("my-tools", { search: tool({…}) }); // {plugin: {name: "my-tools", tools: {search}}}
 */
export function readPlugin(name: string, module: Readonly<Record<string, unknown>>): Read {
  const whole = module.default;
  if (isPlugin(whole)) return { plugin: { ...whole, ...(whole.tools && { tools: named(whole.tools) }) } };
  const { default: _, tools, ...others } = module;
  for (const source of [tools, whole, others]) {
    const found = toolsIn(source);
    if (Object.keys(found).length > 0) return { plugin: { name, tools: named(found) } };
  }
  const places = [module, tools, whole].filter(isObject).flatMap((place) => Object.entries(place));
  if (places.some(([, value]) => isObject(value) && "parameters" in value && "execute" in value)) {
    return {
      problem: "its tools are of AI SDK 4 (parameters); name a version for AI SDK 5 or later (inputSchema)",
    };
  }
  const makers = places
    .filter(([key, value]) => key !== "default" && typeof value === "function")
    .map(([key]) => key);
  const hint =
    makers.length === 0
      ? ""
      : `; it exports functions (${makers.slice(0, 5).join(", ")}): make a package whose "tools" calls them with your options`;
  return {
    problem: `it must export AI SDK tools ("tools", or each by its name), or { name, tools?, init? } as its default export${hint}`,
  };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

function isPlugin(value: unknown): value is ModelPlugin {
  if (!isObject(value)) return false;
  const { name, tools, init } = value;
  return (
    typeof name === "string" &&
    (tools === undefined || isObject(tools)) &&
    (init === undefined || typeof init === "function")
  );
}

/** A tool that this process can run. */
const isTool = (value: unknown): value is Tool =>
  isObject(value) && "inputSchema" in value && typeof value.execute === "function";

function toolsIn(value: unknown): ToolSet {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, Tool] => isTool(entry[1])),
  );
}

/** The tools under names that every provider accepts; of two that look alike there the second gets a number. */
function named(tools: ToolSet): ToolSet {
  const result: ToolSet = {};
  for (const [key, tool] of Object.entries(tools)) {
    const plain = toolName(key);
    let unique = plain;
    for (let number = 2; unique in result; number++) unique = `${plain}_${number}`;
    result[unique] = tool;
  }
  return result;
}
