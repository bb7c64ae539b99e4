/** What each route answers to whom. Rows are derived from no source; routes.test.ts compares them with all of them. */

/** Who walks, in the order of a row's answers. */
export const CALLERS = ["nothing", "visitor", "foreign", "forged", "revoked", "large"] as const;
export type Caller = (typeof CALLERS)[number];

/** A status, or several where the answer depends on what is under way; null: not asked. */
export type Answers = readonly (number | readonly number[] | null)[];

export interface Row {
  part: "api" | "function" | "auth" | "storage" | "runtime" | "controller" | "realtime" | "gateway" | "rest";
  method: string;
  /** As its source writes it. */
  path: string;
  answers: Answers;
  body?: string;
}

const row = (part: Row["part"], method: string, path: string, answers: Answers, body?: string): Row => ({
  part,
  method,
  path,
  answers,
  ...(body === undefined ? {} : { body }),
});

// What most routes answer: nobody, a visitor, a stranger, a forger, the holder of a revoked key, a body above the limit.
/** Of `/api`: needs a user, and the thing is Alice's. */
const HERS = [401, 401, 404, 401, 401, 413];
/** Of `/api`: needs a user, and shows them their own. */
const OWN = [401, 401, 200, 401, 401, 413];
/** Of `/api`: needs a user, and `{}` is not enough. */
const MORE = [401, 401, 400, 401, 401, 413];
const OPEN = [200, 200, 200, 200, 200, 413];
/** Needs a key of the project, and tells nothing about anyone. */
const KEY = [401, 200, 200, 200, 200, 413];
/** Auth: needs a key, and `{}` is not enough, whoever sends it. */
const ASKS = [401, 400, 400, 400, 400, 413];
/** Auth: needs a user. */
const ME = [401, 403, 200, 403, 403, 413];
/** Auth: needs a user, and the thing is not theirs, or what config.toml does not switch on. */
const THEIRS = [401, 403, 404, 403, 403, 413];
/** Storage: the request names no version of the protocol (TUS). */
const TUS = [400, 412, 412, 400, 400, 413];
/** The same, where a signature in a header stands for the caller. */
const TUS_SIGNED = [412, 412, 412, 412, 412, 413];
/** Auth: what config.toml does not switch on. */
const SWITCHED_OFF = [401, 404, 404, 404, 404, 413];
/** Auth: for the secret key. */
const ADMIN = [401, 403, 403, 403, 403, 413];
/** Storage: as absent as a file that is none. All its refusals are 400, with the status in the body. */
const ABSENT = [400, 400, 400, 400, 400, 413];
/** Storage: lists what the caller may see, which is nothing of hers. */
const LISTS = [400, 200, 200, 400, 400, 413];
/** Storage: for the secret key. */
const SERVICE = [400, 403, 403, 400, 400, 413];
const STEAL = '{"bucketId":"agent-assets","sourceKey":"{agentId}/note.txt","destinationKey":"a/b.txt"}';
/** The agent's door: the owner's token or a key of the agent. */
const DOOR = [401, 401, 404, 401, 401, 413];

const AGENT = "/api/agents/{agentId}";

