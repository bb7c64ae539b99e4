"""The methods of the asynchronous client that subscribe. Their twins have one argument more."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from .._realtime.agent import KINDS, AgentFeed
from .._realtime.recent import MessagesFeed, SecurityFeed
from ..models import KnownSeverity
from ..rows import (
    AgentConversation,
    AgentUpdate,
    ConversationUpdate,
    SecurityUpdate,
    SwarmConversation,
    UpdateKind,
)
from .subscriptions import AsyncHandler, AsyncOnConnection, AsyncSubscription, AsyncSubscriptions

if TYPE_CHECKING:
    from .client import AsyncAgentLaunchpadClient


class AsyncAgentSubscribing:
    """The part of the client that subscribes."""

    subscriptions: AsyncSubscriptions

    async def subscribe_to_agent(
        self,
        agent_id: str,
        handler: AsyncHandler[AgentUpdate],
        *,
        include: Collection[UpdateKind] = KINDS,
        after: int | None = None,
        on_connection: AsyncOnConnection | None = None,
    ) -> AsyncSubscription:
        """Calls `handler` with everything that happens to an agent, in order, one at a time.

        Returns when nothing that happens from now on can be missed. After a lost connection the subscription takes
        up where it was: each event comes once (by its `seq`), and so do log lines and samples.

        Args:
            agent_id: the agent.
            handler: a function or coroutine function of an `AgentUpdate`: its `type` is `status` (the present one
                first), `event`, `log` or `metrics`, and the row stands under that name; or `error`, which with
                `final` is the last.
            include: which types are wanted.
            after: begin after the event of this `seq` (0: the whole history). Left out: from now on.
            on_connection: called with each state of the connection: `connecting`, `live`, `interrupted`, `closed`.

        Returns:
            The subscription: `await subscription()` unsubscribes.

        Raises:
            AgentLaunchpadError: `AGENT_NOT_FOUND`, `INVALID_JWT_TOKEN`, `REAL_TIME_SUBSCRIPTION_FAILED` …
        """
        return await self.subscriptions.add(
            lambda source, sink: AgentFeed(agent_id, include=include, after=after, source=source, sink=sink),
            handler,
            on_connection,
        )


class AsyncSecuritySubscribing:
    """The part of `client.security` that subscribes."""

    _client: AsyncAgentLaunchpadClient

    async def subscribe(
        self,
        handler: AsyncHandler[SecurityUpdate],
        *,
        severity: KnownSeverity | None = None,
        on_connection: AsyncOnConnection | None = None,
    ) -> AsyncSubscription:
        """Calls `handler` with every new security event, each once, also across lost connections.

        Args:
            handler: a function or coroutine function of a `SecurityUpdate`: its `type` is `event`, or `error`.
            severity: only of this severity.
            on_connection: called with each state of the connection.

        Returns:
            The subscription: `await subscription()` unsubscribes.
        """
        return await self._client.subscriptions.add(
            lambda source, sink: SecurityFeed(severity, source=source, sink=sink), handler, on_connection
        )


class AsyncMessagesSubscribing:
    """The part of `client.messages` that subscribes."""

    _client: AsyncAgentLaunchpadClient

    async def subscribe(
        self,
        conversation: AgentConversation | SwarmConversation,
        handler: AsyncHandler[ConversationUpdate],
        *,
        on_connection: AsyncOnConnection | None = None,
    ) -> AsyncSubscription:
        """Calls `handler` with every new message, and with the answers on their way.

        Messages come across lost connections, each once; pieces of an answer that pass meanwhile do not.

        Args:
            conversation: `{"agent_id": …}` or `{"swarm_id": …}`.
            handler: a function or coroutine function of a `ConversationUpdate`: its `type` is `message`, `reply` (a
                `ReplyProgress`), or `error`.
            on_connection: called with each state of the connection.

        Returns:
            The subscription: `await subscription()` unsubscribes.

        Raises:
            AgentLaunchpadError: `AGENT_NOT_FOUND`, or `NOT_FOUND` for a swarm.
        """
        return await self._client.subscriptions.add(
            lambda source, sink: MessagesFeed(conversation, source=source, sink=sink), handler, on_connection
        )
