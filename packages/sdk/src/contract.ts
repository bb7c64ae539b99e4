// Generated from the contract by scripts/sdk-types.ts: do not edit.

export interface AccountDeleted {
  /** The caller's id. */
  user_id: string;
  status: "DELETED";
  message: string;
  agents_deleted: number;
  audit_log_preserved: boolean;
  timestamp: string;
}

export interface Agent {
  agentId: AgentId;
  name: string;
  description: string | null;
  status: AgentStatus;
  /** The caller's id. */
  user_id: string;
  /** Where the agent answers; null until it has an address. */
  url: string | null;
  role: string | null;
  avatar: string | null;
  framework: string;
  model: string | null;
  system_prompt: string | null;
  settings: Record<string, unknown>;
  character: Record<string, unknown> | null;
  plugins: Array<string>;
  platforms: Array<string>;
  resources: {
    memory: string;
    cpu: string;
    replicas: number;
  };
  scaling_policy: Record<string, unknown> | null;
  supabase_config: Record<string, unknown> | null;
  /** Who may send messages to the agent's address. */
  visibility: "private" | "public" | (string & {});
  maxTokensPerDay: number | null;
  idle: {
    afterSeconds: number;
  } | null;
  /** Names of the secrets. */
  environment: Array<string>;
  generation: number | null;
  revision: number | null;
  createdAt: string;
  updatedAt: string;
  deployedAt: string | null;
}

export interface AgentBundle {
  format: "agent-launchpad/agent";
  version: 1;
  exportedAt?: string | null | undefined;
  /** Which agent it was. */
  agentId?: string | null | undefined;
  definition: AgentDefinition;
  /** Names of the secrets; the values are in no bundle. */
  secrets?: Array<string> | null | undefined;
  revisions?:
    | Array<{
        revision: number;
        reason?: string | null | undefined;
        createdAt: string;
        definition: AgentDefinition;
      }>
    | null
    | undefined;
  conversations?:
    | Array<{
        conversationId?: string | null | undefined;
        messages: Array<{
          role: "user" | "assistant" | "system" | "tool";
          content: string;
          createdAt: string;
        }>;
      }>
    | null
    | undefined;
  /** Files in Storage; their bytes are not part of the document. */
  assets?:
    | Array<{
        bucket: string;
        /** Below the agent's folder. */
        path: string;
        size?: number | null | undefined;
        contentType?: string | null | undefined;
        updatedAt?: string | null | undefined;
        [key: string]: unknown;
      }>
    | null
    | undefined;
  /** How many of the oldest did not fit, by kind. */
  omitted?: Record<string, number> | null | undefined;
}

export interface AgentDefinition {
  /** What people call the agent. */
  agentName: string;
  description?: string | null | undefined;
  /** Title of the agent. */
  role?: string | null | undefined;
  avatar?: string | null | undefined;
  character?: Character | null | undefined;
  plugins?: Array<string> | null | undefined;
  platforms?: Array<string> | null | undefined;
  supabase_config?:
    | {
        project_ref?: string | null | undefined;
        real_time?:
          | {
              enabled?: boolean | null | undefined;
              channels?: Array<string> | null | undefined;
            }
          | null
          | undefined;
        storage?:
          | {
              bucket?: string | null | undefined;
              public_access?: boolean | null | undefined;
            }
          | null
          | undefined;
      }
    | null
    | undefined;
  scaling_policy?: ScalingPolicy | null | undefined;
  /** AI provider. Left out or empty in a new agent: it follows from the model and the character. */
  framework?: string | null | undefined;
  /** Left out: the provider's default. */
  model?: string | null | undefined;
  system_prompt?: string | null | undefined;
  settings?: ModelSettings | null | undefined;
  /** Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address. */
  visibility?: "private" | "public" | null | undefined;
  /** Tokens that the agent may spend in a day (UTC). A public agent needs one. */
  maxTokensPerDay?: number | null | undefined;
  idle?:
    | {
        afterSeconds: number;
      }
    | null
    | undefined;
  resources?: ResourceChanges | null | undefined;
}

/** Opaque id of an agent, a DNS label. */
export type AgentId = string;

export interface AgentKey {
  id: string;
  name: string;
  /** The key's first characters. */
  prefix: string;
  scopes: Array<"invoke" | "read" | (string & {})>;
  origins: Array<string>;
  expiresAt: string | null;
  createdAt: string;
  lastUsedAt: string | null;
  revokedAt: string | null;
}

