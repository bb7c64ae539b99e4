"""What the synchronous client does differently from its twin in more than words."""

from __future__ import annotations

import contextvars
import inspect
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from supabase import Client as SupabaseClient

from .._call import Late

__all__ = ["SupabaseClient", "call_back", "check_client", "now", "session_token", "sleep", "within"]

sleep = time.sleep
now = time.monotonic

Value = TypeVar("Value")

# The session may be renewed by the thread of a subscription and by the caller's: one at a time, for a refresh token
# is good once.
_renewals: WeakKeyDictionary[SupabaseClient, threading.Lock] = WeakKeyDictionary()
_making = threading.Lock()


def session_token(supabase: SupabaseClient) -> str | None:
    """The signed-in user's token, renewed where it has ended."""
    with _making:
        renewal = _renewals.setdefault(supabase, threading.Lock())
    with renewal:
        session = supabase.auth.get_session()
    return session.access_token if session else None


def within(seconds: float | None, work: Callable[[], Value]) -> Value:
    """Does work that must be done in so many seconds. Raises `Late`.

    Blocking calls have a limit for each read, not for all of them, so the work is done in a thread. One that is late
    ends by its own limits, and its outcome is dropped.
    """
    if seconds is None:
        return work()
    outcome: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.put((True, context.run(work)))
        except BaseException as error:
            outcome.put((False, error))

    threading.Thread(target=run, name="launchpad-call", daemon=True).start()
    try:
        done, value = outcome.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise Late from None
    if not done:
        raise value
    return cast(Value, value)


def call_back(function: Callable[..., object], *arguments: object) -> None:
    """Calls a function of the caller's."""
    function(*arguments)


def check_client(supabase: object) -> None:
    """Raises TypeError for a client of the other kind: it would fail later, and less clearly."""
    session: Callable[..., object] | None = getattr(getattr(supabase, "auth", None), "get_session", None)
    if session is None or inspect.iscoroutinefunction(session):
        raise TypeError(
            "supabase_client must be what `create_client(…)` gives; for a client of `acreate_client` "
            "use AsyncAgentLaunchpadClient"
        )
