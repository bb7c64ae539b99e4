// An MCP server that an agent names: its tools as the agent's, read when an answer needs them and kept for a while. A server that
// does not answer costs the agent that server's tools, never an answer.
import { withoutSecrets } from "../../abilities/redact.ts";
import { beginStep } from "../../abilities/steps.ts";
import { ToolError } from "../../abilities/tools/request.ts";
import type { OwnTool } from "../own.ts";
import type { McpAddress } from "./address.ts";
import type { McpConnection, McpTool } from "./connection.ts";

/** Tools of one server that a model is offered. */
export const MAX_TOOLS = 64;
const MAX_DESCRIPTION = 2_000;
const MAX_SCHEMA_BYTES = 16 * 1024;
/** As long as MCP lets names be, without what cannot be shown or stored. */
const NAME = /^\P{C}{1,128}$/u;
/** A changed list is seen after this long. */
const FRESH_MS = 60_000;
/** After a failure: so that not every answer waits for a server that does not answer. */
const RETRY_MS = { first: 5_000, most: 300_000 };

export interface McpServerOptions {
  readonly address: McpAddress;
  /** The secret that it is called with now; null where it is not stored. */
  secret(): Promise<string | null>;
  readonly privateHosts: readonly string[];
  /** How long reading its list may take. */
  readonly limitMs: number;
  /** Hears of each change: what is wrong, with the cure; undefined: nothing. */
  onState?(problem: string | undefined, note: string): void;
  /** Whether it is tried again without an answer that needs it. */
  readonly heals: boolean;
}

/** One server. */
export class McpServer {
  readonly #options: McpServerOptions;
  #session: { readonly secret: string | null; readonly connection: Promise<McpConnection> } | undefined;
  #tools: readonly OwnTool[] = [];
  #until = 0;
  #problem: string | undefined;
  #waitMs = RETRY_MS.first;
  #reading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: McpServerOptions) {
    this.#options = options;
  }

  /** What it offers. Never throws: a server that fails is a step of the answer's trace, and offers what it last did. */
  async tools(): Promise<readonly OwnTool[]> {
    if (performance.now() >= this.#until) this.#refresh();
    // Nobody waits for a list that replaces another one.
    if (this.#tools.length === 0) await this.#reading;
    if (this.#problem !== undefined) {
      const message = this.#problem;
      beginStep(
        "tool",
        this.#options.address.plugin,
      )({ status: "error", error: { code: "TOOL_FAILED", message } });
    }
    return this.#tools;
  }

  #refresh(): void {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
  }

  /** Ends the session. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#leave();
  }

  async #read(): Promise<void> {
    const { address, heals, limitMs, onState } = this.#options;
    const signal = AbortSignal.timeout(limitMs);
    let secret: string | null = null;
    // A server knows its secret, and may say it in its own words.
    const clean = (text: string) => (secret === null ? text : withoutSecrets(text, [secret]));
    try {
      secret = await this.#secret();
      const listed = await this.#with(secret, signal, (connection) =>
        connection.tools(MAX_TOOLS + 1, signal),
      );
      const usable = listed
        .slice(0, MAX_TOOLS)
        .filter(({ inputSchema, name }) => NAME.test(name) && sizeOf(inputSchema) <= MAX_SCHEMA_BYTES);
      this.#tools = usable.map((tool) => this.#asTool(tool, clean));
      this.#until = performance.now() + FRESH_MS;
      this.#waitMs = RETRY_MS.first;
      this.#problem = undefined;
      const offers = `Offers ${usable.length} ${usable.length === 1 ? "tool" : "tools"}`;
      const left =
        listed.length > MAX_TOOLS
          ? `only its first ${MAX_TOOLS} tools are used`
          : usable.length < listed.length
            ? `${listed.length - usable.length} of its tools are left out: their input schema is larger than 16 KiB, or their name is unusable`
            : "";
      onState?.(undefined, left === "" ? offers : `${offers}; ${left}`);
    } catch (error) {
      const words = signal.aborted
        ? `the server did not answer within ${limitMs} ms`
        : clean((error as Error).message);
      this.#problem = `${address.url.host}: ${words}`;
      this.#until = performance.now() + this.#waitMs;
      clearTimeout(this.#timer);
      if (heals && !this.#closed) this.#timer = setTimeout(() => this.#refresh(), this.#waitMs).unref();
      this.#waitMs = Math.min(RETRY_MS.most, this.#waitMs * 2);
      onState?.(this.#problem, "");
      await this.#leave();
    }
  }

  async #secret(): Promise<string | null> {
    const { secretName } = this.#options.address;
    if (secretName === undefined) return null;
    const secret = await this.#options.secret();
    if (secret === null) throw missing(secretName);
    return secret;
  }

  #asTool(
    { name, description, inputSchema, annotations }: McpTool,
    clean: (text: string) => string,
  ): OwnTool {
    const { plugin, secretName } = this.#options.address;
    return {
      id: `${plugin} ${name}`,
      plugin,
      name,
      description: clean(description ?? name).slice(0, MAX_DESCRIPTION),
      inputSchema,
      judgedThere: true,
      implementation: { type: "mcp", method: annotations?.readOnlyHint === true ? "GET" : "POST" },
      configuration: secretName === undefined ? {} : { api_key_ref: secretName },
      run: async (given, { limits, secret = null }) => {
        if (secretName !== undefined && secret === null) throw missing(secretName);
        const work = (connection: McpConnection) => connection.call(name, given, limits.signal);
        const { isError, text } = await this.#with(secret, limits.signal, work);
        if (isError) throw new ToolError(text.slice(0, MAX_DESCRIPTION) || "the tool failed", "TOOL_FAILED");
        return { text };
      },
    };
  }

  /** Does one thing in a session that was opened with this secret; once more where the server forgot the session. */
  async #with<T>(
    secret: string | null,
    signal: AbortSignal,
    work: (connection: McpConnection) => Promise<T>,
  ): Promise<T> {
    const { McpConnection } = await import("./connection.ts");
    const { SessionLost } = await import("./transport.ts");
    for (let again = false; ; again = true) {
      if (this.#session?.secret !== secret) await this.#leave();
      const { address, privateHosts } = this.#options;
      this.#session ??= { secret, connection: McpConnection.open({ address, secret, privateHosts }, signal) };
      const session = this.#session;
      try {
        return await work(await session.connection);
      } catch (error) {
        const lost = error instanceof SessionLost;
        // One that was never opened is not a session.
        const opened = await session.connection.then(
          () => true,
          () => false,
        );
        if ((lost || !opened) && this.#session === session) this.#session = undefined;
        if (!lost || again) throw lost ? new ToolError(error.message, "TOOL_FAILED") : error;
      }
    }
  }

  async #leave(): Promise<void> {
    const left = this.#session;
    this.#session = undefined;
    await left?.connection.then(
      (connection) => connection.close(),
      () => undefined,
    );
  }
}

const sizeOf = (schema: unknown): number => JSON.stringify(schema).length;

const missing = (name: string) =>
  new ToolError(
    `The secret ${name} is not set: run \`launchpad secrets set <agent> ${name}\`, or \`launchpad secrets set --account ${name}\` for all your agents.`,
    "TOOL_SECRET_MISSING",
  );
