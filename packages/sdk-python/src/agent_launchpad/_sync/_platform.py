"""What the synchronous client does differently from its twin in more than words."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable

from supabase import Client as SupabaseClient

__all__ = ["SupabaseClient", "call_back", "check_client", "now", "session_token", "sleep"]

sleep = time.sleep
now = time.monotonic

# The session may be renewed by the thread of a subscription and by the caller's: one at a time, for a refresh token
# is good once.
_renewal = threading.Lock()


def session_token(supabase: SupabaseClient) -> str | None:
    """The signed-in user's token, renewed where it has ended."""
    with _renewal:
        session = supabase.auth.get_session()
    return session.access_token if session else None


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
