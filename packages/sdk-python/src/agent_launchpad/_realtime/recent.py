"""Security events and messages, each once; and the answers on their way.

Their rows have an id and a time, and are few enough to read the last minute again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from uuid import uuid4

from .._call import agent_not_found, conversation_rows, not_found
from ..errors import AgentLaunchpadError, invalid
from ..models import KnownSeverity
from ..rows import AgentConversation, ReplyProgress, SwarmConversation
from .cursor import RecentRows
from .feed import PAGE, Feed, Sink, Source, change

logger = logging.getLogger("agent_launchpad")

# How long a question waits for the channel that will carry its answer.
LISTENING_SECONDS = 3.0


class SecurityFeed(Feed):
    """The caller's security events."""

    def __init__(self, severity: KnownSeverity | None, *, source: Source, sink: Sink) -> None:
        topic = f"launchpad:security:{uuid4().hex}"
        super().__init__("security events", topic, private=False, source=source, sink=sink)
        self._severity = severity
        self._rows = {} if severity is None else {"severity": f"eq.{severity}"}
        self._cursor = RecentRows("timestamp")

    async def _look_up(self) -> None:
        """Everyone has security events."""

    async def _look_back(self) -> None:
        self._cursor.start(reversed(await self._read("security_events", {**self._rows, **self._cursor.newest(PAGE)})))

    async def _catch_up(self) -> None:
        await self._read_all("security_events", {**self._rows, **self._cursor.missed()})

    def _changes(self) -> Sequence[Mapping[str, str]]:
        return [
            change("INSERT", "security_events", None if self._severity is None else f"severity=eq.{self._severity}")
        ]

    def _take_row(self, table: str, row: Mapping[str, Any]) -> None:
        if table == "security_events" and self._cursor.take(row):
            self._sink.update({"type": "event", "event": row})

    async def _take_broadcast(self, broadcast: Mapping[str, Any]) -> None:
        """None are sent."""


class RepliesFeed(Feed):
    """The answers of an agent, or of a swarm's, while they are written."""

    def __init__(self, subject: str, topic: str, *, source: Source, sink: Sink) -> None:
        super().__init__(subject, topic, private=True, source=source, sink=sink)

    @classmethod
    def of_agent(cls, agent_id: str, *, source: Source, take: Callable[[ReplyProgress], None]) -> RepliesFeed:
        """A feed of nothing but an agent's replies."""

        def update(told: Mapping[str, Any]) -> None:
            if told["type"] == "reply":
                take(told["reply"])

        sink = Sink(update=update, connection=lambda _: None, ended=lambda _: None)
        return cls(f"replies of agent {agent_id}", f"agent:{agent_id}", source=source, sink=sink)

    async def _look_up(self) -> None:
        """The policies of the topic say whose it is."""

    async def _look_back(self) -> None:
        """What passed is void."""

    async def _catch_up(self) -> None:
        """What passed is void."""

    def _changes(self) -> Sequence[Mapping[str, str]]:
        return []

    def _take_row(self, table: str, row: Mapping[str, Any]) -> None:
        """None are asked for."""

    async def _take_broadcast(self, broadcast: Mapping[str, Any]) -> None:
        event, reply = broadcast.get("event"), broadcast.get("payload")
        # Owners may send broadcasts of their own on this topic, and an agent's events travel there too.
        if isinstance(event, str) and event.startswith("reply.") and isinstance(reply, dict) and "messageId" in reply:
            progress = cast(ReplyProgress, {**reply, "event": event.removeprefix("reply.")})
            self._sink.update({"type": "reply", "reply": progress})


class MessagesFeed(RepliesFeed):
    """What is said with an agent or in a swarm, and the answers on their way."""

    def __init__(self, conversation: AgentConversation | SwarmConversation, *, source: Source, sink: Sink) -> None:
        """Makes a feed that has not begun.

        Raises:
            AgentLaunchpadError: `VALIDATION_ERROR` for an id that cannot be one.
        """
        # Answers are told to an agent or a swarm, not to a conversation.
        if not isinstance(conversation, Mapping) or {*conversation} not in ({"agent_id"}, {"swarm_id"}):
            raise invalid("conversation", "Must have agent_id or swarm_id")
        self._rows = conversation_rows(conversation)
        self._of_swarm = "swarm_id" in conversation
        [self._name] = [str(value) for value in conversation.values()]
        kind = "swarm" if self._of_swarm else "agent"
        super().__init__(f"messages of {kind} {self._name}", f"{kind}:{self._name}", source=source, sink=sink)
        self._cursor = RecentRows("created_at")

    async def _look_up(self) -> None:
        table = "swarms" if self._of_swarm else "agents"
        if not await self._read(table, {"id": f"eq.{self._name}", "select": "id"}):
            raise not_found("Swarm") if self._of_swarm else agent_not_found(self._name)

    async def _look_back(self) -> None:
        self._cursor.start(reversed(await self._read("messages", {**self._rows, **self._cursor.newest(PAGE)})))

    async def _catch_up(self) -> None:
        await self._read_all("messages", {**self._rows, **self._cursor.missed()})

    def _changes(self) -> Sequence[Mapping[str, str]]:
        columns = ("swarm_id",) if self._of_swarm else ("to_agent_id", "agent_id")
        return [change("INSERT", "messages", f"{column}=eq.{self._name}") for column in columns]

    def _take_row(self, table: str, row: Mapping[str, Any]) -> None:
        if table != "messages" or not self._cursor.take(row):
            return
        # What an agent says in swarms is heard there.
        if self._of_swarm or row["swarm_id"] is None:
            self._sink.update({"type": "message", "message": row})


async def listening(feed: Feed, seconds: float) -> None:
    """Starts a feed that may be missing: a question is answered without it too."""
    try:
        await asyncio.wait_for(feed.start(), seconds)
    except (AgentLaunchpadError, asyncio.TimeoutError, TimeoutError) as error:
        logger.info("%s: not heard while they are written (%s)", feed.subject, error)
