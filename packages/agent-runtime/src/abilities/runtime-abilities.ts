// What a deployed agent's runtime asks the project for while it answers: its tools, the secret of one call, earlier messages;
// and where the steps of its answers wait. Everything by the agent's own credential.
import type { Credential } from "../credential.ts";
import { AgentError } from "../errors.ts";
import { type Project, ProjectRefusal, ProjectUnavailable } from "../project.ts";
import { type Begin, createBegin } from "./begun-messages.ts";
import type { Piece } from "./knowledge.ts";
import { createPlatformLease, type PlatformLease } from "./platform-lease.ts";
import { openStepJournal } from "./step-journal.ts";
import { createStepLog, type StepLog } from "./step-log.ts";
import type { ToolDefinition } from "./tools/definition.ts";
import { toolsDigest } from "./tools/digest.ts";
import { ToolError } from "./tools/tool-error.ts";

/** At the agent's own address a changed list of tools is seen after this long; the platform's messages say which list is theirs. */
const FRESH_MS = 5_000;
/** Of a text that is embedded: what the function reads of it (questionText), so that a long message is not refused for its size. */
const EMBEDDED_CHARACTERS = 6_000;

export interface Abilities {
  /** Opens the traces of answers. */
  readonly steps: StepLog;
  /** Which replica holds the agent's platforms. */
  readonly platforms: PlatformLease;
  /** Reads the tools ahead where they are not fresh; whoever answers finds them on their way. */
  prepare(): void;
  /**
   * The agent's tools.
   * @param digest of the list that the platform's message was made with (toolsDigest); left out: what is fresh
   * @throws AgentError SUPABASE_CONNECTION_ERROR where no list was ever read
   */
  tools(digest?: string): Promise<readonly ToolDefinition[]>;
  /** The secret for one call. Throws ToolError. */
  secretOf(tool: ToolDefinition): Promise<string | null>;
  /** The secret that an MCP server of the agent's plugins is called with. Throws ToolError. */
  pluginSecret(plugin: string): Promise<string | null>;
  /**
   * What the agent's knowledge has for a message at its own address; `before` is what its caller said before.
   * @throws AgentError SUPABASE_CONNECTION_ERROR: an answer without it would be made up
   */
  knowledge(answerId: string, question: string, before: string | undefined): Promise<readonly Piece[]>;
  /** Whether an attempt at an answer may act: the first that asks may, and no other. Throws where the project does not answer. */
  mayAct(answerId: string, attempt: string): Promise<boolean>;
  /** Appends a message that the agent begins to one of its stored conversations. */
  readonly begin: Begin;
  /** Earlier messages of a stored conversation. */
  search(conversationId: string, query: string, limit: number): Promise<unknown>;
}

export interface AbilitiesOptions {
  readonly agentId: string;
  readonly replica: string;
  /** Without it (or without a credential) there are no tools, and no trace. */
  readonly project: Project | undefined;
  readonly credential: Credential | undefined;
  /** Where steps of answers outlast a crash. */
  readonly stateDir?: string | undefined;
  warn(message: string, facts?: Record<string, unknown>): void;
}

/** The forms of the project's answers. Loaded by the first of them: an agent that waits for messages does without it. */
const forms = () => import("./project-answers.ts");

const NONE: readonly ToolDefinition[] = [];

