"""Subscriptions of the asynchronous client: they live in the caller's event loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from typing_extensions import Self

from .._realtime.feed import KINDS, Feed
from .._realtime.shared import SharedSocket
from ..errors import AgentLaunchpadError
from ..rows import AgentLog, AgentUpdate, UpdateKind

if TYPE_CHECKING:
    from .client import AsyncAgentLaunchpadClient
    from .transport import AsyncTransport

logger = logging.getLogger("agent_launchpad")

AsyncHandler: TypeAlias = Callable[[AgentUpdate], "Awaitable[object] | object"]


class End:
    """What comes after the last update."""

    def __init__(self, error: AgentLaunchpadError | None) -> None:
        self.error = error


class AsyncSubscription:
    """A running subscription. `await subscription()` ends it, and so does leaving it as a context manager."""

    def __init__(
        self,
        owner: AsyncSubscriptions,
        agent_id: str,
        handler: AsyncHandler,
    ) -> None:
        self.agent_id = agent_id
        self._owner = owner
        self._handler = handler
        self.updates: asyncio.Queue[AgentUpdate | End] = asyncio.Queue()
        self.feed: Feed | None = None
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing more comes."""
        return self._closed.is_set()

    async def wait(self) -> None:
        """Returns when the subscription has ended: unsubscribed, the agent deleted, or an error for good."""
        await self._closed.wait()

    async def unsubscribe(self) -> None:
        """Ends the subscription; the handler is not called again. May be called from the handler."""
        self._closed.set()
        self._owner.forget(self)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self.feed is not None:
            await self.feed.stop()

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
            update = await self.updates.get()
            if isinstance(update, End):
                break
            try:
                result = self._handler(update)
                if inspect.isawaitable(result):
                    await result
            except Exception:
                logger.exception("agent %s: the handler of an update failed", self.agent_id)
        self._closed.set()
        self._owner.forget(self)


class AsyncSubscriptions:
    """The subscriptions of a client, over one socket."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport
        supabase = transport.supabase
        self.socket = SharedSocket(str(supabase.realtime_url), supabase.supabase_key, transport.token)
        self._open: set[AsyncSubscription] = set()
        # Whoever waits for the next line of a log.
        self.tails: set[asyncio.Queue[AgentUpdate | End]] = set()

    async def add(
        self,
        agent_id: str,
        handler: AsyncHandler,
        *,
        include: Collection[str],
        after: int | None,
    ) -> AsyncSubscription:
        """Subscribes."""
        subscription = AsyncSubscription(self, agent_id, handler)
        subscription.feed = self.feed(subscription.updates, agent_id, include=include, after=after)
        await subscription.feed.start()
        self._open.add(subscription)
        subscription.run()
        return subscription

    def feed(
        self,
        updates: asyncio.Queue[AgentUpdate | End],
        agent_id: str,
        *,
        include: Collection[str],
        after: int | None = None,
        lines: int = 0,
    ) -> Feed:
        """A feed into a queue, not yet started."""
        return Feed(
            agent_id,
            include=include,
            after=after,
            lines=lines,
            socket=self.socket,
            request=self.transport.request,
            deliver=updates.put_nowait,
            ended=lambda error: updates.put_nowait(End(error)),
        )

    def forget(self, subscription: AsyncSubscription) -> None:
        """Takes a subscription off the list."""
        self._open.discard(subscription)

    async def aclose(self) -> None:
        """Ends every subscription."""
        for subscription in list(self._open):
            await subscription.unsubscribe()
        for tail in list(self.tails):
            tail.put_nowait(End(None))


class AsyncSubscribing:
    """The part of the client that subscribes."""

    subscriptions: AsyncSubscriptions

    async def subscribe_to_agent(
        self,
        agent_id: str,
        handler: AsyncHandler,
        *,
        include: Collection[UpdateKind] = KINDS,
        after: int | None = None,
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

        Returns:
            The subscription: `await subscription()` unsubscribes.

        Raises:
            AgentLaunchpadError: `AGENT_NOT_FOUND`, `INVALID_JWT_TOKEN`, `REAL_TIME_SUBSCRIPTION_FAILED` …
        """
        return await self.subscriptions.add(agent_id, handler, include=include, after=after)


async def log_lines(client: AsyncAgentLaunchpadClient, agent_id: str, lines: int) -> AsyncGenerator[AgentLog, None]:
    """The newest lines and then each new one. Raises the error that ends it."""
    updates: asyncio.Queue[AgentUpdate | End] = asyncio.Queue()
    subscriptions = client.subscriptions
    feed = subscriptions.feed(updates, agent_id, include=("log",), lines=lines)
    await feed.start()
    subscriptions.tails.add(updates)
    try:
        while True:
            update = await updates.get()
            if isinstance(update, End):
                if update.error is not None:
                    raise update.error
                return
            if update["type"] == "log":
                yield update["log"]
    finally:
        subscriptions.tails.discard(updates)
        await feed.stop()
