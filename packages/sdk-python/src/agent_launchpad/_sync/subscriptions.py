"""Subscriptions of the synchronous client.

The synchronous supabase client has no Realtime. Each client has one thread with an event loop for the connection, and
each subscription one thread that calls its handler, so that a slow handler holds up nothing else.
"""

from __future__ import annotations

import atexit
import logging
import queue
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from typing_extensions import Self

from .._call import callback_of
from .._realtime.agent import AgentFeed
from .._realtime.feed import Feed, Sink, Source
from .._realtime.recent import LISTENING_SECONDS, RepliesFeed, listening
from ..errors import AgentLaunchpadError
from ..rows import AgentLog, ConnectionState, ReplyProgress
from .background import Background

if TYPE_CHECKING:
    from .transport import Transport

logger = logging.getLogger("agent_launchpad")

Update = TypeVar("Update")
Handler: TypeAlias = Callable[[Update], object]
OnConnection: TypeAlias = Callable[[ConnectionState], object]
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
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.sink = Sink(
            update=self.queue.put,
            connection=lambda state: self.queue.put(Connection(state)),
            ended=lambda error: self.queue.put(End(error)),
        )


class Subscription:
    """A running subscription. Call it to unsubscribe; leaving it as a context manager does too."""

    def __init__(
        self, owner: Subscriptions, make: MakeFeed, handler: Handler[Any], on_connection: OnConnection | None
    ) -> None:
        callback_of("handler", handler)
        if on_connection is not None:
            callback_of("on_connection", on_connection)
        self._owner = owner
        self._handler = handler
        self._on_connection = on_connection
        self._updates = Updates()
        self.feed = make(owner.source, self._updates.sink)
        self._closed = threading.Event()

    @property
    def subject(self) -> str:
        """What it is about, such as `agent my-bot-1a2b3c`."""
        return self.feed.subject

    @property
    def closed(self) -> bool:
        """Whether nothing more comes."""
        return self._closed.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Returns when the subscription has ended: unsubscribed, the agent deleted, or an error for good.

        Args:
            timeout: seconds; None: as long as it takes.

        Returns:
            Whether it has ended.
        """
        return self._closed.wait(timeout)

    def unsubscribe(self) -> None:
        """Ends the subscription; the handler is not called again. May be called from the handler."""
        if self.closed:
            return
        self._closed.set()
        self._updates.sink.ended(None)
        self._owner.background.end(self.feed.stop())
        self._owner.forget(self)

    def __call__(self) -> None:
        """Unsubscribes."""
        self.unsubscribe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unsubscribe()

    def run(self) -> None:
        """Begins to call the handler."""
        threading.Thread(target=self._dispatch, name=f"agent_launchpad: {self.subject}", daemon=True).start()

    def _dispatch(self) -> None:
        while True:
            update = self._updates.queue.get()
            if self.closed or isinstance(update, End):
                break
            if isinstance(update, Connection):
                self._call(self._on_connection, update.state)
            else:
                self._call(self._handler, update)
        self._closed.set()
        self._owner.forget(self)
        self._call(self._on_connection, "closed")

    def _call(self, function: Callable[[Any], object] | None, value: object) -> None:
        if function is None:
            return
        try:
            function(value)
        except Exception:
            logger.exception("%s: the handler of an update failed", self.subject)


class Tail:
    """The lines that an agent writes from now on, while it is entered."""

    def __init__(self, owner: Subscriptions, agent_id: str, on_connection: OnConnection | None) -> None:
        if on_connection is not None:
            callback_of("on_connection", on_connection)
        self._owner = owner
        self._on_connection = on_connection
        self.updates = Updates()
        self._feed = AgentFeed(agent_id, include=("log",), after=None, source=owner.source, sink=self.updates.sink)

    def __enter__(self) -> Self:
        self._owner.background.run(self._feed.start())
        self._owner.tails.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owner.tails.discard(self)
        self._owner.background.end(self._feed.stop())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AgentLog:
        while True:
            update = self.updates.queue.get()
            if isinstance(update, End):
                self._told("closed")
                if update.error is not None:
                    raise update.error
                raise StopIteration
            if isinstance(update, Connection):
                self._told(update.state)
            elif update["type"] == "log":
                return cast(AgentLog, update["log"])

    def _told(self, state: ConnectionState) -> None:
        if self._on_connection is not None:
            self._on_connection(state)


class Replies:
    """The answers of an agent on their way, while it is entered: as far as Realtime can be reached."""

    def __init__(self, owner: Subscriptions, agent_id: str) -> None:
        self._owner = owner
        self._replies: queue.SimpleQueue[ReplyProgress] = queue.SimpleQueue()
        self._feed = RepliesFeed.of_agent(agent_id, source=owner.source, take=self._replies.put)

    def __enter__(self) -> Self:
        self._owner.background.run(listening(self._feed, LISTENING_SECONDS))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owner.background.end(self._feed.stop())

    def next(self, timeout: float) -> ReplyProgress | None:
        """What happens to an answer next; None where nothing does within `timeout` seconds."""
        try:
            return self._replies.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return None


class Subscriptions:
    """The subscriptions of a client."""

    def __init__(self, transport: Transport) -> None:
        self.background = Background(transport)
        self.source = Source(self.background.socket, self.background.request)
        self._open: set[Subscription] = set()
        # Whoever waits for the next line of a log.
        self.tails: set[Tail] = set()

    def add(
        self, make: MakeFeed, handler: Handler[Any], on_connection: OnConnection | None, *, daemon: bool
    ) -> Subscription:
        """Subscribes."""
        subscription = Subscription(self, make, handler, on_connection)
        self.background.run(subscription.feed.start())
        self._open.add(subscription)
        if not daemon:
            _lasting.add(subscription)
        subscription.run()
        return subscription

    def tail(self, agent_id: str, on_connection: OnConnection | None) -> Tail:
        """The lines of an agent from now on."""
        return Tail(self, agent_id, on_connection)

    def replies(self, agent_id: str) -> Replies:
        """The answers of an agent on their way."""
        return Replies(self, agent_id)

    def forget(self, subscription: Subscription) -> None:
        """Takes a subscription off the lists."""
        self._open.discard(subscription)
        _lasting.discard(subscription)

    def close(self) -> None:
        """Ends every subscription and the thread of the connection."""
        for subscription in list(self._open):
            subscription.unsubscribe()
        for tail in list(self.tails):
            tail.updates.sink.ended(None)
        self.background.close()


# Subscriptions that keep the program going.
_lasting: set[Subscription] = set()


@atexit.register
def _linger() -> None:
    # A non-daemon thread would do the same, but also after an exception, and Ctrl-C would end it with a traceback.
    if hasattr(sys, "ps1") or sys.flags.interactive or hasattr(sys, "last_value"):
        return
    try:
        if running := list(_lasting):
            subjects = ", ".join(sorted({subscription.subject for subscription in running}))
            logger.warning("subscribed to %s: unsubscribe, or press Ctrl-C, to end the program", subjects)
        while running := list(_lasting):
            running[0].wait(1.0)
    except KeyboardInterrupt:
        pass