export interface AgentKeyList {
  keys: Array<AgentKey>;
  total: number;
  limit: number;
  offset: number;
  /** Pass it as `after` to read the next page; null on the last page. */
  nextCursor: string | null;
}

export interface AgentList {
  agents: Array<AgentSummary>;
  total: number;
  limit: number;
  offset: number;
  /** Pass it as `after` to read the next page; null on the last page. */
  nextCursor: string | null;
  /** The caller's id. */
  user_id: string;
}

export interface AgentLogs {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  logs: Array<LogEntry>;
  totalLines: number;
  truncated: boolean;
  /** Pass it as `after` to read older lines; null where there are none. */
  nextCursor: string | null;
  real_time_available: boolean;
  /** How far a search for `text` looked. */
  search?:
    | {
        scanned: number;
        complete: boolean;
      }
    | undefined;
  /** Why new lines are not here: the operator sends them elsewhere. */
  notice?: string | undefined;
}

export interface AgentMetrics {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  /** Replicas that reported within two minutes. */
  replicas: number;
  metrics: {
    /** Cores. */
    cpu: {
      usage: number | null;
      limit: number | null;
      percentage: number | null;
    };
    /** Bytes. */
    memory: {
      usage: number | null;
      limit: number | null;
      percentage: number | null;
    };
    network: {
      bytesIn: number | null;
      bytesOut: number | null;
    };
    requests: {
      total: number;
      success: number;
      errors: number;
      rate: number;
    };
    supabase: {
      database_connections: number | null;
      real_time_subscriptions: number | null;
      rls_queries_per_minute: number | null;
      auth_requests_per_hour: number | null;
    };
  };
  timestamp: string;
  /** Where the query asked for it: oldest first. */
  history?:
    | {
        resolution: "minute" | "hour" | (string & {});
        points: Array<MetricsPoint>;
      }
    | undefined;
}

/** The values of AgentStatus that this version knows. */
export type KnownAgentStatus =
  | "QUEUED"
  | "DEPLOYING"
  | "DEPLOYED"
  | "SCALING"
  | "UPDATING"
  | "RESTARTING"
  | "SLEEPING"
  | "ASLEEP"
  | "WAKING"
  | "STOPPING"
  | "STOPPED"
  | "FAILED"
  | "DELETING"
  | "DELETED"
  | "IDLE"
  | "THINKING"
  | "RESPONDING"
  | "ERROR";

/** A lifecycle phase, or the activity of an agent. */
export type AgentStatus = KnownAgentStatus | (string & {});

export interface AgentStatusReport {
  agentId: AgentId;
  name: string;
  status: AgentStatus;
  activity: "idle" | "thinking" | "responding" | "error" | (string & {});
  /** The caller's id. */
  user_id: string;
  /** Who may send messages to the agent's address. */
  visibility: "private" | "public" | (string & {});
  /** Where the agent answers; null until it has an address. */
  url: string | null;
  /** Where the agent answers. Both need a key or its owner's token. */
  addresses: {
    /** The same as `url`. */
    host: string | null;
    /** The same door below the stack's own address, without a host name; null elsewhere. */
    path: string | null;
  };
  /** Why the phase is what it is, in one word. */
  reason: string | null;
  /** The same, in a sentence a person can act on. */
  message: string | null;
  conditions: Array<{
    type: string;
    status: "True" | "False" | "Unknown" | (string & {});
    reason?: string | null | undefined;
    message?: string | null | undefined;
    lastTransitionTime?: string | null | undefined;
  }>;
  /** The platforms that plugins serve or `platforms` names, and their connections. */
  platforms: Array<{
    name: string;
    /** The plugin that serves it; null: none of the agent's does. */
    plugin: string | null;
    /** UNKNOWN: the plugin runs and does not say whether it is connected. */
    status: "CONNECTED" | "CONNECTING" | "DISCONNECTED" | "UNKNOWN" | (string & {});
    /** The bot's name there. */
    account: string | null;
    /** Why it is not connected, in the platform's own words. */
    message: string | null;
    /** Since when `status` is so. */
    since: string | null;
  }>;
  /** Sleep and wake: see `idle`. */
  sleep: {
    /** Since when it is asleep; null: it is awake. */
    since: string | null;
    /** Asleep: `IDLE` or `REQUESTED`. Awake: what kept it awake when it was last idle (`ANSWER_OPEN`, `HOLDS_CONNECTION`), or `PLUGIN_WORKS`: it is never idle. */
    reason: string | null;
    wakes24h: number;
    /** How long the last wake took, until a replica was ready. */
    lastWakeMs: number | null;
  };
  /** What is wanted; null where never deployed. */
  generation: number | null;
  /** Up to which generation the cluster has followed. */
  observedGeneration: number | null;
  revision: number | null;
  health: {
    overall: HealthState;
    kubernetes: {
      status: HealthState;
      replicas: number;
      readyReplicas: number;
      targetReplicas: number;
    };
    application: {
      status: HealthState;
      uptime: string | null;
      responseTime: string | null;
    };
    supabase: {
      connection: HealthState;
      real_time_active: boolean;
      rls_policies: "ACTIVE" | "INACTIVE" | (string & {});
    };
  };
  supabase_config: {
    project_ref: string | null;
    tables: {
      conversations: string;
      metrics: string;
      logs: string;
    };
  };
  deployedAt: string | null;
  lastUpdated: string;
}

