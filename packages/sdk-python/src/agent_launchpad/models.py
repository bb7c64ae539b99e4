"""Requests and responses of the API, as dictionaries with known keys.

Generated from docs/openapi.json by tools/generate.py: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import NotRequired, TypeAlias, TypedDict


class AccountDeleted(TypedDict):
    user_id: str
    """The caller's id."""
    status: Literal["DELETED"]
    message: str
    agents_deleted: int
    audit_log_preserved: bool
    timestamp: str


AgentId: TypeAlias = str
"""Opaque id of an agent, a DNS label."""

KnownAgentStatus: TypeAlias = Literal[
    "QUEUED",
    "DEPLOYING",
    "DEPLOYED",
    "SCALING",
    "UPDATING",
    "RESTARTING",
    "SLEEPING",
    "ASLEEP",
    "WAKING",
    "STOPPING",
    "STOPPED",
    "FAILED",
    "DELETING",
    "DELETED",
    "IDLE",
    "THINKING",
    "RESPONDING",
    "ERROR",
]
"""The values of AgentStatus that this version knows."""

AgentStatus: TypeAlias = KnownAgentStatus | str
"""A lifecycle phase, or the activity of an agent."""


class AgentResources(TypedDict):
    memory: str
    cpu: str
    replicas: int


class AgentIdle(TypedDict):
    afterSeconds: int


class Agent(TypedDict):
    agentId: AgentId
    name: str
    description: str | None
    status: AgentStatus
    user_id: str
    """The caller's id."""
    url: str | None
    """Where the agent answers; null until it has an address."""
    role: str | None
    avatar: str | None
    framework: str
    model: str | None
    system_prompt: str | None
    settings: dict[str, Any]
    character: dict[str, Any] | None
    plugins: list[str]
    platforms: list[str]
    resources: AgentResources
    scaling_policy: dict[str, Any] | None
    supabase_config: dict[str, Any] | None
    visibility: Literal["private", "public"] | str
    """Who may send messages to the agent's address."""
    maxTokensPerDay: int | None
    idle: AgentIdle | None
    environment: list[str]
    """Names of the secrets."""
    generation: int | None
    revision: int | None
    createdAt: str
    updatedAt: str
    deployedAt: str | None


class CharacterStyle(TypedDict):
    all: NotRequired[str | list[str] | None]
    chat: NotRequired[str | list[str] | None]
    post: NotRequired[str | list[str] | None]


class Character(TypedDict):
    """An elizaOS character; at most 64 KiB."""

    name: NotRequired[str | None]
    username: NotRequired[str | None]
    bio: NotRequired[str | list[str] | None]
    """One text, or several."""
    lore: NotRequired[str | list[str] | None]
    personality: NotRequired[str | list[str] | None]
    system: NotRequired[str | None]
    """The system prompt."""
    adjectives: NotRequired[str | list[str] | None]
    topics: NotRequired[str | list[str] | None]
    postExamples: NotRequired[str | list[str] | None]
    style: NotRequired[CharacterStyle | Mapping[str, Any] | None]
    knowledge: NotRequired[str | list[str | dict[str, Any]] | dict[str, Any] | None]
    """Facts: texts, items with their text, or what knowledge2character writes."""
    messageExamples: NotRequired[list[list[dict[str, Any]] | dict[str, Any]] | None]


class AgentDefinitionSupabaseConfigRealTime(TypedDict):
    enabled: NotRequired[bool | None]
    channels: NotRequired[list[str] | None]


class AgentDefinitionSupabaseConfigStorage(TypedDict):
    bucket: NotRequired[str | None]
    public_access: NotRequired[bool | None]


class AgentDefinitionSupabaseConfig(TypedDict):
    project_ref: NotRequired[str | None]
    real_time: NotRequired[AgentDefinitionSupabaseConfigRealTime | None]
    storage: NotRequired[AgentDefinitionSupabaseConfigStorage | None]


class ScalingPolicy(TypedDict):
    min_replicas: NotRequired[int | None]
    max_replicas: NotRequired[int | None]
    target_cpu: NotRequired[int | None]
    """Percent of the CPU request to aim for."""


class ModelSettings(TypedDict):
    temperature: NotRequired[float | None]
    max_tokens: NotRequired[int | None]
    presence_penalty: NotRequired[float | None]
    frequency_penalty: NotRequired[float | None]
    top_p: NotRequired[float | None]
    stop: NotRequired[list[str] | None]
    reflection: NotRequired[Literal["on", "off"] | None]
    """Of elizaOS: whether it looks back on a conversation now and then, with a second call of the model."""


class AgentDefinitionIdle(TypedDict):
    """After how many idle seconds the agent falls asleep: it holds no replica until a request, a message or its owner wakes it. Left out or null: never."""

    afterSeconds: int


class ResourceChanges(TypedDict):
    memory: NotRequired[str | float | None]
    cpu: NotRequired[str | float | None]
    replicas: NotRequired[int | None]