/** Makes a runtime's abilities. */
export function createAbilities({
  agentId,
  replica,
  project,
  credential,
  stateDir,
  warn,
}: AbilitiesOptions): Abilities {
  const proof = () => ({ agent_id: agentId, credential: credential?.() });
  const connected = project !== undefined && credential !== undefined;
  const journal = openStepJournal(connected ? stateDir : undefined, warn);
  let known:
    | {
        tools: readonly ToolDefinition[];
        knowledge: boolean;
        meaning: boolean;
        digest: string;
        until: number;
      }
    | undefined;
  let reading: Promise<readonly ToolDefinition[]> | undefined;

  async function read(from: Project): Promise<readonly ToolDefinition[]> {
    try {
      const { tools, knowledge, meaning } = (await forms()).toolList.parse(
        await from.call("runtime_tools", proof()),
      );
      known = { tools, knowledge, meaning, digest: toolsDigest(tools), until: performance.now() + FRESH_MS };
      return tools;
    } catch (error) {
      warn("The agent's tools cannot be read", { cause: String(error) });
      if (known !== undefined) return known.tools;
      throw new AgentError("SUPABASE_CONNECTION_ERROR", "The agent's tools cannot be read now; try again.", {
        retryAfterSeconds: 5,
        cause: error,
      });
    }
  }
  const latest = async (): Promise<readonly ToolDefinition[]> => {
    if (project === undefined || credential === undefined) return NONE;
    if (known !== undefined && performance.now() < known.until) return known.tools;
    reading ??= read(project).finally(() => {
      reading = undefined;
    });
    return reading;
  };

  const readSecret = async (rpc: string, args: object, what: string): Promise<string | null> => {
    if (project === undefined) return null;
    try {
      const answer = await project.call<{ secret: string | null }>(rpc, { ...proof(), ...args });
      return answer.secret;
    } catch (error) {
      if (error instanceof ProjectRefusal && error.status === 404) {
        throw new ToolError(`This agent does not have this ${what} any more.`, "TOOL_NOT_ALLOWED");
      }
      throw new ToolError(`The secret of this ${what} cannot be read now.`, "TOOL_FAILED");
    }
  };

  /** The question's vector. Without one, words find the knowledge, and the answer's step says so. */
  async function meaningOf(from: Project, asked: Record<string, unknown>) {
    try {
      const cut = Object.entries(asked).map(([name, text]) => [
        name,
        typeof text === "string" ? text.slice(-EMBEDDED_CHARACTERS) : text,
      ]);
      const answer = await from.invoke("knowledge/embedding", Object.fromEntries(cut));
      const { embedding } = (await forms()).embeddingAnswer.parse(answer);
      return { embedding };
    } catch (error) {
      warn("The question could not be embedded", { cause: String(error) });
      const said =
        error instanceof ProjectUnavailable || error instanceof ProjectRefusal ? error.message : "";
      return { unembedded: said || "The function knowledge gave no vector." };
    }
  }

  return {
    steps: createStepLog({ connected, journal, warn }),
    platforms: createPlatformLease({ agentId, replica, project, credential, warn }),
    begin: createBegin({ agentId, replica, project, credential }),
    prepare: () => void latest().catch(() => undefined),
    async tools(digest) {
      if (digest === undefined) return latest();
      if (digest === "none") return NONE;
      if (known?.digest !== digest) known = undefined;
      return latest();
    },
    secretOf: (tool) =>
      tool.plugin === undefined
        ? readSecret("runtime_tool_secret", { tool_id: tool.id }, "tool")
        : readSecret("runtime_plugin_secret", { plugin: tool.plugin }, "plugin"),
    pluginSecret: (plugin) => readSecret("runtime_plugin_secret", { plugin }, "plugin"),
    async knowledge(message_id, question, before) {
      await latest();
      if (project === undefined || known?.knowledge !== true) return [];
      try {
        const asked = { ...proof(), question, ...(before !== undefined && { before }) };
        const args = { ...asked, message_id, ...(known.meaning && (await meaningOf(project, asked))) };
        const found = await project.call("runtime_knowledge", args);
        return (await forms()).pieces.parse(found);
      } catch (error) {
        warn("The agent's knowledge cannot be read", { cause: String(error) });
        throw new AgentError(
          "SUPABASE_CONNECTION_ERROR",
          "The agent's knowledge cannot be read now; try again.",
          { retryAfterSeconds: 5, cause: error },
        );
      }
    },
    async mayAct(message_id, attempt) {
      if (project === undefined || credential === undefined) return true;
      const { may } = await project.call<{ may: boolean }>("runtime_acts", {
        ...proof(),
        message_id,
        attempt,
      });
      return may === true;
    },
    async search(conversation_id, query, limit) {
      if (project === undefined) return [];
      return (await project.call("runtime_search", { ...proof(), conversation_id, query, limit })) ?? [];
    },
  };
}