export interface AgentSummary {
  agentId: AgentId;
  name: string;
  status: AgentStatus;
  /** The caller's id. */
  user_id: string;
  platforms: Array<string>;
  supabase_integration: boolean;
  createdAt: string;
  /** Where the agent answers; null until it has an address. */
  url: string | null;
}

export interface Budget {
  id: string;
  scope: "user" | "agent" | (string & {});
  agentId: AgentId | null;
  period: "day" | "month" | (string & {});
  /** Millionths of a US dollar. */
  limitMicros: number;
  warnAt: number;
  /** `pause` holds answers back once the budget is used up; `notify` only writes events. */
  action: "pause" | "notify" | (string & {});
  /** Millionths of a US dollar. */
  spentMicros: number;
  /** What calls under way may cost. */
  reservedMicros: number;
  reached: boolean;
  resetsAt: string;
  createdAt: string;
  updatedAt: string;
}

export interface BudgetDeleted {
  id: string;
  deleted: true;
}

export interface BudgetList {
  budgets: Array<Budget>;
  total: number;
  /** Pass it as `after` to read the next page; null on the last page. */
  nextCursor: string | null;
}

/** An elizaOS character; at most 64 KiB. */
export interface Character {
  name?: string | null | undefined;
  username?: string | null | undefined;
  /** One text, or several. */
  bio?: string | Array<string> | null | undefined;
  lore?: string | Array<string> | null | undefined;
  personality?: string | Array<string> | null | undefined;
  /** The system prompt. */
  system?: string | null | undefined;
  adjectives?: string | Array<string> | null | undefined;
  topics?: string | Array<string> | null | undefined;
  postExamples?: string | Array<string> | null | undefined;
  style?:
    | {
        all?: string | Array<string> | null | undefined;
        chat?: string | Array<string> | null | undefined;
        post?: string | Array<string> | null | undefined;
        [key: string]: unknown;
      }
    | null
    | undefined;
  /** Facts: texts, items with their text, or what knowledge2character writes. */
  knowledge?: string | Array<string | Record<string, unknown>> | Record<string, unknown> | null | undefined;
  messageExamples?: Array<Array<Record<string, unknown>> | Record<string, unknown>> | null | undefined;
  [key: string]: unknown;
}

/** The values of ComponentState that this version knows. */
export type KnownComponentState = "HEALTHY" | "DEGRADED" | "UNAVAILABLE" | "UNKNOWN";

export type ComponentState = KnownComponentState | (string & {});

export interface CreateAgentKeyRequest {
  /** What the key is for. */
  name: string;
  /** `invoke`: send messages. `read`: read the agent's health. Left out: `invoke`. */
  scopes?: Array<"invoke" | "read"> | null | undefined;
  /** In the future and within ten years; left out: never. */
  expiresAt?: string | null | undefined;
  /** The web pages that may use the key (CORS). Left out: none, only programs. */
  origins?: Array<string> | null | undefined;
}

export interface CreatedAgentKey {
  id: string;
  name: string;
  /** The key's first characters. */
  prefix: string;
  scopes: Array<"invoke" | "read" | (string & {})>;
  origins: Array<string>;
  expiresAt: string | null;
  createdAt: string;
  /** The key. It is not stored and not shown again. */
  key: string;
}

export interface DeletedAgent {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  status: AgentStatus;
  message: string;
  supabase_cleanup: {
    data_retention_policy: string;
    personal_data_removal: string;
    audit_log_preserved: boolean;
  };
  /** Id in agent_events. */
  supabase_event_id: string | null;
  timestamp: string;
}

export interface DeployedAgent {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  status: AgentStatus;
  /** Grows with every change of what is wanted. */
  generation: number;
  /** Which configuration is wanted. */
  revision: number;
  /** Id in agent_events. */
  supabase_event_id: string | null;
  message: string;
  estimatedDeployTime: string;
  timestamp: string;
}

