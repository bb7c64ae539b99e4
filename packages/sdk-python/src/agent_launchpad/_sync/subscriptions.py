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
from collections.abc import Callable, Collection, Generator
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from typing_extensions import Self

from .._realtime.feed import KINDS, Feed
from ..errors import AgentLaunchpadError
from ..rows import AgentLog, AgentUpdate, UpdateKind
from .background import Background

if TYPE_CHECKING:
    from .client import AgentLaunchpadClient
    from .transport import Transport

logger = logging.getLogger("agent_launchpad")

Handler: TypeAlias = Callable[[AgentUpdate], object]


class End:
    """What comes after the last update."""

    def __init__(self, error: AgentLaunchpadError | None) -> None:
        self.error = error


class Subscription:
    """A running subscription. Call it to unsubscribe; leaving it as a context manager does too."""

    def __init__(self, owner: Subscriptions, agent_id: str, handler: Handler) -> None:
        self.agent_id = agent_id
        self._owner = owner
        self._handler = handler
        self.updates: queue.SimpleQueue[AgentUpdate | End] = queue.SimpleQueue()
        self.feed: Feed | None = None
        self._closed = threading.Event()

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
        self.updates.put(End(None))
        if self.feed is not None:
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
        name = f"agent_launchpad:{self.agent_id}"
        threading.Thread(target=self._dispatch, name=name, daemon=True).start()

    def _dispatch(self) -> None:
        while True:
            update = self.updates.get()
            if self.closed:
                return
            if isinstance(update, End):
                break
            try:
                self._handler(update)
            except Exception:
                logger.exception("agent %s: the handler of an update failed", self.agent_id)
        self._closed.set()
        self._owner.forget(self)


class Subscriptions:
    """The subscriptions of a client."""

    def __init__(self, transport: Transport) -> None:
        self.background = Background(transport)
        self._open: set[Subscription] = set()
        # Whoever waits for the next line of a log.
        self.tails: set[queue.SimpleQueue[AgentUpdate | End]] = set()

    def add(
        self,
        agent_id: str,
        handler: Handler,
        *,
        include: Collection[str],
        after: int | None,
        daemon: bool,
    ) -> Subscription:
        """Subscribes."""
        subscription = Subscription(self, agent_id, handler)
        subscription.feed = self.feed(subscription.updates, agent_id, include=include, after=after)
        self.background.run(subscription.feed.start())
        self._open.add(subscription)
        if not daemon:
            _lasting.add(subscription)
        subscription.run()
        return subscription

    def feed(
        self,
        updates: queue.SimpleQueue[AgentUpdate | End],
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
            socket=self.background.socket,
            request=self.background.request,
            deliver=updates.put,
            ended=lambda error: updates.put(End(error)),
        )

    def forget(self, subscription: Subscription) -> None:
        """Takes a subscription off the lists."""
        self._open.discard(subscription)
        _lasting.discard(subscription)

    def close(self) -> None:
        """Ends every subscription and the thread of the connection."""
        for subscription in list(self._open):
            subscription.unsubscribe()
        for tail in list(self.tails):
            tail.put(End(None))
        self.background.close()


class Subscribing:
    """The part of the client that subscribes."""

    subscriptions: Subscriptions

    def subscribe_to_agent(
        self,
        agent_id: str,
        handler: Handler,
        *,
        include: Collection[UpdateKind] = KINDS,
        after: int | None = None,
        daemon: bool = False,
    ) -> Subscription:
        """Calls `handler`, in a thread, with everything that happens to an agent, in order, one at a time.

        Returns when nothing that happens from now on can be missed. After a lost connection the subscription takes
        up where it was: each event comes once (by its `seq`), and so do log lines and samples.

        A program whose main part has come to its end goes on while it is subscribed, until it unsubscribes, the
        agent is deleted, or Ctrl-C; not after an exception, and not in an interactive session.

        Args:
            agent_id: the agent.
            handler: a function of an `AgentUpdate`: its `type` is `status` (the present one first),
                `event`, `log` or `metrics`, and the row stands under that name; or `error`, which with `final` is
                the last.
            include: which types are wanted.
            after: begin after the event of this `seq` (0: the whole history). Left out: from now on.
            daemon: whether the program may end all the same.

        Returns:
            The subscription: call it to unsubscribe.

        Raises:
            AgentLaunchpadError: `AGENT_NOT_FOUND`, `INVALID_JWT_TOKEN`, `REAL_TIME_SUBSCRIPTION_FAILED` …
        """
        return self.subscriptions.add(agent_id, handler, include=include, after=after, daemon=daemon)


def log_lines(client: AgentLaunchpadClient, agent_id: str, lines: int) -> Generator[AgentLog, None, None]:
    """The newest lines and then each new one. Raises the error that ends it."""
    updates: queue.SimpleQueue[AgentUpdate | End] = queue.SimpleQueue()
    subscriptions = client.subscriptions
    feed = subscriptions.feed(updates, agent_id, include=("log",), lines=lines)
    subscriptions.background.run(feed.start())
    subscriptions.tails.add(updates)
    try:
        while True:
            update = updates.get()
            if isinstance(update, End):
                if update.error is not None:
                    raise update.error
                return
            if update["type"] == "log":
                yield update["log"]
    finally:
        subscriptions.tails.discard(updates)
        subscriptions.background.end(feed.stop())


# Subscriptions that keep the program going.
_lasting: set[Subscription] = set()


@atexit.register
def _linger() -> None:
    # A non-daemon thread would do the same, but also after an exception, and Ctrl-C would end it with a traceback.
    if hasattr(sys, "ps1") or sys.flags.interactive or hasattr(sys, "last_value"):
        return
    if running := list(_lasting):
        agents = ", ".join(sorted({subscription.agent_id for subscription in running}))
        logger.warning("subscribed to %s: unsubscribe, or press Ctrl-C, to end the program", agents)
    try:
        while running := list(_lasting):
            running[0].wait(1.0)
    except KeyboardInterrupt:
        pass
