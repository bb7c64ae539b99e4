// A session with an MCP server: what it offers, and calls. Every failure is in words for the agent's owner.
import { createMCPClient, type MCPClient, MCPClientError } from "@ai-sdk/mcp";
import { ExchangeError } from "../../abilities/tools/exchange.ts";
import { ToolError } from "../../abilities/tools/request.ts";
import { GuardedTransport, McpRefusal, SessionLost, type TransportOptions } from "./transport.ts";

/** A tool as its server describes it. */
export interface McpTool {
  readonly name: string;
  readonly description?: string | undefined;
  readonly inputSchema: Readonly<Record<string, unknown>>;
  readonly annotations?: { readonly readOnlyHint?: boolean | undefined } | undefined;
}

/** What a call came to: texts, and mentions of what is none. */
export interface McpResult {
  readonly text: string;
  readonly isError: boolean;
}

/** Pages of a list that are read. */
const MAX_PAGES = 20;

/** An open session. */
export class McpConnection {
  readonly #client: MCPClient;

  private constructor(client: MCPClient) {
    this.#client = client;
  }

  /** Opens a session in the newest protocol that both sides know. Throws ToolError. */
  static async open(options: TransportOptions, signal: AbortSignal): Promise<McpConnection> {
    return explained(async () => {
      const client = await createMCPClient({
        transport: new GuardedTransport(options),
        clientName: "agent-launchpad",
        initializationOptions: { signal },
        onUncaughtError: () => undefined, // each call reports its own
      });
      return new McpConnection(client);
    });
  }

  /** Reads the whole list, at most so many. Throws ToolError. */
  async tools(most: number, signal: AbortSignal): Promise<McpTool[]> {
    return explained(async () => {
      const found: McpTool[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < MAX_PAGES && found.length < most; page++) {
        const params = cursor === undefined ? {} : { params: { cursor } };
        const { nextCursor, tools } = await this.#client.listTools({ ...params, options: { signal } });
        found.push(...tools);
        if (nextCursor === undefined || nextCursor === cursor) break;
        cursor = nextCursor;
      }
      return found.slice(0, most);
    });
  }

  /**
   * Calls a tool.
   * @throws SessionLost where it was not called, ToolError
   */
  async call(
    name: string,
    given: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<McpResult> {
    return explained(async () => {
      const result = await this.#client.callTool({ name, arguments: { ...given }, options: { signal } });
      const { content, structuredContent, toolResult } = result as {
        content?: unknown;
        structuredContent?: unknown;
        toolResult?: unknown;
      };
      const parts = Array.isArray(content) ? content.map(inWords) : [];
      const rest = parts.length > 0 ? undefined : (structuredContent ?? toolResult);
      const text = rest === undefined ? parts.join("\n") : JSON.stringify(rest);
      return { text, isError: (result as { isError?: unknown }).isError === true };
    });
  }

  async close(): Promise<void> {
    await this.#client.close().catch(() => undefined);
  }
}

/** A part of a result as the model reads it. */
function inWords(part: unknown): string {
  const { type, text, mimeType, data, uri, resource } = part as Record<string, unknown>;
  if (type === "text") return String(text);
  if (type === "resource") {
    const { text: inner, uri: of } = (resource ?? {}) as Record<string, unknown>;
    return typeof inner === "string" ? inner : `[resource ${String(of)}]`;
  }
  if (type === "resource_link") return `[resource ${String(uri)}]`;
  const bytes = typeof data === "string" ? `, ${Math.floor((data.length * 3) / 4)} bytes` : "";
  return `[${String(type)}${typeof mimeType === "string" ? ` ${mimeType}` : ""}${bytes}]`;
}

/** Runs one exchange; what it throws is a SessionLost, or a ToolError in words. */
async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof SessionLost ? error : asToolError(error);
  }
}

function asToolError(thrown: unknown): Error {
  for (let cause = thrown, depth = 0; cause instanceof Error && depth < 6; cause = cause.cause, depth++) {
    if (cause instanceof SessionLost || cause instanceof ToolError) return cause;
    if (cause instanceof McpRefusal) return new ToolError(cause.message, "TOOL_FAILED");
    if (cause instanceof ExchangeError)
      return new ToolError(`the server did not answer: ${cause.message}`, "TOOL_FAILED");
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === "string" && /^[A-Z_]{3,40}$/.test(code)) {
      return new ToolError(`the server cannot be reached (${code})`, "TOOL_FAILED");
    }
  }
  // An error of the protocol: the server's own sentence, or the client's on what the server sent.
  const said = MCPClientError.isInstance(thrown) ? thrown.message.slice(0, 300) : "it does not speak MCP";
  return new ToolError(`the server failed: ${said}`, "TOOL_FAILED");
}