export type EmptyRequest = Record<string, never>;

export interface ErrorEnvelope {
  error: {
    code:
      | "INVALID_JWT_TOKEN"
      | "BUDGET_EXHAUSTED"
      | "INVALID_API_KEY"
      | "INSUFFICIENT_PERMISSIONS"
      | "AGENT_NOT_FOUND"
      | "RLS_ACCESS_DENIED"
      | "SUPABASE_CONNECTION_ERROR"
      | "VALIDATION_ERROR"
      | "DEPLOYMENT_FAILED"
      | "RESOURCE_LIMIT_EXCEEDED"
      | "SECURITY_SCAN_FAILED"
      | "MODEL_PRICE_MISSING"
      | "PLUGIN_NOT_ALLOWED"
      | "REAL_TIME_SUBSCRIPTION_FAILED"
      | "RATE_LIMIT_EXCEEDED"
      | "AGENT_LIMIT_REACHED"
      | "INVALID_FRAMEWORK"
      | "INVALID_MODEL"
      | "PERMISSION_DENIED"
      | "IDEMPOTENCY_CONFLICT"
      | "CONFLICT"
      | "NOT_FOUND"
      | "METHOD_NOT_ALLOWED"
      | "UNSUPPORTED_MEDIA_TYPE"
      | "PAYLOAD_TOO_LARGE"
      | "INTERNAL_ERROR"
      | (string & {});
    message: string;
    timestamp: string;
    requestId: string;
    /** The caller; null where no token was verified. */
    user_id: string | null;
    supabase_details: SupabaseDetails;
    /** Field → problem for VALIDATION_ERROR; facts of the limit for 429. */
    details?: Record<string, unknown> | undefined;
  };
}

export interface Health {
  /** DEGRADED when any component is degraded or down. */
  status: "HEALTHY" | "DEGRADED" | (string & {});
  timestamp: string;
  version: string;
  /** The caller's id. */
  user_id: string;
  components: {
    supabase: {
      status: "HEALTHY" | "DEGRADED" | (string & {});
      database: {
        status: ComponentState;
        responseTime: string;
        connections: number;
        rls_active: boolean;
      };
      auth: {
        status: ComponentState;
        active_sessions: number;
        jwt_valid: boolean;
      };
      realtime: {
        status: ComponentState;
        active_connections: number | null;
        subscriptions: number | null;
      };
      storage: {
        status: ComponentState;
        buckets: number;
        total_size: string;
      };
      edge_functions: {
        status: ComponentState;
      };
    };
    kubernetes: {
      status: ComponentState;
      nodes: number;
      pods: number;
      message: string | null;
      user_agents: number;
    };
    container_registry: {
      status: ComponentState;
      available: boolean | null;
      last_scan: string | null;
    };
  };
  /** The permissions in force. */
  user_permissions: Array<string>;
}

/** The values of HealthState that this version knows. */
export type KnownHealthState = "HEALTHY" | "DEGRADED" | "UNHEALTHY" | "UNKNOWN";

export type HealthState = KnownHealthState | (string & {});

export interface ImportedAgent {
  agentId: AgentId;
  name: string;
  /** The caller's id. */
  user_id: string;
  status: AgentStatus;
  createdAt: string;
  revisions: number;
  /** Left out, because this project lacks their framework or model. */
  skippedRevisions: Array<number>;
  conversations: number;
  messages: number;
  /** Names of the secrets that are to be set. */
  missingSecrets: Array<string>;
  /** Files of the bundle that are to be uploaded. */
  missingAssets: number;
  /** Id in agent_events. */
  supabase_event_id: string | null;
}

export interface InitiatedChange {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  status: AgentStatus;
  /** Grows with every change of what is wanted. */
  generation: number;
  /** Which configuration is wanted. */
  revision: number;
  /** Id in agent_events. */
  supabase_event_id: string | null;
  message: string;
  timestamp: string;
}

