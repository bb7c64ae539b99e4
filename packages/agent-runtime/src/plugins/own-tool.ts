// What the tools of the plugins that the runtime brings have in common: how they are described, and how they send a request.
import type { ExchangeResponse } from "../abilities/tools/exchange.ts";
import type { ToolContext } from "../abilities/tools/index.ts";
import { requestOutside } from "../abilities/tools/request.ts";
import type { OwnTool } from "./own.ts";

/**
 * A tool without what it does.
 * @param method `GET` where it only reads: another attempt at the answer may call it again
 * @param required those of the properties that must be given
 */
export function describeTool(
  name: string,
  method: "GET" | "POST" | "PATCH",
  description: string,
  required: readonly string[],
  properties: Readonly<Record<string, unknown>>,
): Omit<OwnTool, "run"> {
  return {
    id: `plugin:${name}`,
    name,
    description,
    inputSchema: { type: "object", properties, required },
    implementation: { type: "plugin", method },
    configuration: {},
  };
}

/** An address below another one. */
export const below = (base: URL, path: string): URL => new URL(`${base.href.replace(/\/+$/, "")}${path}`);

/** Sends a request to the side that the settings name; it may lead to nowhere else. */
export const sendTo = (
  url: URL,
  request: Parameters<typeof requestOutside>[1],
  { limits }: ToolContext,
): Promise<ExchangeResponse> =>
  requestOutside(url, request, { ...limits, mayFollow: (next) => next.host === url.host });