export const ROWS: readonly Row[] = [
  row("api", "GET", "/api/openapi.json", OPEN),
  row("api", "GET", "/api/agents", OWN),
  row("api", "POST", "/api/agents", MORE),
  row("api", "POST", "/api/agents/import", MORE),
  row("api", "POST", "/api/agents/stop-all", [401, 401, 202, 401, 401, 413]),
  row("api", "GET", AGENT, HERS),
  row("api", "PUT", AGENT, HERS, '{"agentName":"stolen"}'),
  row("api", "DELETE", AGENT, HERS),
  row("api", "GET", `${AGENT}/status`, HERS),
  row("api", "GET", `${AGENT}/revisions`, HERS),
  row("api", "GET", `${AGENT}/export`, HERS),
  row("api", "GET", `${AGENT}/metrics`, HERS),
  row("api", "GET", `${AGENT}/logs`, HERS),
  row("api", "GET", `${AGENT}/keys`, HERS),
  row("api", "POST", `${AGENT}/keys`, HERS, '{"name":"stolen"}'),
  row("api", "DELETE", `${AGENT}/keys/{keyId}`, HERS),
  row("api", "POST", `${AGENT}/deploy`, HERS),
  row("api", "POST", `${AGENT}/scale`, HERS, '{"replicas":1}'),
  row("api", "POST", `${AGENT}/restart`, HERS),
  row("api", "POST", `${AGENT}/stop`, HERS),
  row("api", "POST", `${AGENT}/start`, HERS),
  row("api", "POST", `${AGENT}/sleep`, HERS),
  row("api", "POST", `${AGENT}/wake`, HERS),
  row("api", "POST", `${AGENT}/rollback`, HERS),
  row("api", "GET", "/api/security/events", OWN),
  row("api", "POST", "/api/security/scan/{agentId}", HERS),
  row("api", "GET", "/api/health", OWN),
  row("api", "GET", "/api/system/metrics", OWN),
  row("api", "GET", "/api/plugins", OWN),
  row("api", "GET", "/api/usage", OWN),
  row("api", "GET", "/api/budgets", OWN),
  row(
    "api",
    "PUT",
    "/api/budgets",
    HERS,
    '{"scope":"agent","agentId":"{agentId}","period":"day","limitMicros":1,"action":"pause"}',
  ),
  row("api", "DELETE", "/api/budgets/{budgetId}", HERS),
  row("api", "GET", "/api/users/profile", OWN),
  row("api", "PUT", "/api/users/profile", MORE),
  row("api", "DELETE", "/api/users/profile", MORE),
  row("api", "GET", "/api/users/export", OWN),
  // The database alone calls it, with a signature.
  row("function", "POST", "/respond", [401, 401, 401, 401, 401, 413]),
  row("function", "POST", "/knowledge", [401, 401, 401, 401, 401, 413]),
  row("function", "POST", "/upkeep", [401, 401, 401, 401, 401, 413]),
  // For runtimes, by the agent's credential.
  row(
    "function",
    "POST",
    "/knowledge/embedding",
    [403, 403, 403, 403, 403, 413],
    '{"agent_id":"{agentId}","credential":"guessed","question":"x"}',
  ),

  row("auth", "POST", "/signup", [401, 422, 422, 422, 422, 413]),
  row("auth", "POST", "/token", ASKS),
  row("auth", "POST", "/otp", ASKS),
  row("auth", "POST", "/magiclink", ASKS),
  row("auth", "POST", "/verify", ASKS),
  row("auth", "POST", "/recover", ASKS),
  row("auth", "POST", "/resend", ASKS),
  row("auth", "GET", "/health", KEY),
  row("auth", "GET", "/settings", KEY),
  row("auth", "GET", "/.well-known/jwks.json", OPEN),
  row("auth", "GET", "/.well-known/openid-configuration", OPEN),
  // Opened by links in mails and by providers, which carry no key.
  row("auth", "GET", "/verify", [400, 400, 400, 400, 400, 413]),
  row("auth", "GET", "/authorize", [400, 400, 400, 400, 400, 413]),
  row("auth", "GET", "/callback", [303, 303, 303, 303, 303, 413]),
  row("auth", "POST", "/callback", [303, 303, 303, 303, 303, 413]),
  row("auth", "POST", "/logout", [401, 403, 204, 403, 403, 413]),
  row("auth", "GET", "/user", ME),
  row("auth", "PUT", "/user", ME),
  row("auth", "GET", "/reauthenticate", ME),
  row("auth", "GET", "/user/identities/authorize", THEIRS),
  row("auth", "DELETE", "/user/identities/*", THEIRS),
  row("auth", "POST", "/factors", [401, 403, 400, 403, 403, 413]),
  row("auth", "DELETE", "/factors/*", THEIRS),
  row("auth", "POST", "/factors/*/challenge", THEIRS),
  row("auth", "POST", "/factors/*/verify", THEIRS),
  row("auth", "GET", "/passkeys", THEIRS),
  row("auth", "POST", "/passkeys/registration/options", THEIRS),
  row("auth", "POST", "/passkeys/registration/verify", THEIRS),
  row("auth", "PATCH", "/passkeys/*", THEIRS),
  row("auth", "DELETE", "/passkeys/*", THEIRS),
  row("auth", "POST", "/sso", SWITCHED_OFF),
  row("auth", "GET", "/sso/saml/metadata", SWITCHED_OFF),
  row("auth", "POST", "/sso/saml/acs", SWITCHED_OFF),
  row("auth", "POST", "/passkeys/authentication/options", SWITCHED_OFF),
  row("auth", "POST", "/passkeys/authentication/verify", SWITCHED_OFF),
  row("auth", "GET", "/.well-known/oauth-authorization-server", [404, 404, 404, 404, 404, 413]),
  row("auth", "POST", "/oauth/clients/register", SWITCHED_OFF),
  row("auth", "POST", "/oauth/token", SWITCHED_OFF),
  row("auth", "GET", "/oauth/userinfo", SWITCHED_OFF),
  row("auth", "GET", "/oauth/authorize", SWITCHED_OFF),
  row("auth", "GET", "/oauth/authorizations/*", SWITCHED_OFF),
  row("auth", "POST", "/oauth/authorizations/*/consent", SWITCHED_OFF),
  row("auth", "GET", "/user/oauth/grants", THEIRS),
  row("auth", "DELETE", "/user/oauth/grants", THEIRS),
  row("auth", "GET", "/admin/users/*/factors", ADMIN),
  row("auth", "PUT", "/admin/users/*/factors/*", ADMIN),
  row("auth", "DELETE", "/admin/users/*/factors/*", ADMIN),
  row("auth", "GET", "/admin/users/*/passkeys", ADMIN),
  row("auth", "DELETE", "/admin/users/*/passkeys/*", ADMIN),
  row("auth", "GET", "/admin/custom-providers", ADMIN),
  row("auth", "POST", "/admin/custom-providers", ADMIN),
  row("auth", "GET", "/admin/custom-providers/*", ADMIN),
  row("auth", "PUT", "/admin/custom-providers/*", ADMIN),
  row("auth", "DELETE", "/admin/custom-providers/*", ADMIN),
  row("auth", "GET", "/admin/sso/providers", ADMIN),
  row("auth", "POST", "/admin/sso/providers", ADMIN),
  row("auth", "GET", "/admin/sso/providers/*", ADMIN),
  row("auth", "PUT", "/admin/sso/providers/*", ADMIN),
  row("auth", "DELETE", "/admin/sso/providers/*", ADMIN),
  row("auth", "GET", "/admin/oauth/clients", ADMIN),
  row("auth", "POST", "/admin/oauth/clients", ADMIN),
  row("auth", "GET", "/admin/oauth/clients/*", ADMIN),
  row("auth", "PUT", "/admin/oauth/clients/*", ADMIN),
  row("auth", "DELETE", "/admin/oauth/clients/*", ADMIN),
  row("auth", "POST", "/admin/oauth/clients/*/regenerate_secret", ADMIN),
  row("auth", "POST", "/invite", ADMIN),
  row("auth", "POST", "/admin/generate_link", ADMIN),
  row("auth", "GET", "/admin/audit", ADMIN),
  row("auth", "GET", "/admin/users", ADMIN),
  row("auth", "POST", "/admin/users", ADMIN),
  row("auth", "GET", "/admin/users/*", ADMIN),
  row("auth", "PUT", "/admin/users/*", ADMIN),
  row("auth", "DELETE", "/admin/users/*", ADMIN),

  row("storage", "GET", "/status", OPEN),
  row("storage", "GET", "/version", OPEN),
  row("storage", "POST", "/upload/resumable/sign", TUS_SIGNED),
  row("storage", "PATCH", "/upload/resumable/sign/*", TUS_SIGNED),
  row("storage", "DELETE", "/upload/resumable/sign/*", TUS_SIGNED),
  row("storage", "POST", "/upload/resumable", TUS),
  row("storage", "PATCH", "/upload/resumable/*", TUS),
  row("storage", "DELETE", "/upload/resumable/*", TUS),
  row("storage", "GET", "/health", LISTS),
  row("storage", "GET", "/bucket", LISTS),
  row("storage", "POST", "/bucket", ABSENT, '{"id":"stolen","name":"stolen","public":true}'),
  row("storage", "GET", "/bucket/:bucket", ABSENT),
  row("storage", "PUT", "/bucket/:bucket", ABSENT, '{"public":true}'),
  row("storage", "DELETE", "/bucket/:bucket", ABSENT),
  row("storage", "POST", "/bucket/:bucket/empty", SERVICE),
  row("storage", "GET", "/object/public/:bucket/*", ABSENT),
  row("storage", "GET", "/object/sign/:bucket/*", ABSENT),
  row("storage", "GET", "/object/info/public/:bucket/*", ABSENT),
  row("storage", "GET", "/object/info/authenticated/:bucket/*", ABSENT),
  row("storage", "GET", "/object/info/:bucket/*", ABSENT),
  row("storage", "GET", "/object/authenticated/:bucket/*", ABSENT),
  row("storage", "GET", "/object/:bucket/*", ABSENT),
  row("storage", "POST", "/object/list/:bucket", LISTS, '{"prefix":"{agentId}"}'),
  row("storage", "POST", "/object/list-v2/:bucket", LISTS, '{"prefix":"{agentId}"}'),
  row("storage", "POST", "/object/move", ABSENT, STEAL),
  row("storage", "POST", "/object/copy", ABSENT, STEAL),
  row("storage", "POST", "/object/sign/:bucket/*", ABSENT, '{"expiresIn":60}'),
  row("storage", "POST", "/object/sign/:bucket", LISTS, '{"expiresIn":60,"paths":["{agentId}/note.txt"]}'),
  row("storage", "POST", "/object/upload/sign/:bucket/*", ABSENT),
  row("storage", "PUT", "/object/upload/sign/:bucket/*", ABSENT),
  row("storage", "DELETE", "/object/:bucket", LISTS, '{"prefixes":["{agentId}/note.txt"]}'),
  row("storage", "DELETE", "/object/:bucket/*", ABSENT),
  row("storage", "POST", "/object/:bucket/*", ABSENT),
  row("storage", "PUT", "/object/:bucket/*", ABSENT),

  // At the agent's host, and below /agents on the gateway.
  row("runtime", "GET", "/", DOOR),
  row("runtime", "GET", "/health", [200, 200, 404, 401, 401, 413]),
  row("runtime", "GET", "/ready", [200, 200, 404, 401, 401, 413]),
  row("runtime", "GET", "/metrics", DOOR),
  row("runtime", "POST", "/message", DOOR, '{"message":"hello"}'),

  // On a port of its own. A body is read where one is wanted.
  row("controller", "GET", "/healthz", [200, 200, 200, 200, 200, 200]),
  row("controller", "GET", "/readyz", [200, 200, 200, 200, 200, 200]),
  row("controller", "GET", "/metrics", [200, 200, 200, 200, 200, 200]),
  row("controller", "POST", "/webhooks/deployments", [401, 401, 401, 401, 401, 413]),

  row("realtime", "GET", "/api/ping", KEY),
  row("realtime", "GET", "/health", KEY),
  row("realtime", "GET", "/api/tenants/*/health", KEY),
  row("realtime", "GET", "/api/connections", [401, 404, 404, 404, 404, 413]),
  row(
    "realtime",
    "POST",
    "/channels",
    [401, 422, 422, 401, 401, 413],
    '{"topic":"agent:{agentId}","private":true}',
  ),
  row("realtime", "POST", "/api/broadcast", [401, 422, 422, 401, 401, 413]),
  row("realtime", "POST", "/api/broadcast/*/events/*", [401, 202, 202, 401, 401, 413]),
  // A connection with a key; each channel judges the token that joins it.
  row("realtime", "WS", "/websocket", [401, 101, 101, 101, 101, null]),

  row("gateway", "GET", "/", OPEN),
  row("gateway", "GET", "/healthz", OPEN),
  row("gateway", "GET", "/docs", OPEN),
  row("gateway", "GET", "/mailbox", OPEN),
  row("gateway", "GET", "/mailbox.json", [401, 401, 401, 401, 401, 413]),
  row("gateway", "GET", "/nowhere", [404, 404, 404, 404, 404, 413]),
  row("gateway", "GET", "/agents/none/message", [404, 404, 404, 404, 404, 413]),
  row("gateway", "GET", "/graphql/v1/", [401, 400, 400, 401, 401, 413]),
  row("gateway", "POST", "/graphql/v1", [401, 400, 400, 401, 401, 413]),
  row("gateway", "GET", "/rest/v1/", [401, 200, 200, 401, 401, 413]),
];

