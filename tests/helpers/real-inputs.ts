// What the scenarios of real inputs share: a stack whose providers are stubs, a server outside for tools, agents run in both
// ways, and a message's answer.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { launched } from "./agents.ts";
import { eventually } from "./processes.ts";
import { type Answering, echo, type ProviderStub, startProviderStub } from "./providers.ts";
import { startTestStack, type TestStack, type TestUser } from "./stack.ts";

export const FRAMEWORKS = ["openai", "anthropic", "google"] as const;
export const WAYS = ["undeployed", "deployed"] as const;
export type Way = (typeof WAYS)[number];

/** A request as the server outside got it. */
export interface Outgoing {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** An agent's message. */
export interface Told {
  readonly id: string;
  readonly status: string;
  readonly content: string;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly warnings: readonly { readonly field: string; readonly message: string }[];
}

export interface Stage {
  readonly stack: TestStack;
  readonly stub: ProviderStub;
  readonly user: TestUser;
  readonly stranger: TestUser;
  /** Where the server outside is, without a slash at the end. */
  readonly outside: string;
  readonly outgoing: Outgoing[];
  insert(table: string, row: Record<string, unknown>): Promise<Record<string, unknown> & { id: string }>;
  /** An agent of this definition (in the words of a row), in one of the two ways; returns its id. */
  agent(way: Way, definition?: Record<string, unknown>): Promise<string>;
  /** A tool of the user's that calls the server outside, given to an agent. */
  tool(
    agentId: string,
    tool: Record<string, unknown>,
    configuration?: Record<string, unknown>,
  ): Promise<void>;
  /** Says something to an agent by a row, and waits for what comes of it. */
  say(agentId: string, content?: string): Promise<Told>;
  /** Forgets what was asked, and answers as at the beginning. */
  reset(): void;
  stop(): Promise<void>;
}

/** Answers with a call of a tool first, and with words when its result is there. */
export const calling =
  (name: string, args: Record<string, unknown>): Answering =>
  ({ body }) =>
    /tool-result-\w+ tool=/.test(JSON.stringify(body))
      ? "Done."
      : { pieces: [], toolCalls: [{ name, arguments: args }] };

/** Sets the stage. What was opened is closed where a step fails. */
export async function setStage(): Promise<Stage> {
  const outgoing: Outgoing[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    outgoing.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
    response.end("sunny");
  });
  const stub = await startProviderStub();
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await stub.close();
  };
  try {
    await once(server.listen(0, "127.0.0.1"), "listening");
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const stack = await startTestStack({
      // The stub stands for the providers themselves.
      env: {
        ...stub.environment,
        OPENAI_API: "catalogue",
        LAUNCHPAD_TOOL_PRIVATE_HOSTS: host,
        LAUNCHPAD_AGENT_PRIVATE_HOSTS: host,
      },
    });
    try {
      await stack.raiseRateLimits();
      const [user, stranger] = await Promise.all([stack.createUser(), stack.createUser()]);
      return {
        ...acts(stack, user),
        stack,
        stub,
        user,
        stranger,
        outside: `http://${host}`,
        outgoing,
        reset() {
          stub.answer = echo;
          stub.requests.length = 0;
          outgoing.length = 0;
        },
        async stop() {
          await stack.stop();
          await close();
        },
      };
    } catch (error) {
      await stack.stop();
      throw error;
    }
  } catch (error) {
    await close();
    throw error;
  }
}

function acts(stack: TestStack, user: TestUser): Pick<Stage, "insert" | "agent" | "tool" | "say"> {
  const insert: Stage["insert"] = async (table, row) => {
    const { data, error } = await user.client.from(table).insert(row).select().single();
    assert.equal(error, null, JSON.stringify(error));
    return data;
  };
  return {
    insert,
    async agent(way, definition = {}) {
      const { name = "Ada", ...rest } = definition;
      if (way === "deployed") return launched(stack, user, { agentName: name, ...rest });
      return (await insert("agents", { name, ...rest })).id;
    },
    async tool(agentId, tool, configuration = {}) {
      const { id } = await insert("tools", { description: "Does it.", ...tool });
      await insert("agent_tools", { agent_id: agentId, tool_id: id, configuration });
    },
    async say(agentId, content = "hello") {
      const row = { to_agent_id: agentId, conversation_id: crypto.randomUUID(), content };
      const { id } = await insert("messages", row);
      return eventually(
        "the answer",
        async () =>
          (await user.client.from("messages").select().eq("reply_to", id)).data?.[0] as Told | undefined,
      );
    },
  };
}
