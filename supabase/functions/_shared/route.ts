/** One row of the route table. The router and the OpenAPI document are both made from it. */
import type { z } from "zod";
import type { ErrorCode } from "./contract/index.ts";

/** Where the RPC's argument comes from; `body` without a name is the whole body, as the client wrote it. */
export type Source =
  | { readonly in: "path" | "query"; readonly name: string }
  | { readonly in: "body"; readonly name?: string };

export interface Route {
  readonly operationId: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Below `/api`, parameters in braces. */
  readonly path: string;
  readonly tag: "Agents" | "Keys" | "Lifecycle" | "Monitoring" | "Security" | "System" | "Usage" | "Users";
  readonly summary: string;
  readonly description?: string;
  /** The function behind it: POST /rest/v1/rpc/<rpc>. */
  readonly rpc: string;
  readonly args: Readonly<Record<string, Source>>;
  readonly query: z.ZodObject;
  /** Left out where the method takes no body. */
  readonly body?: {
    readonly schema: z.ZodType;
    readonly required: boolean;
    /** What the reference page offers to send. */
    readonly example?: Readonly<Record<string, unknown>>;
    /** Problems that say it all for a body that is plainly something else, in place of one per field. */
    readonly mistaken?: (value: unknown) => Readonly<Record<string, string>> | undefined;
    /** Where more than the usual limit is allowed. */
    readonly maxBytes?: number;
  };
  readonly success: {
    readonly status: 200 | 201 | 202 | 204;
    /** Left out where the answer has no body (204). */
    readonly schema?: z.ZodType;
    readonly description: string;
  };
  /** Codes beyond those that any request may meet. */
  readonly errors: readonly ErrorCode[];
}

export const path = (name: string): Source => ({ in: "path", name });
export const query = (name: string): Source => ({ in: "query", name });
export const body: Source = { in: "body" };
export const bodyField = (name: string): Source => ({ in: "body", name });

/**
 * The route's path as Hono writes it.
 * @param pattern such as `/agents/{agentId}`
 */
export const honoPath = (pattern: string): string => pattern.replaceAll(/\{(\w+)\}/g, ":$1");

/**
 * The methods each path offers, as `Allow` lists them: GET brings HEAD, every path takes OPTIONS. More literal paths come
 * first, so that `/agents/stop-all` is not taken for an agent's id.
 * @param routes the route table
 */
export function offered(
  routes: readonly Pick<Route, "path" | "method">[],
): [path: string, methods: string[]][] {
  const byPath = new Map<string, string[]>([["/openapi.json", ["GET", "HEAD", "OPTIONS"]]]);
  for (const { path: pattern, method } of routes) {
    const methods = byPath.get(pattern) ?? ["OPTIONS"];
    methods.unshift(...(method === "GET" ? ["GET", "HEAD"] : [method]));
    byPath.set(pattern, methods);
  }
  const literals = ([pattern]: [string, string[]]) =>
    pattern.split("/").filter((part) => !part.startsWith("{")).length;
  return [...byPath].sort((a, b) => literals(b) - literals(a));
}
