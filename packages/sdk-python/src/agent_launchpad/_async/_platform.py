"""What the asynchronous client does differently from its twin in more than words."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable

from supabase import AsyncClient as SupabaseClient

__all__ = ["SupabaseClient", "call_back", "check_client", "now", "session_token", "sleep"]

sleep = asyncio.sleep
now = time.monotonic


async def session_token(supabase: SupabaseClient) -> str | None:
    """The signed-in user's token, renewed where it has ended."""
    session = await supabase.auth.get_session()
    return session.access_token if session else None


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
