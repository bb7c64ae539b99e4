"""The methods of the synchronous client that subscribe. They have one argument more than their twins: `daemon`."""

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
from .subscriptions import Handler, OnConnection, Subscription, Subscriptions

if TYPE_CHECKING:
    from .client import AgentLaunchpadClient


class AgentSubscribing:
    """The part of the client that subscribes."""

    subscriptions: Subscriptions

    def subscribe_to_agent(
        self,
        agent_id: str,
        handler: Handler[AgentUpdate],
        *,
        include: Collection[UpdateKind] = KINDS,
        after: int | None = None,
        on_connection: OnConnection | None = None,
        daemon: bool = False,
    ) -> Subscription:
        """Calls `handler`, in a thread, with everything that happens to an agent, in order, one at a time.

        Returns when nothing that happens from now on can be missed. After a lost connection the subscription takes
        up where it was: each event comes once (by its `seq`), and so do log lines and samples.

        A program whose main part has come to its end goes on while it is subscribed, until it unsubscribes, the
        agent is deleted, or Ctrl-C; not after an exception, and not in an interactive session.

        Args:
            agent_id: the agent.
            handler: a function of an `AgentUpdate`: its `type` is `status` (the present one
                first), `event`, `log` or `metrics`, and the row stands under that name; or `error`, which with
                `final` is the last.
            include: which types are wanted.
            after: begin after the event of this `seq` (0: the whole history). Left out: from now on.
            on_connection: called with each state of the connection: `connecting`, `live`, `interrupted`, `closed`.
            daemon: whether the program may end all the same.

        Returns:
            The subscription: call it to unsubscribe.

        Raises:
            AgentLaunchpadError: `AGENT_NOT_FOUND`, `INVALID_JWT_TOKEN`, `REAL_TIME_SUBSCRIPTION_FAILED` …
        """
        return self.subscriptions.add(
            lambda source, sink: AgentFeed(agent_id, include=include, after=after, source=source, sink=sink),
            handler,
            on_connection,
            daemon=daemon,
        )


class SecuritySubscribing:
    """The part of `client.security` that subscribes."""

    _client: AgentLaunchpadClient

    def subscribe(
        self,
        handler: Handler[SecurityUpdate],
        *,
        severity: KnownSeverity | None = None,
        on_connection: OnConnection | None = None,
        daemon: bool = False,
    ) -> Subscription:
        """Calls `handler`, in a thread, with every new security event, each once, also across lost connections.

        Args:
            handler: a function of a `SecurityUpdate`: its `type` is `event`, or `error`.
            severity: only of this severity.
            on_connection: called with each state of the connection.
            daemon: whether the program may end all the same.

        Returns:
            The subscription: call it to unsubscribe.
        """
        return self._client.subscriptions.add(
            lambda source, sink: SecurityFeed(severity, source=source, sink=sink), handler, on_connection, daemon=daemon
        )


class MessagesSubscribing:
    """The part of `client.messages` that subscribes."""

    _client: AgentLaunchpadClient

    def subscribe(
        self,
        conversation: AgentConversation | SwarmConversation,
        handler: Handler[ConversationUpdate],
        *,
        on_connection: OnConnection | None = None,
        daemon: bool = False,
    ) -> Subscription:
        """Calls `handler`, in a thread, with every new message, and with the answers on their way.

        Messages come across lost connections, each once; pieces of an answer that pass meanwhile do not.

        Args:
            conversation: `{"agent_id": …}` or `{"swarm_id": …}`.
            handler: a function of a `ConversationUpdate`: its `type` is `message`, `reply` (a
                `ReplyProgress`), or `error`.
            on_connection: called with each state of the connection.
            daemon: whether the program may end all the same.

        Returns:
            The subscription: call it to unsubscribe.

        Raises:
            AgentLaunchpadError: `AGENT_NOT_FOUND`, or `NOT_FOUND` for a swarm.
        """
        return self._client.subscriptions.add(
            lambda source, sink: MessagesFeed(conversation, source=source, sink=sink),
            handler,
            on_connection,
            daemon=daemon,
        )
