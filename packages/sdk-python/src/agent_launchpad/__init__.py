"""The Python SDK of Agent Launchpad."""

from ._async.client import AsyncAgentLaunchpadClient
from ._async.subscriptions import AsyncSubscription
from ._call import RateLimit, Retry
from ._sync.client import AgentLaunchpadClient
from ._sync.subscriptions import Subscription
from ._version import __version__
from .errors import (
    AccessDeniedError,
    AgentLaunchpadError,
    AnswerFailedError,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    LaunchpadTimeoutError,
    LimitError,
    NotFoundError,
    SubscriptionError,
    UnavailableError,
)
from .rows import AgentUpdate, ConnectionState, ConversationUpdate, SecurityUpdate, UpdateKind

__all__ = [
    "AccessDeniedError",
    "AgentLaunchpadClient",
    "AgentLaunchpadError",
    "AgentUpdate",
    "AnswerFailedError",
    "AsyncAgentLaunchpadClient",
    "AsyncSubscription",
    "AuthenticationError",
    "ConflictError",
    "ConnectionState",
    "ConversationUpdate",
    "InvalidRequestError",
    "LaunchpadTimeoutError",
    "LimitError",
    "NotFoundError",
    "RateLimit",
    "Retry",
    "SecurityUpdate",
    "Subscription",
    "SubscriptionError",
    "UnavailableError",
    "UpdateKind",
    "__version__",
]