export interface LaunchAgentRequest {
  /** What people call the agent. */
  agentName: string;
  description?: string | null | undefined;
  /** Title of the agent. */
  role?: string | null | undefined;
  avatar?: string | null | undefined;
  character?: Character | null | undefined;
  plugins?: Array<string> | null | undefined;
  platforms?: Array<string> | null | undefined;
  environment?: Record<string, string | null> | null | undefined;
  supabase_config?: SupabaseConfig | null | undefined;
  scaling_policy?: ScalingPolicy | null | undefined;
  /** AI provider. Left out or empty in a new agent: it follows from the model and the character. */
  framework?: string | null | undefined;
  /** Left out: the provider's default. */
  model?: string | null | undefined;
  system_prompt?: string | null | undefined;
  settings?: ModelSettings | null | undefined;
  /** Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address. */
  visibility?: "private" | "public" | null | undefined;
  /** Tokens that the agent may spend in a day (UTC). A public agent needs one. */
  maxTokensPerDay?: number | null | undefined;
  idle?:
    | {
        afterSeconds: number;
      }
    | null
    | undefined;
  resources?: Resources | null | undefined;
}

export interface LaunchedAgent {
  agentId: AgentId;
  status: AgentStatus;
  /** The caller's id. */
  user_id: string;
  createdAt: string;
  estimatedDeployTime: string;
  supabase_integration: {
    tables_created: boolean;
    rls_policies_applied: boolean;
    real_time_enabled: boolean;
  };
  /** What the definition says without effect, and why. */
  warnings: Array<{
    field: string;
    message: string;
  }>;
}

export interface LogEntry {
  id: string;
  timestamp: string;
  level: LogLevel;
  message: string;
  source: string;
  metadata: Record<string, unknown>;
}

/** The values of LogLevel that this version knows. */
export type KnownLogLevel = "INFO" | "WARN" | "ERROR" | "DEBUG";

export type LogLevel = KnownLogLevel | (string & {});

export interface MetricsPoint {
  timestamp: string;
  replicas: number;
  samples: number;
  cpu: {
    usage: number | null;
    max: number | null;
    limit: number | null;
  };
  memory: {
    usage: number | null;
    max: number | null;
    limit: number | null;
  };
  network: {
    bytesIn: number | null;
    bytesOut: number | null;
  };
  requests: {
    total: number;
    success: number;
    errors: number;
  };
  responseTimeMs: number | null;
}

export interface ModelSettings {
  temperature?: number | null | undefined;
  max_tokens?: number | null | undefined;
  presence_penalty?: number | null | undefined;
  frequency_penalty?: number | null | undefined;
  top_p?: number | null | undefined;
  stop?: Array<string> | null | undefined;
  /** Of elizaOS: whether it looks back on a conversation now and then, with a second call of the model. */
  reflection?: "on" | "off" | null | undefined;
}

export interface Plugin {
  name: string;
  /** The newest that was installed; `built-in`: the runtime brings it. */
  version: string;
  description: string;
  /** `elizaos` makes an agent one of elizaOS; `any` works with every agent. */
  engine: "elizaos" | "model" | "any" | (string & {});
  /** What it reads from the agent's `environment`. */
  settings: Array<{
    name: string;
    required: boolean;
    description: string;
  }>;
}

export interface PluginList {
  plugins: Array<Plugin>;
  total: number;
  /** Pass it as `after` to read the next page; null on the last page. */
  nextCursor: string | null;
}

export interface PutBudgetRequest {
  scope: "user" | "agent";
  agentId?: string | null | undefined;
  period: "day" | "month";
  limitMicros: number;
  /** The part of the limit at which BUDGET_WARNING comes; 0.8 when left out. */
  warnAt?: number | null | undefined;
  /** `pause` holds answers back once the budget is used up; `notify` only writes events. */
  action: "pause" | "notify";
}

export interface ResourceChanges {
  memory?: string | number | null | undefined;
  cpu?: string | number | null | undefined;
  replicas?: number | null | undefined;
}

export interface Resources {
  memory?: string | number | null | undefined;
  cpu?: string | number | null | undefined;
  replicas?: number | null | undefined;
}

export interface RestartedAgent {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  status: AgentStatus;
  /** Grows with every change of what is wanted. */
  generation: number;
  /** Which configuration is wanted. */
  revision: number;
  /** Id in agent_events. */
  supabase_event_id: string | null;
  message: string;
  supabase_event_logged: boolean;
  real_time_notification_sent: boolean;
  timestamp: string;
}

export interface Revision {
  revision: number;
  reason: string;
  /** `user:<id>`, or `system`. */
  createdBy: string;
  createdAt: string;
  /** Whether this is what is wanted now. */
  current: boolean | null;
  /** The whole configuration; secrets by name and version only. */
  spec: Record<string, unknown>;
}

export interface RevisionList {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  revisions: Array<Revision>;
  total: number;
  limit: number;
  offset: number;
  /** Pass it as `after` to read the next page; null on the last page. */
  nextCursor: string | null;
}

