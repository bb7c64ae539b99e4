"""What every feed does: join a topic, read what was missed, go on; again after a lost connection."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from .._call import Call, following
from ..errors import AgentLaunchpadError, SubscriptionError, UnavailableError, passes
from ..rows import ConnectionState
from .shared import SharedSocket
from .socket import Channel, Lost, Refused

logger = logging.getLogger("agent_launchpad")

PAGE = 1000
FIRST_PAUSE = 0.2
# Between attempts, each of which reads what there is: a feed goes on by asking while Realtime is away.
LONGEST_PAUSE = 5.0

Request = Callable[[Call], Awaitable[Any]]


class Finished(Exception):
    """Nothing more can happen to what the feed is about."""


@dataclass(frozen=True)
class Source:
    """What a feed listens and reads with."""

    socket: SharedSocket
    request: Request


@dataclass(frozen=True)
class Sink:
    """Where a feed puts what it finds. `ended` is told once why there is no more (None: all is said)."""

    update: Callable[[Any], None]
    connection: Callable[[ConnectionState], None]
    ended: Callable[[AgentLaunchpadError | None], None]


class Feed(ABC):
    """One topic's updates, each once."""

    def __init__(self, subject: str, topic: str, *, private: bool, source: Source, sink: Sink) -> None:
        """Makes a feed that has not begun.

        Args:
            subject: what it is about, for logs.
            topic: what it joins.
            private: whether policies guard the topic.
            source: what it listens and reads with.
            sink: where its updates go.
        """
        self.subject = subject
        self._topic = topic
        self._private = private
        self._socket = source.socket
        self._request = source.request
        self._sink = sink
        self._channel: Channel | None = None
        self._task: asyncio.Task[None] | None = None
        self._state: ConnectionState | None = None
        self._told: tuple[str, str] | None = None

    async def start(self) -> None:
        """Returns when nothing that happens from now on can be missed.

        Raises:
            AgentLaunchpadError: the subscription cannot be made.
        """
        self._tell("connecting")
        try:
            await self._look_up()
            await self._look_back()
            await self._connect()
        except Lost as error:
            await self._leave()
            raise UnavailableError(f"Realtime: {error}", code="SUPABASE_CONNECTION_ERROR") from None
        except Refused as error:
            raise refused(error) from None
        except Finished:
            await self._finish(None)
            return
        except BaseException:
            await self._leave()
            raise
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends the feed."""
        if self._task is not None and self._task is not asyncio.current_task():
            while not self._task.done():
                # Before Python 3.12 a cancellation is lost where it meets the answer that wait_for waited for.
                self._task.cancel()
                await asyncio.wait([self._task], timeout=1)
            with suppress(asyncio.CancelledError):
                self._task.result()
        await self._leave()

    async def _run(self) -> None:
        failures = 0
        error: AgentLaunchpadError | None = None
        while True:
            try:
                if self._channel is None:
                    await self._look_up()
                    await self._connect()
                failures = 0
                await self._follow()
            except Finished:
                break
            except AgentLaunchpadError as failure:
                if not passes(failure):
                    error = failure
                    break
                self._trouble(failure)
            except Refused as refusal:
                self._trouble(refused(refusal))
            except Lost as loss:
                self._trouble(away(loss))
            except Exception:
                logger.exception("%s: the subscription tries again", self.subject)
            await self._leave()
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures)
            await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311
            failures = min(failures + 1, 10)
        await self._finish(error)

    async def _finish(self, error: AgentLaunchpadError | None) -> None:
        await self._leave()
        if error is not None:
            self._sink.update(self._failure(error, final=True))
        self._sink.ended(error)

    def _tell(self, state: ConnectionState) -> None:
        if state != self._state:
            self._state = state
            self._sink.connection(state)

    def _trouble(self, error: AgentLaunchpadError) -> None:
        """Tells each trouble once, until the connection is back."""
        logger.info("%s: %s; the subscription tries again", self.subject, error)
        self._tell("interrupted")
        trouble = (error.code, error.message)
        if trouble != self._told:
            self._told = trouble
            self._sink.update(self._failure(error, final=False))

    def _failure(self, error: AgentLaunchpadError, *, final: bool) -> Mapping[str, Any]:
        return {"type": "error", "error": error, "final": final}

    async def _connect(self) -> None:
        config = {
            "private": self._private,
            "broadcast": {"ack": False, "self": False},
            "presence": {"key": "", "enabled": False},
            "postgres_changes": list(self._changes()),
        }
        try:
            self._channel = await self._socket.join(self._topic, config)
        except (Lost, Refused):
            if self._state != "connecting":
                await self._catch_up()
            raise
        await self._catch_up()
        self._told = None
        self._tell("live")

    async def _leave(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            with suppress(Exception):
                await self._socket.leave(channel)

    async def _follow(self) -> None:
        channel = self._channel
        if channel is None:
            raise Lost("not joined")
        sure = False
        while True:
            event, payload = await channel.next()
            if event == "broadcast":
                await self._take_broadcast(payload)
            elif event == "system" and payload.get("extension") == "postgres_changes":
                # Hosted Realtime answers a join before changes of tables flow, and says here that they do.
                sure = True
                await self._catch_up()
            elif event == "postgres_changes" and sure:
                self._take_change(payload.get("data"))
            elif event == "postgres_changes":
                # A row hides the earlier ones of its replica from what is read later: until then all is read.
                await self._catch_up()

    def _take_change(self, data: Any) -> None:
        if not isinstance(data, dict) or not isinstance(data.get("record"), dict):
            return
        if data.get("errors"):
            raise Lost(f"a change came incomplete: {data['errors']}")
        self._take_row(str(data.get("table")), data["record"])

    @abstractmethod
    async def _look_up(self) -> None:
        """Whether what it is about is the caller's. Raises what says that it is not."""

    @abstractmethod
    async def _look_back(self) -> None:
        """Where the tables are before anything is missed: only what comes later is new."""

    @abstractmethod
    async def _catch_up(self) -> None:
        """What happened since the last message; what arrives meanwhile waits in the channel."""

    @abstractmethod
    def _changes(self) -> Sequence[Mapping[str, str]]:
        """Which changes of tables to hear of."""

    @abstractmethod
    def _take_row(self, table: str, row: Mapping[str, Any]) -> None:
        """Takes a row that was read or delivered."""

    @abstractmethod
    async def _take_broadcast(self, broadcast: Mapping[str, Any]) -> None:
        """Takes a broadcast: its `event` and `payload`."""

    async def _read(self, table: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = await self._request(Call("GET", f"/{table}", query=query, rest=True))
        return cast("list[dict[str, Any]]", rows)

    async def _read_all(
        self, table: str, query: Mapping[str, Any], shown: Callable[[Mapping[str, Any]], Any] | None = None
    ) -> None:
        """Reads and takes rows page by page; `shown`: by what those of one page are sorted."""
        columns = str(query["order"]).split(",")
        page = {**query, "limit": PAGE}
        while True:
            rows = await self._read(table, page)
            for row in rows if shown is None else sorted(rows, key=shown):
                self._take_row(table, row)
            if len(rows) < PAGE:
                return
            # Not by offset: a row that is deleted meanwhile would move others into the page that was read.
            page["and"] = following(columns, rows[-1])


def change(event: str, table: str, condition: str | None) -> dict[str, str]:
    """What to hear of a table, as a join asks for it."""
    wanted = {"event": event, "schema": "public", "table": table}
    return wanted if condition is None else {**wanted, "filter": condition}


def refused(error: Refused) -> SubscriptionError:
    """The error of a join that the server refuses."""
    message = f"Realtime refuses the subscription: {error}"
    return SubscriptionError(message, code="REAL_TIME_SUBSCRIPTION_FAILED", status=422)


def away(loss: Lost) -> SubscriptionError:
    """What is told of a connection that was lost."""
    return SubscriptionError(f"The real-time connection was lost: {loss}", code="REAL_TIME_SUBSCRIPTION_FAILED")
