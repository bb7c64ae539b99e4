"""The Python SDK of Agent Launchpad."""

from ._async.client import AsyncAgentLaunchpadClient
from ._async.subscriptions import AsyncSubscription
from ._call import RateLimit
from ._sync.client import AgentLaunchpadClient
from ._sync.subscriptions import Subscription
from ._version import __version__
from .errors import (
    AccessDeniedError,
    AgentLaunchpadError,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    LaunchpadTimeoutError,
    LimitError,
    NotFoundError,
    SubscriptionError,
    UnavailableError,
)
from .rows import AgentUpdate, UpdateKind

__all__ = [
    "AccessDeniedError",
    "AgentLaunchpadClient",
    "AgentLaunchpadError",
    "AgentUpdate",
    "AsyncAgentLaunchpadClient",
    "AsyncSubscription",
    "AuthenticationError",
    "ConflictError",
    "InvalidRequestError",
    "LaunchpadTimeoutError",
    "LimitError",
    "NotFoundError",
    "RateLimit",
    "Subscription",
    "SubscriptionError",
    "UnavailableError",
    "UpdateKind",
    "__version__",
]