export interface RollbackAgentRequest {
  revision?: number | null | undefined;
}

export interface RolledBackAgent {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  status: AgentStatus;
  /** Grows with every change of what is wanted. */
  generation: number;
  /** Which configuration is wanted. */
  revision: number;
  /** Id in agent_events. */
  supabase_event_id: string | null;
  rolledBackTo: number;
  message: string;
  timestamp: string;
}

export interface ScaleAgentRequest {
  replicas: number;
  scaling_policy?: ScalingPolicy | null | undefined;
}

export interface ScaledAgent {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  status: AgentStatus;
  /** Grows with every change of what is wanted. */
  generation: number;
  /** Which configuration is wanted. */
  revision: number;
  /** Id in agent_events. */
  supabase_event_id: string | null;
  currentReplicas: number;
  targetReplicas: number;
  scaling_event_logged: boolean;
  updatedAt: string;
}

export interface ScalingPolicy {
  min_replicas?: number | null | undefined;
  max_replicas?: number | null | undefined;
  /** Percent of the CPU request to aim for. */
  target_cpu?: number | null | undefined;
}

export interface SecurityEvent {
  id: string;
  event_type: string;
  severity: Severity;
  /** The caller's id. */
  user_id: string;
  /** As the request named it. */
  agent_id: string | null;
  message: string;
  timestamp: string;
  ip_address: string | null;
  user_agent: string | null;
  /** `count` and `last_at` where repeats were counted together. */
  details: Record<string, unknown>;
  /** What was done about it, such as TEMPORARY_LOCKOUT. */
  automated_response: {
    action_taken: string;
    duration: string;
  } | null;
}

export interface SecurityEvents {
  events: Array<SecurityEvent>;
  /** How many match, counted up to 10000. */
  total: number;
  /** The caller's id. */
  user_id: string;
  /** Pass it as `after` to read the next page; null on the last page. */
  nextCursor: string | null;
}

export interface SecurityFinding {
  /** Name of the check, or id of the advisory. */
  check: string;
  source: "posture" | "npm" | "trivy" | (string & {});
  severity: Severity;
  title: string;
  recommendation: string;
  location?: string | undefined;
  package?: string | undefined;
  version?: string | undefined;
  url?: string | null | undefined;
}

export interface SecurityScan {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  scanId: string;
  status: "RUNNING" | "COMPLETED" | "FAILED" | (string & {});
  results: {
    /** Nothing critical or high was found, advisories were available, and every control holds. */
    passed: boolean;
    /** The findings, counted by severity. */
    vulnerabilities: {
      critical: number;
      high: number;
      medium: number;
      low: number;
    };
    recommendations: Array<string>;
    supabase_compliance: {
      rls_policies_verified: boolean;
      /** The agent's secrets are stored encrypted (Vault). */
      data_encryption_enabled: boolean;
      audit_logging_active: boolean;
    };
    findings: Array<SecurityFinding>;
    sources: {
      posture: {
        status: "available" | "unavailable" | (string & {});
      };
      npm_advisories: {
        status: "available" | "unavailable" | (string & {});
        packages: number;
        checked: number;
        checkedAt?: string | undefined;
        reason?: string | undefined;
      };
      container_image: {
        status: "available" | "unavailable" | (string & {});
      };
    };
  };
  security_event_logged: boolean;
  scannedAt: string;
}

/** The values of Severity that this version knows. */
export type KnownSeverity = "LOW" | "MEDIUM" | "HIGH" | "CRITICAL";

export type Severity = KnownSeverity | (string & {});

export interface StoppedAgents {
  /** The caller's id. */
  user_id: string;
  status: "STOPPING";
  /** How many agents this request stops. */
  stopped: number;
  agents: Array<AgentId>;
  message: string;
  timestamp: string;
}

export interface SupabaseConfig {
  project_ref?: string | null | undefined;
  /** Kept in Vault and never shown again. */
  database_url?: string | null | undefined;
  real_time?:
    | {
        enabled?: boolean | null | undefined;
        channels?: Array<string> | null | undefined;
      }
    | null
    | undefined;
  storage?:
    | {
        bucket?: string | null | undefined;
        public_access?: boolean | null | undefined;
      }
    | null
    | undefined;
}

export interface SupabaseDetails {
  /** Whether the database answered with row-level security on. */
  rls_applied: boolean;
  user_isolation: "active" | "compromised" | "unknown" | (string & {});
}

