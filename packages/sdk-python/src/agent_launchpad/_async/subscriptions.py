"""Subscriptions of the asynchronous client: they live in the caller's event loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from typing_extensions import Self

from .._call import callback_of
from .._realtime.agent import AgentFeed
from .._realtime.feed import Feed, Sink, Source
from .._realtime.recent import LISTENING_SECONDS, RepliesFeed, listening
from .._realtime.shared import SharedSocket
from ..errors import AgentLaunchpadError
from ..rows import AgentLog, ConnectionState, ReplyProgress

if TYPE_CHECKING:
    from .transport import AsyncTransport

logger = logging.getLogger("agent_launchpad")

Update = TypeVar("Update")
AsyncHandler: TypeAlias = Callable[[Update], "Awaitable[object] | object"]
AsyncOnConnection: TypeAlias = Callable[[ConnectionState], "Awaitable[object] | object"]
MakeFeed: TypeAlias = Callable[[Source, Sink], Feed]


class End:
    """What comes after the last update."""

    def __init__(self, error: AgentLaunchpadError | None) -> None:
        self.error = error


class Connection:
    """A state of the connection, in its place among the updates."""

    def __init__(self, state: ConnectionState) -> None:
        self.state = state


class Updates:
    """What a feed puts down, to be taken up by one reader."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.sink = Sink(
            update=self.queue.put_nowait,
            connection=lambda state: self.queue.put_nowait(Connection(state)),
            ended=lambda error: self.queue.put_nowait(End(error)),
        )


class AsyncSubscription:
    """A running subscription. `await subscription()` ends it, and so does leaving it as a context manager."""

    def __init__(
        self,
        owner: AsyncSubscriptions,
        make: MakeFeed,
        handler: AsyncHandler[Any],
        on_connection: AsyncOnConnection | None,
    ) -> None:
        callback_of("handler", handler)
        if on_connection is not None:
            callback_of("on_connection", on_connection)
        self._owner = owner
        self._handler = handler
        self._on_connection = on_connection
        self._updates = Updates()
        self.feed = make(owner.source, self._updates.sink)
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def subject(self) -> str:
        """What it is about, such as `agent my-bot-1a2b3c`."""
        return self.feed.subject

    @property
    def closed(self) -> bool:
        """Whether nothing more comes."""
        return self._closed.is_set()

    async def wait(self) -> None:
        """Returns when the subscription has ended: unsubscribed, the agent deleted, or an error for good."""
        await self._closed.wait()

    async def unsubscribe(self) -> None:
        """Ends the subscription; the handler is not called again. May be called from the handler."""
        ended = self.closed
        self._closed.set()
        self._owner.forget(self)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.feed.stop()
        if not ended:
            await self._call(self._on_connection, "closed")

    async def __call__(self) -> None:
        """Unsubscribes."""
        await self.unsubscribe()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.unsubscribe()

    def run(self) -> None:
        """Begins to call the handler."""
        self._task = asyncio.create_task(self._dispatch())

    async def _dispatch(self) -> None:
        while not self.closed:
            update = await self._updates.queue.get()
            if isinstance(update, End):
                self._closed.set()
                self._owner.forget(self)
                await self._call(self._on_connection, "closed")
            elif isinstance(update, Connection):
                await self._call(self._on_connection, update.state)
            else:
                await self._call(self._handler, update)

    async def _call(self, function: Callable[[Any], Any] | None, value: object) -> None:
        if function is None:
            return
        try:
            result = function(value)
            if inspect.isawaitable(result):
                await result
        except Exception:
            logger.exception("%s: the handler of an update failed", self.subject)


class AsyncTail:
    """The lines that an agent writes from now on, while it is entered."""

    def __init__(self, owner: AsyncSubscriptions, agent_id: str, on_connection: AsyncOnConnection | None) -> None:
        if on_connection is not None:
            callback_of("on_connection", on_connection)
        self._owner = owner
        self._on_connection = on_connection
        self.updates = Updates()
        self._feed = AgentFeed(agent_id, include=("log",), after=None, source=owner.source, sink=self.updates.sink)

    async def __aenter__(self) -> Self:
        await self._feed.start()
        self._owner.tails.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owner.tails.discard(self)
        await self._feed.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AgentLog:
        while True:
            update = await self.updates.queue.get()
            if isinstance(update, End):
                await self._told("closed")
                if update.error is not None:
                    raise update.error
                raise StopAsyncIteration
            if isinstance(update, Connection):
                await self._told(update.state)
            elif update["type"] == "log":
                return cast(AgentLog, update["log"])

    async def _told(self, state: ConnectionState) -> None:
        if self._on_connection is not None:
            result = self._on_connection(state)
            if inspect.isawaitable(result):
                await result


class AsyncReplies:
    """The answers of an agent on their way, while it is entered: as far as Realtime can be reached."""

    def __init__(self, owner: AsyncSubscriptions, agent_id: str) -> None:
        self._replies: asyncio.Queue[ReplyProgress] = asyncio.Queue()
        self._feed = RepliesFeed.of_agent(agent_id, source=owner.source, take=self._replies.put_nowait)

    async def __aenter__(self) -> Self:
        await listening(self._feed, LISTENING_SECONDS)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._feed.stop()

    async def next(self, timeout: float) -> ReplyProgress | None:
        """What happens to an answer next; None where nothing does within `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._replies.get(), timeout)
        except (asyncio.TimeoutError, TimeoutError):
            return None


class AsyncSubscriptions:
    """The subscriptions of a client, over one socket."""

    def __init__(self, transport: AsyncTransport) -> None:
        supabase = transport.supabase
        socket = SharedSocket(str(supabase.realtime_url), supabase.supabase_key, transport.token)
        self.source = Source(socket, transport.request)
        self._open: set[AsyncSubscription] = set()
        # Whoever waits for the next line of a log.
        self.tails: set[AsyncTail] = set()

    async def add(
        self, make: MakeFeed, handler: AsyncHandler[Any], on_connection: AsyncOnConnection | None
    ) -> AsyncSubscription:
        """Subscribes."""
        subscription = AsyncSubscription(self, make, handler, on_connection)
        await subscription.feed.start()
        self._open.add(subscription)
        subscription.run()
        return subscription

    def tail(self, agent_id: str, on_connection: AsyncOnConnection | None) -> AsyncTail:
        """The lines of an agent from now on."""
        return AsyncTail(self, agent_id, on_connection)

    def replies(self, agent_id: str) -> AsyncReplies:
        """The answers of an agent on their way."""
        return AsyncReplies(self, agent_id)

    def forget(self, subscription: AsyncSubscription) -> None:
        """Takes a subscription off the list."""
        self._open.discard(subscription)

    async def aclose(self) -> None:
        """Ends every subscription."""
        for subscription in list(self._open):
            await subscription.unsubscribe()
        for tail in list(self.tails):
            tail.updates.sink.ended(None)
