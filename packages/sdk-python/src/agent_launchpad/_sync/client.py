# Generated from _async/client.py by tools/generate.py: do not edit.

"""The client."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from .._call import RateLimit, Retry, api_address, given
from ._platform import SupabaseClient, check_client
from .account import HealthApi, SecurityApi, SystemApi, UsersApi
from .agents import AgentsApi
from .conversations import MessagesApi, SwarmsApi
from .plugins import PluginsApi
from .subscribing import AgentSubscribing
from .subscriptions import Subscriptions
from .transport import Transport
from .usage import BudgetsApi, UsageApi

if TYPE_CHECKING:
    from typing_extensions import Self

KEPT = -1.0


class AgentLaunchpadClient(AgentSubscribing):
    """A synchronous client of Agent Launchpad, acting as the user who is signed in at `supabase_client`.

    Use it as a context manager, or call `close` at the end.
    """

    def __init__(
        self,
        supabase_client: SupabaseClient,
        base_url: str | None = None,
        *,
        timeout: float | None = 30.0,
        total_timeout: float | None = None,
        max_retries: int = 3,
        max_retry_wait: float = 65.0,
        on_retry: Callable[[Retry], object] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        """Makes a client; nothing is sent yet.

        Args:
            supabase_client: its user is the caller, its key goes along.
            base_url: where `/api` is, such as `https://api.example.com`. Left out: the project's functions.
            timeout: seconds that one attempt of a call may take: renewing the session, sending, and reading the whole
                answer. None: no limit.
            total_timeout: seconds that a call may take with all its attempts and waits. None: no limit.
            max_retries: how often a call that may be repeated is repeated.
            max_retry_wait: the longest wait before a repeat; a server that asks for more is not waited for.
            on_retry: called before each wait for a repeat.
            http_client: another httpx client, for proxies or certificates; it is not closed here.
        """
        check_client(supabase_client)
        self.transport = Transport(
            supabase_client,
            api_url=api_address(base_url, str(supabase_client.supabase_url)),
            timeout=timeout,
            total_timeout=total_timeout,
            on_retry=on_retry,
            max_retries=max_retries,
            max_retry_wait=max_retry_wait,
            http_client=http_client,
        )
        self.subscriptions = Subscriptions(self.transport)
        self._make_parts()

    def _make_parts(self) -> None:
        self.agents = AgentsApi(self)
        self.security = SecurityApi(self)
        self.health = HealthApi(self)
        self.system = SystemApi(self)
        self.users = UsersApi(self)
        self.swarms = SwarmsApi(self)
        self.messages = MessagesApi(self)
        self.plugins = PluginsApi(self)
        self.usage = UsageApi(self)
        self.budgets = BudgetsApi(self)

    def with_options(
        self,
        *,
        timeout: float | None = KEPT,
        total_timeout: float | None = KEPT,
        max_retries: int | None = None,
        max_retry_wait: float | None = None,
    ) -> Self:
        """The same client with other settings for some calls: `client.with_options(timeout=120).agents.export(…)`.

        It shares the connections and the subscriptions of this one, which is the one to close.

        Args:
            timeout: seconds that one attempt may take; None: no limit.
            total_timeout: seconds that a call may take with its attempts and waits; None: no limit.
            max_retries: how often a call that may be repeated is repeated.
            max_retry_wait: the longest wait before a repeat.
        """
        options = given(max_retries=max_retries, max_retry_wait=max_retry_wait)
        if timeout != KEPT:
            options["timeout"] = timeout
        if total_timeout != KEPT:
            options["total_timeout"] = total_timeout
        other = copy.copy(self)
        other.transport = self.transport.with_options(**options)
        other._make_parts()
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every subscription and closes the connections; also of a client of `with_options`."""
        self.subscriptions.close()
        self.transport.close()

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the API said about the caller's limit in its last answer."""
        return self.transport.rate_limit