export interface SystemMetrics {
  system: {
    totalAgents: number;
    runningAgents: number;
    failedAgents: number;
    deployments: {
      successful: number;
      failed: number;
      /** Percent; of the last 30 days. */
      successRate: number | null;
    };
  };
  resources: {
    /** Cores. */
    cpu: {
      total: number | null;
      used: number | null;
      percentage: number | null;
    };
    /** Bytes. */
    memory: {
      total: number | null;
      used: number | null;
      percentage: number | null;
    };
    /** Bytes. */
    storage: {
      total: number | null;
      used: number | null;
      percentage: number | null;
    };
  };
  timestamp: string;
}

export interface UpdateAgentRequest {
  /** What people call the agent. */
  agentName?: string | undefined;
  description?: string | null | undefined;
  /** Title of the agent. */
  role?: string | null | undefined;
  avatar?: string | null | undefined;
  character?: Character | null | undefined;
  plugins?: Array<string> | null | undefined;
  platforms?: Array<string> | null | undefined;
  environment?: Record<string, string | null> | null | undefined;
  supabase_config?: SupabaseConfig | null | undefined;
  scaling_policy?: ScalingPolicy | null | undefined;
  /** AI provider. Left out or empty in a new agent: it follows from the model and the character. */
  framework?: string | null | undefined;
  /** Left out: the provider's default. */
  model?: string | null | undefined;
  system_prompt?: string | null | undefined;
  settings?: ModelSettings | null | undefined;
  /** Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address. */
  visibility?: "private" | "public" | null | undefined;
  /** Tokens that the agent may spend in a day (UTC). A public agent needs one. */
  maxTokensPerDay?: number | null | undefined;
  idle?:
    | {
        afterSeconds: number;
      }
    | null
    | undefined;
  resources?: ResourceChanges | null | undefined;
}

export interface UpdateProfileRequest {
  username?: string | null | undefined;
  user_metadata?:
    | {
        full_name?: string | null | undefined;
        avatar_url?: string | null | undefined;
        /** Narrows what an operator granted; null ends that. */
        permissions?: Array<string> | null | undefined;
      }
    | null
    | undefined;
  notification_preferences?:
    | {
        email?: boolean | null | undefined;
        real_time?: boolean | null | undefined;
        security_alerts?: boolean | null | undefined;
      }
    | null
    | undefined;
}

export interface UpdatedAgent {
  agentId: AgentId;
  /** The caller's id. */
  user_id: string;
  status: AgentStatus;
  /** For each part of what runs that the request named: whether it changed. */
  changes_applied: Record<string, boolean>;
  /** Id in agent_events. */
  supabase_event_id: string | null;
  updatedAt: string;
}

export interface UsageReport {
  items: Array<{
    answers: number;
    inputTokens: number;
    /** Those of the input that the provider read from its cache. */
    cachedInputTokens: number;
    outputTokens: number;
    /** Millionths of a US dollar. */
    costMicros: number;
    day?: string | undefined;
    agentId?: AgentId | undefined;
    model?: string | undefined;
    source?:
      | "message"
      | "address"
      | "schedule"
      | "trigger"
      | "completions"
      | "a2a"
      | "mcp"
      | (string & {})
      | undefined;
  }>;
  /** How many groups there are. */
  count: number;
  /** Of all groups, also those of other pages. */
  total: {
    answers: number;
    inputTokens: number;
    /** Those of the input that the provider read from its cache. */
    cachedInputTokens: number;
    outputTokens: number;
    /** Millionths of a US dollar. */
    costMicros: number;
  };
  currency: "USD";
  /** Pass it as `after` to read the next page; null on the last page. */
  nextCursor: string | null;
}

export interface UserExport {
  user: {
    /** The caller's id. */
    id: string;
    email: string | null;
    created_at: string;
    last_sign_in_at: string | null;
    app_metadata: Record<string, unknown>;
    /** What the user set; `permissions` are those in force. */
    user_metadata: {
      permissions: Array<string>;
      [key: string]: unknown;
    };
    role: string | null;
  };
  profile: {
    username: string | null;
    notification_preferences: {
      email: boolean;
      real_time: boolean;
      security_alerts: boolean;
    } | null;
    agent_count: number;
    storage_used: string;
  };
  exportedAt: string;
  /** The caller's id. */
  user_id: string;
  /** The caller's rows of each table, newest first, up to 16 MiB in all. */
  tables: Record<string, Array<Record<string, unknown>>>;
  /** How many older rows did not fit, by table. */
  omitted: Record<string, number>;
  /** Where the omitted rows are read on, by table: raise `offset` by `limit`. */
  rest: Record<string, string>;
  sessions: Array<Record<string, unknown>>;
  identities: Array<Record<string, unknown>>;
  files: Array<Record<string, unknown>>;
}

