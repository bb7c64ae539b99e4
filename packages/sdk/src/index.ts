/** Agent Launchpad from JavaScript: Node 20 and later, Deno, Bun, browsers. */
export type { Agents } from "./agents.ts";
export { AgentLaunchpadClient } from "./client.ts";
export type * from "./contract.ts";
export { AgentLaunchpadError, type ClientErrorCode, type ErrorCode } from "./errors.ts";
export type { AgentKeys } from "./keys.ts";
export type {
  AskOptions,
  Conversation,
  Messages,
  MessagesSubscribeOptions,
  MessageUpdate,
  NewMessage,
  ReplyProgress,
} from "./messages.ts";
export type { CallOptions, ClientOptions, PostOptions, RateLimit, Retry } from "./options.ts";
export type { PageList, Paging } from "./page.ts";
export type { Plugins } from "./plugins.ts";
export type * from "./rows.ts";
export type { RlsPolicies, Security } from "./security.ts";
export type { SupabaseClientLike } from "./supabase.ts";
export type { NewSwarm, SwarmChanges, Swarms } from "./swarms.ts";
export type { Health as HealthCalls, StoredSecret, SupabaseHealth, System, Users } from "./system.ts";
export type { TailOptions } from "./tail.ts";
export type { Budgets, Usage, UsageGroup, UsageItem, UsageOptions } from "./usage.ts";
export { VERSION } from "./version.ts";
export type { WaitOptions } from "./wait.ts";
export type {
  AgentUpdate,
  AgentUpdateKind,
  ConnectionState,
  SecuritySubscribeOptions,
  SecurityUpdate,
  SubscribeOptions,
  Unsubscribe,
  WatchFailure,
  WatchOptions,
} from "./watching.ts";
