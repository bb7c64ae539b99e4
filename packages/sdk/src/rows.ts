/** Rows as `/rest/v1` and Realtime show them. */
import type { LogEntry } from "./contract.ts";

/** One of these, or a value that a newer server knows. */
export type Open<Known extends string> = Known | (string & {});

/** A row of `agent_events`: what happened to an agent, numbered without a gap. */
export interface AgentEvent {
  id: string;
  agent_id: string;
  user_id: string;
  seq: number;
  event_type: string;
  from_phase: string | null;
  to_phase: string | null;
  actor: string;
  generation: number | null;
  revision: number | null;
  message: string;
  details: Record<string, unknown>;
  request_id: string | null;
  timestamp: string;
}

/** A row of `agent_logs`. `sequence` grows by one with each line of a replica. */
export interface AgentLog extends LogEntry {
  agent_id: string;
  user_id: string;
  replica: string;
  sequence: number;
}

/** A row of `agent_metrics`: what one replica used. Cores and bytes; null where nobody could measure. */
export interface AgentMetricsSample {
  id: number;
  agent_id: string;
  user_id: string;
  timestamp: string;
  replica: string;
  sequence: number;
  cpu_usage: number | null;
  cpu_limit: number | null;
  memory_usage: number | null;
  memory_limit: number | null;
  network_in: number | null;
  network_out: number | null;
  requests_total: number | null;
  requests_success: number | null;
  requests_errors: number | null;
  request_rate: number | null;
  response_time_ms: number | null;
}

/** A row of `agent_secrets` or `user_secrets`: that there is a secret. Its value is shown to nobody. */
export interface Secret {
  name: string;
  /** Grows by one with each new value. */
  version: number;
  created_at: string;
  updated_at: string;
}

export type ReplyMode = "all" | "addressed" | "rounds";

/** A row of `swarms`. */
export interface Swarm {
  id: string;
  user_id: string;
  name: string;
  description: string | null;
  reply_mode: Open<ReplyMode>;
  max_turns: number;
  created_at: string;
  updated_at: string;
}

/** A row of `swarm_agents`. */
export interface SwarmMember {
  swarm_id: string;
  agent_id: string;
  user_id: string;
  position: number;
  created_at: string;
}

/** A row of `messages`. */
export interface Message {
  id: string;
  user_id: string;
  swarm_id: string | null;
  conversation_id: string | null;
  to_agent_id: string | null;
  agent_id: string | null;
  sender_kind: Open<"user" | "agent">;
  sender_name: string | null;
  sender_deleted: boolean;
  content: string;
  status: Open<"sent" | "complete" | "error">;
  error: { code: string; message: string } | null;
  reply_to: string | null;
  root_id: string | null;
  turn: number;
  model: string | null;
  /** Settings that had no effect as they are. */
  warnings: { field: string; message: string }[];
  /** Of an answer without a text: why the agent is silent. */
  silence: string | null;
  /** Null where the provider did not tell them. */
  input_tokens: number | null;
  output_tokens: number | null;
  created_at: string;
}

/** A row of `answer_steps`: one call of a model or tool, retrieval or approval that an answer was made of. Kept for 30 days. */
export interface AnswerStep {
  id: string;
  /** The answer's. */
  message_id: string;
  agent_id: string;
  user_id: string;
  /** 1, 2, 3 … in the order of their ends, over all attempts. */
  index: number;
  kind: Open<"model" | "tool" | "retrieval" | "approval">;
  /** The model or the tool. */
  name: string;
  /** `refused`: the platform did not let it happen. */
  status: Open<"ok" | "error" | "refused" | "pending">;
  started_at: string;
  milliseconds: number;
  input_tokens: number | null;
  output_tokens: number | null;
  cached_input_tokens: number | null;
  /** Secrets blanked, long texts cut. */
  arguments: Record<string, unknown> | null;
  result: string | null;
  error: { code: string; message: string } | null;
}
