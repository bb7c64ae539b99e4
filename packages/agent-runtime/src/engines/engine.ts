// The interface that both engines implement.

import type { Piece } from "../abilities/knowledge.ts";
import type { Abilities } from "../abilities/runtime-abilities.ts";
import type { Config } from "../config.ts";
import type { Log } from "../log.ts";
import type { Meter, Occasion } from "../meter.ts";
import type { PluginStates } from "../plugin-states.ts";
import type { Warning } from "./model/facts.ts";

/** Words of a conversation, by whom they were said. */
export interface Turn {
  /** Of the stored message. */
  readonly id?: string | undefined;
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** One message to an agent, already checked. */
export interface Message {
  readonly text: string;
  readonly conversationId: string;
  /** Who says it, as the door names them: `user:<id>`, `key:<id>`, `public`, or `platform` for stored conversations. */
  readonly caller: string;
  readonly userId: string | undefined;
  /** What the agent may call who says it. */
  readonly userName?: string | undefined;
  /** What was said before, by the platform's word; then the engine's own memory is neither read nor written. */
  readonly history: readonly Turn[] | undefined;
  /** The answer that is wanted; left out: one without a trace, of an agent without tools. */
  readonly answer?: Wanted | undefined;
  /** Whether this attempt at the answer may act: asked before its first act. Left out: it may. */
  readonly mayAct?: (() => Promise<boolean>) | undefined;
  /** Through which door it came, with the platform's reservation if it brought one; left out: the agent's own address. */
  readonly occasion?: Occasion | undefined;
}

/** What is known of an answer before it is made. */
export interface Wanted {
  /** The id of its message; its steps are kept under it. */
  readonly id: string;
  /** The random word of the marks around what is data. */
  readonly word: string;
  /** The stored message that is answered. */
  readonly question?: string | undefined;
  /** What the platform adds to the agent's instructions: its company in a swarm, what the marks mean. */
  readonly rules?: string | undefined;
  /** Which list of tools the platform's message was made with (toolsDigest). */
  readonly tools?: string | undefined;
  /** What the platform found for it in the agent's knowledge. */
  readonly knowledge?: readonly Piece[] | undefined;
  /** An earlier attempt began to act; only who knows its outcome may answer. */
  readonly begun?: boolean | undefined;
}

/** Where a conversation is kept: another caller's id is another conversation. (No part has a space.) */
export const roomOf = ({ caller, conversationId }: Message): string => `${caller} ${conversationId}`;

/** A call of a tool that the model made while it answered. */
export interface ToolCall {
  readonly name: string;
  /** started: from here on the message may have taken effect outside. */
  readonly status: "started" | "completed" | "failed";
  readonly milliseconds: number;
}

/** Follows an answer while it is made. */
export interface Listener {
  delta(text: string): void;
  tool(call: ToolCall): void;
}

export interface Reply {
  readonly text: string;
  /** Why there is no text: the agent chose to be silent. */
  readonly silence?: string;
  /** The model that answered. */
  readonly model: string;
  /** Left out where no provider reported it. */
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number };
  /** Settings that had no effect as they are. */
  readonly warnings?: readonly Warning[];
}

/** What makes an agent answer. The server knows nothing else of it. */
export interface Engine {
  readonly name: "model" | "eliza";
  /** The model's name; undefined while no key is set. */
  readonly model: string | undefined;
  /** Plugins that are loaded. */
  readonly plugins: readonly string[];
  /** A message comes: what answering needs may be loaded. */
  prepare?(): void;
  /**
   * Answers one message.
   * @param listener where somebody listens; the reply itself is the whole text all the same
   * @throws AgentError for everything a caller should know
   */
  reply(message: Message, signal: AbortSignal, listener?: Listener): Promise<Reply>;
  /** Whether it works, or may work, without a message: for all that is known it is never idle. Left out: it never does. */
  mayWork?(): boolean;
  /** Gives back what the engine holds (connections, files). */
  close(): Promise<void>;
}

/** Makes an engine ready to answer. Throws ConfigurationError for what a person must change. */
export type StartEngine = (
  config: Config,
  log: Log,
  meter: Meter,
  abilities: Abilities,
  states: PluginStates,
) => Promise<Engine>;