class AgentDefinition(TypedDict):
    agentName: str
    """What people call the agent."""
    description: NotRequired[str | None]
    role: NotRequired[str | None]
    """Title of the agent."""
    avatar: NotRequired[str | None]
    character: NotRequired[Character | Mapping[str, Any] | None]
    plugins: NotRequired[list[str] | None]
    platforms: NotRequired[list[str] | None]
    supabase_config: NotRequired[AgentDefinitionSupabaseConfig | None]
    scaling_policy: NotRequired[ScalingPolicy | None]
    framework: NotRequired[str | None]
    """AI provider. Left out or empty in a new agent: it follows from the model and the character."""
    model: NotRequired[str | None]
    """Left out: the provider's default."""
    system_prompt: NotRequired[str | None]
    settings: NotRequired[ModelSettings | None]
    visibility: NotRequired[Literal["private", "public"] | None]
    """Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address."""
    maxTokensPerDay: NotRequired[int | None]
    """Tokens that the agent may spend in a day (UTC). A public agent needs one."""
    idle: NotRequired[AgentDefinitionIdle | None]
    resources: NotRequired[ResourceChanges | None]


class AgentBundleRevision(TypedDict):
    revision: int
    reason: NotRequired[str | None]
    createdAt: str
    definition: AgentDefinition


class AgentBundleConversationMessage(TypedDict):
    role: Literal["user", "assistant", "system", "tool"]
    content: str
    createdAt: str


class AgentBundleConversation(TypedDict):
    conversationId: NotRequired[str | None]
    messages: list[AgentBundleConversationMessage]


class AgentBundleAsset(TypedDict):
    bucket: str
    path: str
    """Below the agent's folder."""
    size: NotRequired[float | None]
    contentType: NotRequired[str | None]
    updatedAt: NotRequired[str | None]


class AgentBundle(TypedDict):
    format: Literal["agent-launchpad/agent"]
    version: Literal[1]
    exportedAt: NotRequired[str | None]
    agentId: NotRequired[str | None]
    """Which agent it was."""
    definition: AgentDefinition
    secrets: NotRequired[list[str] | None]
    """Names of the secrets; the values are in no bundle."""
    revisions: NotRequired[list[AgentBundleRevision] | None]
    conversations: NotRequired[list[AgentBundleConversation] | None]
    assets: NotRequired[list[AgentBundleAsset | Mapping[str, Any]] | None]
    """Files in Storage; their bytes are not part of the document."""
    omitted: NotRequired[dict[str, int] | None]
    """How many of the oldest did not fit, by kind."""


class AgentKey(TypedDict):
    id: str
    name: str
    prefix: str
    """The key's first characters."""
    scopes: list[Literal["invoke", "read"] | str]
    origins: list[str]
    expiresAt: str | None
    createdAt: str
    lastUsedAt: str | None
    revokedAt: str | None


class AgentKeyList(TypedDict):
    keys: list[AgentKey]
    total: int
    limit: int
    offset: int
    nextCursor: str | None
    """Pass it as `after` to read the next page; null on the last page."""


class AgentSummary(TypedDict):
    agentId: AgentId
    name: str
    status: AgentStatus
    user_id: str
    """The caller's id."""
    platforms: list[str]
    supabase_integration: bool
    createdAt: str
    url: str | None
    """Where the agent answers; null until it has an address."""


class AgentList(TypedDict):
    agents: list[AgentSummary]
    total: int
    limit: int
    offset: int
    nextCursor: str | None
    """Pass it as `after` to read the next page; null on the last page."""
    user_id: str
    """The caller's id."""


KnownLogLevel: TypeAlias = Literal["INFO", "WARN", "ERROR", "DEBUG"]
"""The values of LogLevel that this version knows."""

LogLevel: TypeAlias = KnownLogLevel | str


class LogEntry(TypedDict):
    id: str
    timestamp: str
    level: LogLevel
    message: str
    source: str
    metadata: dict[str, Any]


class AgentLogsSearch(TypedDict):
    """How far a search for `text` looked."""

    scanned: int
    complete: bool