/** What a GET of a table answers. Writes are judged in tests/integration/isolation.test.ts, by table and verb. */
export const OF_TABLES = {
  /** Rows of others are no rows. */
  owned: [401, 401, 200, 401, 401, 413],
  /** What the project offers to everybody. */
  open: [401, 200, 200, 401, 401, 413],
  /** Some columns alone may be read; all of them may not. */
  names: [401, 401, 403, 401, 401, 413],
} as const satisfies Record<string, Answers>;

export const TABLES = {
  owned: [
    "agent_conversations",
    "agent_events",
    "agent_keys",
    "agent_logs",
    "agent_metrics",
    "agent_metrics_hour",
    "agent_metrics_minute",
    "agent_revisions",
    "agent_tools",
    "agents",
    "answer_steps",
    "budgets",
    "knowledge_files",
    "messages",
    "profiles",
    "quotas",
    "rate_limits",
    "row_quotas",
    "security_events",
    "security_scans",
    "storage_usage",
    "swarm_agents",
    "swarms",
    "tools",
    "usage_daily",
    "user_permissions",
  ],
  open: ["frameworks", "model_prices", "models"],
  names: ["agent_secrets", "user_secrets"],
} as const satisfies Record<string, readonly string[]>;

/** What a POST to a function answers, with Alice's agent where it takes an agent and null for the rest. */
export const OF_FUNCTIONS = {
  /** Acts on something of Alice's. */
  hers: [401, 401, 404, 401, 401, 413],
  /** Shows callers their own. */
  own: [401, 401, 200, 401, 401, 413],
  /** Starts something of the caller's own. */
  accepts: [401, 401, 202, 401, 401, 413],
  /** Wants more than nulls. */
  more: [401, 401, 400, 401, 401, 413],
  /** For a visitor too, who must say what for. */
  anyone: [401, 400, 400, 401, 401, 413],
  /** For parts of the platform without a user, who prove themselves by a credential in the body. */
  proof: [401, 403, 403, 401, 401, 413],
  /** For the secret key alone. */
  service: [401, 401, 403, 401, 401, 413],
} as const satisfies Record<string, Answers>;

