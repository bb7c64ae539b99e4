"""Rows as `/rest/v1` and Realtime show them, and what a subscription tells."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from typing_extensions import NotRequired, TypedDict

from .errors import AgentLaunchpadError
from .models import AgentStatus, LogLevel, SecurityEvent


class AgentEvent(TypedDict):
    """A row of `agent_events`: what happened to an agent. `seq` has no gaps."""

    id: str
    agent_id: str
    user_id: str
    seq: int
    event_type: str
    from_phase: str | None
    to_phase: str | None
    actor: str
    generation: int | None
    revision: int | None
    message: str
    details: dict[str, Any]
    request_id: str | None
    timestamp: str


class Secret(TypedDict):
    """A row of `agent_secrets` or `user_secrets`: that there is a secret. Its value is shown to nobody."""

    name: str
    version: int
    created_at: str
    updated_at: str


class StoredSecret(TypedDict):
    """What became of an account's secret. `changed`: false where it had this value already."""

    name: str
    version: int
    createdAt: str
    updatedAt: str
    changed: bool


class AgentLog(TypedDict):
    """A row of `agent_logs`. `sequence` numbers the lines of a replica."""

    id: str
    agent_id: str
    user_id: str
    timestamp: str
    level: LogLevel
    message: str
    source: str
    metadata: dict[str, Any]
    replica: str
    sequence: int


class AgentMetricsSample(TypedDict):
    """A row of `agent_metrics`: what a replica used. Cores and bytes; None where nobody could measure."""

    id: int
    agent_id: str
    user_id: str
    timestamp: str
    replica: str
    sequence: int
    cpu_usage: float | None
    cpu_limit: float | None
    memory_usage: int | None
    memory_limit: int | None
    network_in: int | None
    network_out: int | None
    requests_total: int | None
    requests_success: int | None
    requests_errors: int | None
    request_rate: float | None
    response_time_ms: float | None


class StatusUpdate(TypedDict):
    """The status that the agent shows: the present one first, then each change."""

    type: Literal["status"]
    agentId: str
    status: AgentStatus
    timestamp: str


class EventUpdate(TypedDict):
    """Something happened to the agent."""

    type: Literal["event"]
    agentId: str
    event: AgentEvent


class LogUpdate(TypedDict):
    """The agent wrote a line."""

    type: Literal["log"]
    agentId: str
    log: AgentLog


class MetricsUpdate(TypedDict):
    """A replica was measured."""

    type: Literal["metrics"]
    agentId: str
    metrics: AgentMetricsSample


class WatchFailure(TypedDict):
    """The subscription is in trouble. Where `final` is true it has ended, else it goes on trying."""

    type: Literal["error"]
    error: AgentLaunchpadError
    final: bool


class ErrorUpdate(WatchFailure):
    """A subscription to an agent is in trouble."""

    agentId: str


AgentUpdate: TypeAlias = StatusUpdate | EventUpdate | LogUpdate | MetricsUpdate | ErrorUpdate
UpdateKind: TypeAlias = Literal["status", "event", "log", "metrics"]
ConnectionState: TypeAlias = Literal["connecting", "live", "interrupted", "closed"]
"""`live`: everything arrives as it happens. `interrupted`: what happens now is delivered once it is back."""
ReplyMode: TypeAlias = Literal["all", "addressed", "rounds"]


class SecurityEventUpdate(TypedDict):
    """A security event."""

    type: Literal["event"]
    event: SecurityEvent


SecurityUpdate: TypeAlias = SecurityEventUpdate | WatchFailure


class Swarm(TypedDict):
    """A row of `swarms`: agents that talk with a person and with each other."""

    id: str
    user_id: str
    name: str
    description: str | None
    reply_mode: ReplyMode | str
    max_turns: int
    created_at: str
    updated_at: str


class SwarmFields(TypedDict):
    """What may be changed of a swarm."""

    name: NotRequired[str]
    description: NotRequired[str | None]
    reply_mode: NotRequired[ReplyMode]
    max_turns: NotRequired[int]


