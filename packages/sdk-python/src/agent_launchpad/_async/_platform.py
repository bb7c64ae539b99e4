"""What the asynchronous client does differently from its twin in more than words."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from supabase import AsyncClient as SupabaseClient

from .._call import Late
from ..errors import AgentLaunchpadError

__all__ = ["SupabaseClient", "call_back", "check_client", "now", "session_token", "sleep", "within"]

sleep = asyncio.sleep
now = time.monotonic

Value = TypeVar("Value")
Session: TypeAlias = "asyncio.Task[str | None]"

_renewals: WeakKeyDictionary[SupabaseClient, Session] = WeakKeyDictionary()


async def session_token(supabase: SupabaseClient) -> str | None:
    """The signed-in user's token, renewed where it has ended.

    A renewal goes on when who waits for it gives up, and all wait for the same one: a refresh token is good once.
    """
    task = _renewals.get(supabase)
    if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
        task = _renewals[supabase] = asyncio.ensure_future(_session_token(supabase))
        task.add_done_callback(_retrieved)
    return await asyncio.shield(task)


async def _session_token(supabase: SupabaseClient) -> str | None:
    session = await supabase.auth.get_session()
    return session.access_token if session else None


def _retrieved(task: Session) -> None:
    # Nobody may be left who waits for its error.
    if not task.cancelled():
        task.exception()


async def within(seconds: float | None, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
    """Does work that must be done in so many seconds. Raises `Late`."""
    try:
        return await asyncio.wait_for(work(), seconds)
    except (asyncio.TimeoutError, TimeoutError) as error:
        if isinstance(error, AgentLaunchpadError):
            raise
        raise Late from None


async def call_back(function: Callable[..., object], *arguments: object) -> None:
    """Calls a function of the caller's; a coroutine function is awaited."""
    result = function(*arguments)
    if inspect.isawaitable(result):
        await result


def check_client(supabase: object) -> None:
    """Raises TypeError for a client of the other kind: it would fail later, and less clearly."""
    session: Callable[..., object] | None = getattr(getattr(supabase, "auth", None), "get_session", None)
    if not inspect.iscoroutinefunction(session):
        raise TypeError(
            "supabase_client must be what `await acreate_client(…)` gives; for a client of `create_client` "
            "use AgentLaunchpadClient"
        )