export interface UserProfile {
  user: {
    /** The caller's id. */
    id: string;
    email: string | null;
    created_at: string;
    last_sign_in_at: string | null;
    app_metadata: Record<string, unknown>;
    /** What the user set; `permissions` are those in force. */
    user_metadata: {
      permissions: Array<string>;
      [key: string]: unknown;
    };
    role: string | null;
  };
  profile: {
    username: string | null;
    notification_preferences: {
      email: boolean;
      real_time: boolean;
      security_alerts: boolean;
    } | null;
    agent_count: number;
    storage_used: string;
  };
}

export interface ListAgentsQuery {
  /** Number of results. */
  limit?: number | undefined;
  /** How many to skip. */
  offset?: number | undefined;
  /** `nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes. */
  after?: string | undefined;
  /** Filter by status, in any case. */
  status?:
    | "QUEUED"
    | "DEPLOYING"
    | "DEPLOYED"
    | "SCALING"
    | "UPDATING"
    | "RESTARTING"
    | "SLEEPING"
    | "ASLEEP"
    | "WAKING"
    | "STOPPING"
    | "STOPPED"
    | "FAILED"
    | "DELETING"
    | "IDLE"
    | "THINKING"
    | "RESPONDING"
    | "ERROR"
    | undefined;
  /** Filter by platform. */
  platform?: string | undefined;
}

export interface PageQuery {
  /** Number of results. */
  limit?: number | undefined;
  /** How many to skip. */
  offset?: number | undefined;
  /** `nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes. */
  after?: string | undefined;
}

export interface AgentLogsQuery {
  /** Number of log lines. */
  lines?: number | undefined;
  /** Only lines of this last span of time. */
  since?: string | undefined;
  /** Filter by log level. */
  level?: "INFO" | "WARN" | "ERROR" | "DEBUG" | undefined;
  /** Only lines whose message has this text, in any case; of the newest 50000 lines. */
  text?: string | undefined;
  /** `nextCursor` of the page before: the newest lines older than it. */
  after?: string | undefined;
}

export interface AgentMetricsQuery {
  /** Also what was in this last span of time, at most 400d. */
  range?: string | undefined;
  /** Left out: minutes up to 6h, hours beyond. Minutes reach back 1d. */
  resolution?: "minute" | "hour" | undefined;
}

export interface SecurityEventsQuery {
  /** Number of events. */
  limit?: number | undefined;
  /** Filter by severity, in any case. */
  severity?: "LOW" | "MEDIUM" | "HIGH" | "CRITICAL" | undefined;
  /** Filter by event type, in any case. */
  event_type?: string | undefined;
  /** Only events since this time. */
  since?: string | undefined;
  /** `nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes. */
  after?: string | undefined;
}

export interface PluginsQuery {
  /** Words that the name or the description holds. */
  query?: string | undefined;
  /** Number of plugins. */
  limit?: number | undefined;
  /** How many to skip. */
  offset?: number | undefined;
  /** `nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes. */
  after?: string | undefined;
}

/** Every code that the API answers with. */
export const API_ERROR_CODES = [
  "INVALID_JWT_TOKEN",
  "BUDGET_EXHAUSTED",
  "INVALID_API_KEY",
  "INSUFFICIENT_PERMISSIONS",
  "AGENT_NOT_FOUND",
  "RLS_ACCESS_DENIED",
  "SUPABASE_CONNECTION_ERROR",
  "VALIDATION_ERROR",
  "DEPLOYMENT_FAILED",
  "RESOURCE_LIMIT_EXCEEDED",
  "SECURITY_SCAN_FAILED",
  "MODEL_PRICE_MISSING",
  "PLUGIN_NOT_ALLOWED",
  "REAL_TIME_SUBSCRIPTION_FAILED",
  "RATE_LIMIT_EXCEEDED",
  "AGENT_LIMIT_REACHED",
  "INVALID_FRAMEWORK",
  "INVALID_MODEL",
  "PERMISSION_DENIED",
  "IDEMPOTENCY_CONFLICT",
  "CONFLICT",
  "NOT_FOUND",
  "METHOD_NOT_ALLOWED",
  "UNSUPPORTED_MEDIA_TYPE",
  "PAYLOAD_TOO_LARGE",
  "INTERNAL_ERROR",
] as const;

export type ApiErrorCode = (typeof API_ERROR_CODES)[number];