class SwarmMember(TypedDict):
    """A row of `swarm_agents`."""

    swarm_id: str
    agent_id: str
    user_id: str
    position: int
    created_at: str


class MessageError(TypedDict):
    """Why an answer failed."""

    code: str
    message: str


class SettingWarning(TypedDict):
    """A setting that had no effect as it is."""

    field: str
    message: str


class Message(TypedDict):
    """A row of `messages`."""

    id: str
    user_id: str
    swarm_id: str | None
    conversation_id: str | None
    to_agent_id: str | None
    agent_id: str | None
    sender_kind: Literal["user", "agent"] | str
    sender_name: str | None
    sender_deleted: bool
    content: str
    status: Literal["sent", "complete", "error"] | str
    error: MessageError | None
    reply_to: str | None
    root_id: str | None
    turn: int
    model: str | None
    warnings: list[SettingWarning]
    silence: str | None
    """Of an answer without a text: why the agent is silent."""
    input_tokens: int | None
    output_tokens: int | None
    created_at: str


class AnswerStep(TypedDict):
    """A row of `answer_steps`: one call of a model or tool, retrieval or approval of an answer. Kept for 30 days."""

    id: str
    message_id: str
    """The answer's."""
    agent_id: str
    user_id: str
    index: int
    """1, 2, 3 … in the order of their ends, over all attempts."""
    kind: str
    """`model`, `tool`, `retrieval` or `approval`."""
    name: str
    status: str
    """`ok`, `error`, `pending`, or `refused`: the platform did not let it happen."""
    started_at: str
    milliseconds: int
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    arguments: dict[str, Any] | None
    """Secrets blanked, long texts cut."""
    result: str | None
    error: MessageError | None


class ReplyProgress(TypedDict):
    """An answer on its way. After `retried` what was streamed before is void. A `step` may come after `finished`.

    Events that this version does not know are passed on; they may lack `replyTo` and `attempt`.
    """

    event: Literal["started", "delta", "step", "finished", "failed", "retried", "waiting"] | str
    messageId: str
    """The id that the answer will have."""
    agentId: str
    replyTo: NotRequired[str]
    """The message that is being answered."""
    attempt: NotRequired[int]
    text: NotRequired[str]
    sequence: NotRequired[int]
    code: NotRequired[str]
    message: NotRequired[str]
    final: NotRequired[bool]
    resumesAt: NotRequired[str]
    index: NotRequired[int]
    """Of a step, as in `AnswerStep`; so are the next ones."""
    kind: NotRequired[str]
    name: NotRequired[str]
    status: NotRequired[str]
    startedAt: NotRequired[str]
    milliseconds: NotRequired[int]
    inputTokens: NotRequired[int]
    outputTokens: NotRequired[int]
    cachedInputTokens: NotRequired[int]
    error: NotRequired[MessageError]


class MessageUpdate(TypedDict):
    """A message was stored."""

    type: Literal["message"]
    message: Message


class ReplyUpdate(TypedDict):
    """An answer is on its way."""

    type: Literal["reply"]
    reply: ReplyProgress


ConversationUpdate: TypeAlias = MessageUpdate | ReplyUpdate | WatchFailure


class AgentConversation(TypedDict):
    """What is said with an agent, apart from swarms."""

    agent_id: str


class SwarmConversation(TypedDict):
    """What is said in a swarm."""

    swarm_id: str


class TableSecurity(TypedDict):
    """Row-level security of a table."""

    rls_enabled: bool
    policies_count: int


class RlsPolicies(TypedDict):
    """What the database says about row-level security."""

    tables: dict[str, TableSecurity]
    user_isolation: str
    compliance_status: str


class SupabaseParts(TypedDict):
    """The state of each part of the platform."""

    database: str
    auth: str
    realtime: str
    storage: str
    edge_functions: str


class CallersRights(TypedDict):
    """What the caller may see."""

    rls_policies: str
    user_data_accessible: bool
    real_time_subscriptions: int | None


class SupabaseHealth(TypedDict):
    """What the database alone can tell of the project's health."""

    supabase_health: SupabaseParts
    user_specific: CallersRights