export const FUNCTIONS = {
  hers: [
    "create_agent_key",
    "delete_agent",
    "delete_budget",
    "deploy_agent",
    "export_agent",
    "get_agent",
    "get_agent_logs",
    "get_agent_metrics",
    "get_agent_status",
    "list_agent_keys",
    "list_agent_revisions",
    "remove_user_secret",
    "restart_agent",
    "revoke_agent_key",
    "rollback_agent",
    "scale_agent",
    "scan_agent",
    "sleep_agent",
    "start_agent",
    "stop_agent",
    "update_agent",
    "wake_agent",
  ],
  own: [
    "check_rls_policies",
    "export_my_data",
    "get_health",
    "get_profile",
    "get_system_metrics",
    "get_usage",
    "health_check",
    "list_agents",
    "list_budgets",
    "list_plugins",
    "list_security_events",
    "list_user_secrets",
  ],
  accepts: ["stop_all_agents"],
  anyone: ["judge_caller"],
  more: [
    "delete_my_account",
    "import_agent",
    "launch_agent",
    "put_budget",
    "refuse_request",
    "set_user_secret",
    "update_profile",
  ],
  proof: [
    "count_public_message",
    "hold_platforms",
    "report_plugins",
    "reserve_model_call",
    "runtime_acts",
    "runtime_begin_message",
    "runtime_knowledge",
    "runtime_plugin_secret",
    "runtime_search",
    "runtime_tool_secret",
    "runtime_tools",
    "settle_model_calls",
  ],
  service: [
    "add_embeddings",
    "add_knowledge",
    "advance_rollout",
    "agent_environment",
    "begin_sign_in",
    "claim_advisories",
    "claim_deployments",
    "claim_embeddings",
    "claim_file_removals",
    "claim_knowledge",
    "claim_replies",
    "controller_classes",
    "controller_installation",
    "count_auth_request",
    "count_reads",
    "fail_embeddings",
    "fail_reply",
    "finish_knowledge",
    "finish_reply",
    "fleet_adopt",
    "fleet_assign_class",
    "fleet_classes",
    "fleet_delete_class",
    "fleet_drain",
    "fleet_hold",
    "fleet_list",
    "fleet_release",
    "fleet_retry",
    "fleet_rollout",
    "fleet_rollout_canary",
    "fleet_set_class",
    "fleet_status",
    "gone_workloads",
    "heartbeat_controller",
    "ingest_agent_logs",
    "ingest_agent_metrics",
    "ingest_log_lines",
    "list_plugin_rules",
    "plugin_tree",
    "put_model",
    "put_plugin_rule",
    "record_advisories",
    "record_auth_attempt",
    "record_plugins",
    "record_security_reports",
    "release_deployment",
    "release_worker",
    "reply_acts",
    "remove_plugin_rule",
    "report_deployment",
    "report_file_removal",
    "report_reply",
    "retire_model",
    "retrieve_for_reply",
    "runtime_question_model",
    "search_conversation",
    "set_embedding_model",
    "sleep_deployment",
    "wake_deployment",
    "wanted_plugin_trees",
  ],
} as const satisfies Record<string, readonly string[]>;