class AgentLogs(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    logs: list[LogEntry]
    totalLines: int
    truncated: bool
    nextCursor: str | None
    """Pass it as `after` to read older lines; null where there are none."""
    real_time_available: bool
    search: NotRequired[AgentLogsSearch]
    """How far a search for `text` looked."""
    notice: NotRequired[str]
    """Why new lines are not here: the operator sends them elsewhere."""


class AgentMetricsMetricsCpu(TypedDict):
    """Cores."""

    usage: float | None
    limit: float | None
    percentage: float | None


class AgentMetricsMetricsMemory(TypedDict):
    """Bytes."""

    usage: float | None
    limit: float | None
    percentage: float | None


class AgentMetricsMetricsNetwork(TypedDict):
    bytesIn: float | None
    bytesOut: float | None


class AgentMetricsMetricsRequests(TypedDict):
    total: int
    success: int
    errors: int
    rate: float


class AgentMetricsMetricsSupabase(TypedDict):
    database_connections: float | None
    real_time_subscriptions: float | None
    rls_queries_per_minute: float | None
    auth_requests_per_hour: float | None


class AgentMetricsMetrics(TypedDict):
    cpu: AgentMetricsMetricsCpu
    """Cores."""
    memory: AgentMetricsMetricsMemory
    """Bytes."""
    network: AgentMetricsMetricsNetwork
    requests: AgentMetricsMetricsRequests
    supabase: AgentMetricsMetricsSupabase


class MetricsPointCpu(TypedDict):
    usage: float | None
    max: float | None
    limit: float | None


class MetricsPointMemory(TypedDict):
    usage: float | None
    max: float | None
    limit: float | None


class MetricsPointNetwork(TypedDict):
    bytesIn: float | None
    bytesOut: float | None


class MetricsPointRequests(TypedDict):
    total: int
    success: int
    errors: int


class MetricsPoint(TypedDict):
    timestamp: str
    replicas: int
    samples: int
    cpu: MetricsPointCpu
    memory: MetricsPointMemory
    network: MetricsPointNetwork
    requests: MetricsPointRequests
    responseTimeMs: float | None


class AgentMetricsHistory(TypedDict):
    """Where the query asked for it: oldest first."""

    resolution: Literal["minute", "hour"] | str
    points: list[MetricsPoint]


class AgentMetrics(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    replicas: int
    """Replicas that reported within two minutes."""
    metrics: AgentMetricsMetrics
    timestamp: str
    history: NotRequired[AgentMetricsHistory]
    """Where the query asked for it: oldest first."""


class AgentStatusReportAddresses(TypedDict):
    """Where the agent answers. Both need a key or its owner's token."""

    host: str | None
    """The same as `url`."""
    path: str | None
    """The same door below the stack's own address, without a host name; null elsewhere."""


class AgentStatusReportCondition(TypedDict):
    type: str
    status: Literal["True", "False", "Unknown"] | str
    reason: NotRequired[str | None]
    message: NotRequired[str | None]
    lastTransitionTime: NotRequired[str | None]


class AgentStatusReportPlatform(TypedDict):
    name: str
    plugin: str | None
    """The plugin that serves it; null: none of the agent's does."""
    status: Literal["CONNECTED", "CONNECTING", "DISCONNECTED", "UNKNOWN"] | str
    """UNKNOWN: the plugin runs and does not say whether it is connected."""
    account: str | None
    """The bot's name there."""
    message: str | None
    """Why it is not connected, in the platform's own words."""
    since: str | None
    """Since when `status` is so."""


class AgentStatusReportSleep(TypedDict):
    """Sleep and wake: see `idle`."""

    since: str | None
    """Since when it is asleep; null: it is awake."""
    reason: str | None
    """Asleep: `IDLE` or `REQUESTED`. Awake: what kept it awake when it was last idle (`ANSWER_OPEN`, `HOLDS_CONNECTION`), or `PLUGIN_WORKS`: it is never idle."""
    wakes24h: int
    lastWakeMs: int | None
    """How long the last wake took, until a replica was ready."""


KnownHealthState: TypeAlias = Literal["HEALTHY", "DEGRADED", "UNHEALTHY", "UNKNOWN"]
"""The values of HealthState that this version knows."""

HealthState: TypeAlias = KnownHealthState | str


class AgentStatusReportHealthKubernetes(TypedDict):
    status: HealthState
    replicas: int
    readyReplicas: int
    targetReplicas: int


class AgentStatusReportHealthApplication(TypedDict):
    status: HealthState
    uptime: str | None
    responseTime: str | None


class AgentStatusReportHealthSupabase(TypedDict):
    connection: HealthState
    real_time_active: bool
    rls_policies: Literal["ACTIVE", "INACTIVE"] | str


class AgentStatusReportHealth(TypedDict):
    overall: HealthState
    kubernetes: AgentStatusReportHealthKubernetes
    application: AgentStatusReportHealthApplication
    supabase: AgentStatusReportHealthSupabase


class AgentStatusReportSupabaseConfigTables(TypedDict):
    conversations: str
    metrics: str
    logs: str


class AgentStatusReportSupabaseConfig(TypedDict):
    project_ref: str | None
    tables: AgentStatusReportSupabaseConfigTables


class AgentStatusReport(TypedDict):
    agentId: AgentId
    name: str
    status: AgentStatus
    activity: Literal["idle", "thinking", "responding", "error"] | str
    user_id: str
    """The caller's id."""
    visibility: Literal["private", "public"] | str
    """Who may send messages to the agent's address."""
    url: str | None
    """Where the agent answers; null until it has an address."""
    addresses: AgentStatusReportAddresses
    """Where the agent answers. Both need a key or its owner's token."""
    reason: str | None
    """Why the phase is what it is, in one word."""
    message: str | None
    """The same, in a sentence a person can act on."""
    conditions: list[AgentStatusReportCondition]
    platforms: list[AgentStatusReportPlatform]
    """The platforms that plugins serve or `platforms` names, and their connections."""
    sleep: AgentStatusReportSleep
    """Sleep and wake: see `idle`."""
    generation: int | None
    """What is wanted; null where never deployed."""
    observedGeneration: int | None
    """Up to which generation the cluster has followed."""
    revision: int | None
    health: AgentStatusReportHealth
    supabase_config: AgentStatusReportSupabaseConfig
    deployedAt: str | None
    lastUpdated: str


class Budget(TypedDict):
    id: str
    scope: Literal["user", "agent"] | str
    agentId: AgentId | None
    period: Literal["day", "month"] | str
    limitMicros: int
    """Millionths of a US dollar."""
    warnAt: float
    action: Literal["pause", "notify"] | str
    """`pause` holds answers back once the budget is used up; `notify` only writes events."""
    spentMicros: int
    """Millionths of a US dollar."""
    reservedMicros: int
    """What calls under way may cost."""
    reached: bool
    resetsAt: str
    createdAt: str
    updatedAt: str


class BudgetDeleted(TypedDict):
    id: str
    deleted: Literal[True]


class BudgetList(TypedDict):
    budgets: list[Budget]
    total: int
    nextCursor: str | None
    """Pass it as `after` to read the next page; null on the last page."""


KnownComponentState: TypeAlias = Literal["HEALTHY", "DEGRADED", "UNAVAILABLE", "UNKNOWN"]
"""The values of ComponentState that this version knows."""

ComponentState: TypeAlias = KnownComponentState | str


class CreateAgentKeyRequest(TypedDict):
    name: str
    """What the key is for."""
    scopes: NotRequired[list[Literal["invoke", "read"]] | None]
    """`invoke`: send messages. `read`: read the agent's health. Left out: `invoke`."""
    expiresAt: NotRequired[str | None]
    """In the future and within ten years; left out: never."""
    origins: NotRequired[list[str] | None]
    """The web pages that may use the key (CORS). Left out: none, only programs."""


class CreatedAgentKey(TypedDict):
    id: str
    name: str
    prefix: str
    """The key's first characters."""
    scopes: list[Literal["invoke", "read"] | str]
    origins: list[str]
    expiresAt: str | None
    createdAt: str
    key: str
    """The key. It is not stored and not shown again."""


class DeletedAgentSupabaseCleanup(TypedDict):
    data_retention_policy: str
    personal_data_removal: str
    audit_log_preserved: bool


class DeletedAgent(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    status: AgentStatus
    message: str
    supabase_cleanup: DeletedAgentSupabaseCleanup
    supabase_event_id: str | None
    """Id in agent_events."""
    timestamp: str


class DeployedAgent(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    status: AgentStatus
    generation: int
    """Grows with every change of what is wanted."""
    revision: int
    """Which configuration is wanted."""
    supabase_event_id: str | None
    """Id in agent_events."""
    message: str
    estimatedDeployTime: str
    timestamp: str


class EmptyRequest(TypedDict):
    pass


class SupabaseDetails(TypedDict):
    rls_applied: bool
    """Whether the database answered with row-level security on."""
    user_isolation: Literal["active", "compromised", "unknown"] | str


class ErrorEnvelopeError(TypedDict):
    code: (
        Literal[
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
        ]
        | str
    )
    message: str
    timestamp: str
    requestId: str
    user_id: str | None
    """The caller; null where no token was verified."""
    supabase_details: SupabaseDetails
    details: NotRequired[dict[str, Any]]
    """Field → problem for VALIDATION_ERROR; facts of the limit for 429."""


class ErrorEnvelope(TypedDict):
    error: ErrorEnvelopeError


class HealthComponentsSupabaseDatabase(TypedDict):
    status: ComponentState
    responseTime: str
    connections: int
    rls_active: bool


class HealthComponentsSupabaseAuth(TypedDict):
    status: ComponentState
    active_sessions: int
    jwt_valid: bool


class HealthComponentsSupabaseRealtime(TypedDict):
    status: ComponentState
    active_connections: int | None
    subscriptions: int | None


class HealthComponentsSupabaseStorage(TypedDict):
    status: ComponentState
    buckets: int
    total_size: str


class HealthComponentsSupabaseEdgeFunctions(TypedDict):
    status: ComponentState


class HealthComponentsSupabase(TypedDict):
    status: Literal["HEALTHY", "DEGRADED"] | str
    database: HealthComponentsSupabaseDatabase
    auth: HealthComponentsSupabaseAuth
    realtime: HealthComponentsSupabaseRealtime
    storage: HealthComponentsSupabaseStorage
    edge_functions: HealthComponentsSupabaseEdgeFunctions


class HealthComponentsKubernetes(TypedDict):
    status: ComponentState
    nodes: int
    pods: int
    message: str | None
    user_agents: int


class HealthComponentsContainerRegistry(TypedDict):
    status: ComponentState
    available: bool | None
    last_scan: str | None


class HealthComponents(TypedDict):
    supabase: HealthComponentsSupabase
    kubernetes: HealthComponentsKubernetes
    container_registry: HealthComponentsContainerRegistry


class Health(TypedDict):
    status: Literal["HEALTHY", "DEGRADED"] | str
    """DEGRADED when any component is degraded or down."""
    timestamp: str
    version: str
    user_id: str
    """The caller's id."""
    components: HealthComponents
    user_permissions: list[str]
    """The permissions in force."""


class ImportedAgent(TypedDict):
    agentId: AgentId
    name: str
    user_id: str
    """The caller's id."""
    status: AgentStatus
    createdAt: str
    revisions: int
    skippedRevisions: list[int]
    """Left out, because this project lacks their framework or model."""
    conversations: int
    messages: int
    missingSecrets: list[str]
    """Names of the secrets that are to be set."""
    missingAssets: int
    """Files of the bundle that are to be uploaded."""
    supabase_event_id: str | None
    """Id in agent_events."""


class InitiatedChange(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    status: AgentStatus
    generation: int
    """Grows with every change of what is wanted."""
    revision: int
    """Which configuration is wanted."""
    supabase_event_id: str | None
    """Id in agent_events."""
    message: str
    timestamp: str


class SupabaseConfigRealTime(TypedDict):
    enabled: NotRequired[bool | None]
    channels: NotRequired[list[str] | None]


class SupabaseConfigStorage(TypedDict):
    bucket: NotRequired[str | None]
    public_access: NotRequired[bool | None]


class SupabaseConfig(TypedDict):
    project_ref: NotRequired[str | None]
    database_url: NotRequired[str | None]
    """Kept in Vault and never shown again."""
    real_time: NotRequired[SupabaseConfigRealTime | None]
    storage: NotRequired[SupabaseConfigStorage | None]


class LaunchAgentRequestIdle(TypedDict):
    """After how many idle seconds the agent falls asleep: it holds no replica until a request, a message or its owner wakes it. Left out or null: never."""

    afterSeconds: int


class Resources(TypedDict):
    memory: NotRequired[str | float | None]
    cpu: NotRequired[str | float | None]
    replicas: NotRequired[int | None]


class LaunchAgentRequest(TypedDict):
    agentName: str
    """What people call the agent."""
    description: NotRequired[str | None]
    role: NotRequired[str | None]
    """Title of the agent."""
    avatar: NotRequired[str | None]
    character: NotRequired[Character | Mapping[str, Any] | None]
    plugins: NotRequired[list[str] | None]
    platforms: NotRequired[list[str] | None]
    environment: NotRequired[dict[str, str | None] | None]
    supabase_config: NotRequired[SupabaseConfig | None]
    scaling_policy: NotRequired[ScalingPolicy | None]
    framework: NotRequired[str | None]
    """AI provider. Left out or empty in a new agent: it follows from the model and the character."""
    model: NotRequired[str | None]
    """Left out: the provider's default."""
    system_prompt: NotRequired[str | None]
    settings: NotRequired[ModelSettings | None]
    visibility: NotRequired[Literal["private", "public"] | None]
    """Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address."""
    maxTokensPerDay: NotRequired[int | None]
    """Tokens that the agent may spend in a day (UTC). A public agent needs one."""
    idle: NotRequired[LaunchAgentRequestIdle | None]
    resources: NotRequired[Resources | None]


class LaunchedAgentSupabaseIntegration(TypedDict):
    tables_created: bool
    rls_policies_applied: bool
    real_time_enabled: bool


class LaunchedAgentWarning(TypedDict):
    field: str
    message: str


class LaunchedAgent(TypedDict):
    agentId: AgentId
    status: AgentStatus
    user_id: str
    """The caller's id."""
    createdAt: str
    estimatedDeployTime: str
    supabase_integration: LaunchedAgentSupabaseIntegration
    warnings: list[LaunchedAgentWarning]
    """What the definition says without effect, and why."""


class PluginSetting(TypedDict):
    name: str
    required: bool
    description: str


class Plugin(TypedDict):
    name: str
    version: str
    """The newest that was installed; `built-in`: the runtime brings it."""
    description: str
    engine: Literal["elizaos", "model", "any"] | str
    """`elizaos` makes an agent one of elizaOS; `any` works with every agent."""
    settings: list[PluginSetting]
    """What it reads from the agent's `environment`."""


class PluginList(TypedDict):
    plugins: list[Plugin]
    total: int
    nextCursor: str | None
    """Pass it as `after` to read the next page; null on the last page."""


class PutBudgetRequest(TypedDict):
    scope: Literal["user", "agent"]
    agentId: NotRequired[str | None]
    period: Literal["day", "month"]
    limitMicros: int
    warnAt: NotRequired[float | None]
    """The part of the limit at which BUDGET_WARNING comes; 0.8 when left out."""
    action: Literal["pause", "notify"]
    """`pause` holds answers back once the budget is used up; `notify` only writes events."""


class RestartedAgent(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    status: AgentStatus
    generation: int
    """Grows with every change of what is wanted."""
    revision: int
    """Which configuration is wanted."""
    supabase_event_id: str | None
    """Id in agent_events."""
    message: str
    supabase_event_logged: bool
    real_time_notification_sent: bool
    timestamp: str


class Revision(TypedDict):
    revision: int
    reason: str
    createdBy: str
    """`user:<id>`, or `system`."""
    createdAt: str
    current: bool | None
    """Whether this is what is wanted now."""
    spec: dict[str, Any]
    """The whole configuration; secrets by name and version only."""


class RevisionList(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    revisions: list[Revision]
    total: int
    limit: int
    offset: int
    nextCursor: str | None
    """Pass it as `after` to read the next page; null on the last page."""


class RollbackAgentRequest(TypedDict):
    revision: NotRequired[int | None]


class RolledBackAgent(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    status: AgentStatus
    generation: int
    """Grows with every change of what is wanted."""
    revision: int
    """Which configuration is wanted."""
    supabase_event_id: str | None
    """Id in agent_events."""
    rolledBackTo: int
    message: str
    timestamp: str


class ScaleAgentRequest(TypedDict):
    replicas: int
    scaling_policy: NotRequired[ScalingPolicy | None]


class ScaledAgent(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    status: AgentStatus
    generation: int
    """Grows with every change of what is wanted."""
    revision: int
    """Which configuration is wanted."""
    supabase_event_id: str | None
    """Id in agent_events."""
    currentReplicas: int
    targetReplicas: int
    scaling_event_logged: bool
    updatedAt: str


KnownSeverity: TypeAlias = Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]
"""The values of Severity that this version knows."""

Severity: TypeAlias = KnownSeverity | str


class SecurityEventAutomatedResponse(TypedDict):
    action_taken: str
    duration: str


class SecurityEvent(TypedDict):
    id: str
    event_type: str
    severity: Severity
    user_id: str
    """The caller's id."""
    agent_id: str | None
    """As the request named it."""
    message: str
    timestamp: str
    ip_address: str | None
    user_agent: str | None
    details: dict[str, Any]
    """`count` and `last_at` where repeats were counted together."""
    automated_response: SecurityEventAutomatedResponse | None
    """What was done about it, such as TEMPORARY_LOCKOUT."""


class SecurityEvents(TypedDict):
    events: list[SecurityEvent]
    total: int
    """How many match, counted up to 10000."""
    user_id: str
    """The caller's id."""
    nextCursor: str | None
    """Pass it as `after` to read the next page; null on the last page."""


class SecurityFinding(TypedDict):
    check: str
    """Name of the check, or id of the advisory."""
    source: Literal["posture", "npm", "trivy"] | str
    severity: Severity
    title: str
    recommendation: str
    location: NotRequired[str]
    package: NotRequired[str]
    version: NotRequired[str]
    url: NotRequired[str | None]


class SecurityScanResultsVulnerabilities(TypedDict):
    """The findings, counted by severity."""

    critical: int
    high: int
    medium: int
    low: int


class SecurityScanResultsSupabaseCompliance(TypedDict):
    rls_policies_verified: bool
    data_encryption_enabled: bool
    """The agent's secrets are stored encrypted (Vault)."""
    audit_logging_active: bool


class SecurityScanResultsSourcesPosture(TypedDict):
    status: Literal["available", "unavailable"] | str


class SecurityScanResultsSourcesNpmAdvisories(TypedDict):
    status: Literal["available", "unavailable"] | str
    packages: int
    checked: int
    checkedAt: NotRequired[str]
    reason: NotRequired[str]


class SecurityScanResultsSourcesContainerImage(TypedDict):
    status: Literal["available", "unavailable"] | str


class SecurityScanResultsSources(TypedDict):
    posture: SecurityScanResultsSourcesPosture
    npm_advisories: SecurityScanResultsSourcesNpmAdvisories
    container_image: SecurityScanResultsSourcesContainerImage


class SecurityScanResults(TypedDict):
    passed: bool
    """Nothing critical or high was found, advisories were available, and every control holds."""
    vulnerabilities: SecurityScanResultsVulnerabilities
    """The findings, counted by severity."""
    recommendations: list[str]
    supabase_compliance: SecurityScanResultsSupabaseCompliance
    findings: list[SecurityFinding]
    sources: SecurityScanResultsSources


class SecurityScan(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    scanId: str
    status: Literal["RUNNING", "COMPLETED", "FAILED"] | str
    results: SecurityScanResults
    security_event_logged: bool
    scannedAt: str


class StoppedAgents(TypedDict):
    user_id: str
    """The caller's id."""
    status: Literal["STOPPING"]
    stopped: int
    """How many agents this request stops."""
    agents: list[AgentId]
    message: str
    timestamp: str


class SystemMetricsSystemDeployments(TypedDict):
    successful: int
    failed: int
    successRate: float | None
    """Percent; of the last 30 days."""


class SystemMetricsSystem(TypedDict):
    totalAgents: int
    runningAgents: int
    failedAgents: int
    deployments: SystemMetricsSystemDeployments


class SystemMetricsResourcesCpu(TypedDict):
    """Cores."""

    total: float | None
    used: float | None
    percentage: float | None


class SystemMetricsResourcesMemory(TypedDict):
    """Bytes."""

    total: float | None
    used: float | None
    percentage: float | None


class SystemMetricsResourcesStorage(TypedDict):
    """Bytes."""

    total: float | None
    used: float | None
    percentage: float | None


class SystemMetricsResources(TypedDict):
    cpu: SystemMetricsResourcesCpu
    """Cores."""
    memory: SystemMetricsResourcesMemory
    """Bytes."""
    storage: SystemMetricsResourcesStorage
    """Bytes."""


class SystemMetrics(TypedDict):
    system: SystemMetricsSystem
    resources: SystemMetricsResources
    timestamp: str


class UpdateAgentRequestIdle(TypedDict):
    """After how many idle seconds the agent falls asleep: it holds no replica until a request, a message or its owner wakes it. Left out or null: never."""

    afterSeconds: int


class UpdateAgentRequest(TypedDict):
    agentName: NotRequired[str]
    """What people call the agent."""
    description: NotRequired[str | None]
    role: NotRequired[str | None]
    """Title of the agent."""
    avatar: NotRequired[str | None]
    character: NotRequired[Character | Mapping[str, Any] | None]
    plugins: NotRequired[list[str] | None]
    platforms: NotRequired[list[str] | None]
    environment: NotRequired[dict[str, str | None] | None]
    supabase_config: NotRequired[SupabaseConfig | None]
    scaling_policy: NotRequired[ScalingPolicy | None]
    framework: NotRequired[str | None]
    """AI provider. Left out or empty in a new agent: it follows from the model and the character."""
    model: NotRequired[str | None]
    """Left out: the provider's default."""
    system_prompt: NotRequired[str | None]
    settings: NotRequired[ModelSettings | None]
    visibility: NotRequired[Literal["private", "public"] | None]
    """Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address."""
    maxTokensPerDay: NotRequired[int | None]
    """Tokens that the agent may spend in a day (UTC). A public agent needs one."""
    idle: NotRequired[UpdateAgentRequestIdle | None]
    resources: NotRequired[ResourceChanges | None]


class UpdateProfileRequestUserMetadata(TypedDict):
    full_name: NotRequired[str | None]
    avatar_url: NotRequired[str | None]
    permissions: NotRequired[list[str] | None]
    """Narrows what an operator granted; null ends that."""


class UpdateProfileRequestNotificationPreferences(TypedDict):
    email: NotRequired[bool | None]
    real_time: NotRequired[bool | None]
    security_alerts: NotRequired[bool | None]


class UpdateProfileRequest(TypedDict):
    username: NotRequired[str | None]
    user_metadata: NotRequired[UpdateProfileRequestUserMetadata | None]
    notification_preferences: NotRequired[UpdateProfileRequestNotificationPreferences | None]


class UpdatedAgent(TypedDict):
    agentId: AgentId
    user_id: str
    """The caller's id."""
    status: AgentStatus
    changes_applied: dict[str, bool]
    """For each part of what runs that the request named: whether it changed."""
    supabase_event_id: str | None
    """Id in agent_events."""
    updatedAt: str


class UsageReportItem(TypedDict):
    answers: int
    inputTokens: int
    cachedInputTokens: int
    """Those of the input that the provider read from its cache."""
    outputTokens: int
    costMicros: int
    """Millionths of a US dollar."""
    day: NotRequired[str]
    agentId: NotRequired[AgentId]
    model: NotRequired[str]
    source: NotRequired[Literal["message", "address", "schedule", "trigger", "completions", "a2a", "mcp"] | str]


class UsageReportTotal(TypedDict):
    """Of all groups, also those of other pages."""

    answers: int
    inputTokens: int
    cachedInputTokens: int
    """Those of the input that the provider read from its cache."""
    outputTokens: int
    costMicros: int
    """Millionths of a US dollar."""


class UsageReport(TypedDict):
    items: list[UsageReportItem]
    count: int
    """How many groups there are."""
    total: UsageReportTotal
    """Of all groups, also those of other pages."""
    currency: Literal["USD"]
    nextCursor: str | None
    """Pass it as `after` to read the next page; null on the last page."""


class UserExportUserUserMetadata(TypedDict):
    """What the user set; `permissions` are those in force."""

    permissions: list[str]


class UserExportUser(TypedDict):
    id: str
    """The caller's id."""
    email: str | None
    created_at: str
    last_sign_in_at: str | None
    app_metadata: dict[str, Any]
    user_metadata: UserExportUserUserMetadata | Mapping[str, Any]
    """What the user set; `permissions` are those in force."""
    role: str | None


class UserExportProfileNotificationPreferences(TypedDict):
    email: bool
    real_time: bool
    security_alerts: bool


class UserExportProfile(TypedDict):
    username: str | None
    notification_preferences: UserExportProfileNotificationPreferences | None
    agent_count: int
    storage_used: str


class UserExport(TypedDict):
    user: UserExportUser
    profile: UserExportProfile
    exportedAt: str
    user_id: str
    """The caller's id."""
    tables: dict[str, list[dict[str, Any]]]
    """The caller's rows of each table, newest first, up to 16 MiB in all."""
    omitted: dict[str, int]
    """How many older rows did not fit, by table."""
    rest: dict[str, str]
    """Where the omitted rows are read on, by table: raise `offset` by `limit`."""
    sessions: list[dict[str, Any]]
    identities: list[dict[str, Any]]
    files: list[dict[str, Any]]


class UserProfileUserUserMetadata(TypedDict):
    """What the user set; `permissions` are those in force."""

    permissions: list[str]


class UserProfileUser(TypedDict):
    id: str
    """The caller's id."""
    email: str | None
    created_at: str
    last_sign_in_at: str | None
    app_metadata: dict[str, Any]
    user_metadata: UserProfileUserUserMetadata | Mapping[str, Any]
    """What the user set; `permissions` are those in force."""
    role: str | None


class UserProfileProfileNotificationPreferences(TypedDict):
    email: bool
    real_time: bool
    security_alerts: bool


class UserProfileProfile(TypedDict):
    username: str | None
    notification_preferences: UserProfileProfileNotificationPreferences | None
    agent_count: int
    storage_used: str


class UserProfile(TypedDict):
    user: UserProfileUser
    profile: UserProfileProfile


class LaunchAgentArguments(TypedDict):
    """The fields of LaunchAgentRequest as keyword arguments."""

    agent_name: str
    """What people call the agent."""
    description: NotRequired[str | None]
    role: NotRequired[str | None]
    """Title of the agent."""
    avatar: NotRequired[str | None]
    character: NotRequired[Character | Mapping[str, Any] | None]
    plugins: NotRequired[list[str] | None]
    platforms: NotRequired[list[str] | None]
    environment: NotRequired[dict[str, str | None] | None]
    supabase_config: NotRequired[SupabaseConfig | None]
    scaling_policy: NotRequired[ScalingPolicy | None]
    framework: NotRequired[str | None]
    """AI provider. Left out or empty in a new agent: it follows from the model and the character."""
    model: NotRequired[str | None]
    """Left out: the provider's default."""
    system_prompt: NotRequired[str | None]
    settings: NotRequired[ModelSettings | None]
    visibility: NotRequired[Literal["private", "public"] | None]
    """Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address."""
    max_tokens_per_day: NotRequired[int | None]
    """Tokens that the agent may spend in a day (UTC). A public agent needs one."""
    idle: NotRequired[LaunchAgentRequestIdle | None]
    resources: NotRequired[Resources | None]


class UpdateAgentArguments(TypedDict):
    """The fields of UpdateAgentRequest as keyword arguments."""

    agent_name: NotRequired[str]
    """What people call the agent."""
    description: NotRequired[str | None]
    role: NotRequired[str | None]
    """Title of the agent."""
    avatar: NotRequired[str | None]
    character: NotRequired[Character | Mapping[str, Any] | None]
    plugins: NotRequired[list[str] | None]
    platforms: NotRequired[list[str] | None]
    environment: NotRequired[dict[str, str | None] | None]
    supabase_config: NotRequired[SupabaseConfig | None]
    scaling_policy: NotRequired[ScalingPolicy | None]
    framework: NotRequired[str | None]
    """AI provider. Left out or empty in a new agent: it follows from the model and the character."""
    model: NotRequired[str | None]
    """Left out: the provider's default."""
    system_prompt: NotRequired[str | None]
    settings: NotRequired[ModelSettings | None]
    visibility: NotRequired[Literal["private", "public"] | None]
    """Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address."""
    max_tokens_per_day: NotRequired[int | None]
    """Tokens that the agent may spend in a day (UTC). A public agent needs one."""
    idle: NotRequired[UpdateAgentRequestIdle | None]
    resources: NotRequired[ResourceChanges | None]


class UpdateProfileArguments(TypedDict):
    """The fields of UpdateProfileRequest as keyword arguments."""

    username: NotRequired[str | None]
    user_metadata: NotRequired[UpdateProfileRequestUserMetadata | None]
    notification_preferences: NotRequired[UpdateProfileRequestNotificationPreferences | None]


class ListAgentsQuery(TypedDict):
    """What may be asked of listAgents."""

    limit: NotRequired[int]
    """Number of results."""
    offset: NotRequired[int]
    """How many to skip."""
    after: NotRequired[str]
    """`nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes."""
    status: NotRequired[
        Literal[
            "QUEUED",
            "DEPLOYING",
            "DEPLOYED",
            "SCALING",
            "UPDATING",
            "RESTARTING",
            "SLEEPING",
            "ASLEEP",
            "WAKING",
            "STOPPING",
            "STOPPED",
            "FAILED",
            "DELETING",
            "IDLE",
            "THINKING",
            "RESPONDING",
            "ERROR",
        ]
    ]
    """Filter by status, in any case."""
    platform: NotRequired[str]
    """Filter by platform."""


class PageQuery(TypedDict):
    """What may be asked of listAgentRevisions."""

    limit: NotRequired[int]
    """Number of results."""
    offset: NotRequired[int]
    """How many to skip."""
    after: NotRequired[str]
    """`nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes."""


class AgentMetricsQuery(TypedDict):
    """What may be asked of getAgentMetrics."""

    range: NotRequired[str]
    """Also what was in this last span of time, at most 400d."""
    resolution: NotRequired[Literal["minute", "hour"]]
    """Left out: minutes up to 6h, hours beyond. Minutes reach back 1d."""


class AgentLogsQuery(TypedDict):
    """What may be asked of getAgentLogs."""

    lines: NotRequired[int]
    """Number of log lines."""
    since: NotRequired[str]
    """Only lines of this last span of time."""
    level: NotRequired[Literal["INFO", "WARN", "ERROR", "DEBUG"]]
    """Filter by log level."""
    text: NotRequired[str]
    """Only lines whose message has this text, in any case; of the newest 50000 lines."""
    after: NotRequired[str]
    """`nextCursor` of the page before: the newest lines older than it."""


class PluginsQuery(TypedDict):
    """What may be asked of listPlugins."""

    query: NotRequired[str]
    """Words that the name or the description holds."""
    limit: NotRequired[int]
    """Number of plugins."""
    offset: NotRequired[int]
    """How many to skip."""
    after: NotRequired[str]
    """`nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes."""


class SecurityEventsQuery(TypedDict):
    """What may be asked of listSecurityEvents."""

    limit: NotRequired[int]
    """Number of events."""
    severity: NotRequired[Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]]
    """Filter by severity, in any case."""
    event_type: NotRequired[str]
    """Filter by event type, in any case."""
    since: NotRequired[str]
    """Only events since this time."""
    after: NotRequired[str]
    """`nextCursor` of the page before, asked with the same filters. Pages by cursor skip and repeat nothing while the list changes."""


ApiErrorCode: TypeAlias = Literal[
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
]
