"""Sends calls as the signed-in user, and repeats those that may be repeated."""

from __future__ import annotations

import logging
from typing import Any

import httpx

from .._call import (
    UNSENT,
    Call,
    RateLimit,
    pause_before_retry,
    rate_limit_of,
    result_of,
    unanswered,
)
from .._version import __version__
from ..errors import AgentLaunchpadError, error_of
from ._platform import SupabaseClient, session_token, sleep

logger = logging.getLogger("agent_launchpad")


class AsyncTransport:
    """The connection to the API and to `/rest/v1`."""

    def __init__(
        self,
        supabase: SupabaseClient,
        *,
        api_url: str,
        timeout: float,
        max_retries: int,
        max_retry_wait: float,
        http_client: httpx.AsyncClient | None,
    ) -> None:
        self.supabase = supabase
        self.api_url = api_url
        self.rest_url = str(supabase.rest_url).rstrip("/")
        self.timeout = timeout
        self.max_retries = max_retries
        self.max_retry_wait = max_retry_wait
        self.rate_limit: RateLimit | None = None
        self._own = http_client is None
        self._http = http_client or httpx.AsyncClient()

    async def aclose(self) -> None:
        """Closes the connections that were opened here."""
        if self._own:
            await self._http.aclose()

    async def token(self) -> str:
        """The caller's token; nobody signed in: what the supabase client sends, the project's key at last.

        Raises:
            AgentLaunchpadError: the session has ended and cannot be renewed.
        """
        try:
            token = await session_token(self.supabase)
        except httpx.TransportError as error:
            raise unanswered(error, str(self.supabase.auth_url)) from error
        except Exception as error:
            message = f"The session cannot be renewed ({error}): sign in again"
            raise error_of(message, code="INVALID_JWT_TOKEN", status=401) from error
        if token is not None:
            return token
        sent = str(self.supabase.options.headers.get("Authorization", ""))
        return sent.removeprefix("Bearer ") or self.supabase.supabase_key

    async def request(self, call: Call) -> Any:
        """Makes a call and gives the answer's body.

        Raises:
            AgentLaunchpadError: the answer is an error, or there is none after the last attempt.
        """
        attempt = 1
        while True:
            unsent = False
            try:
                return await self._once(call)
            except httpx.TransportError as cause:
                unsent = isinstance(cause, UNSENT)
                error = unanswered(cause, str(self._url(call).copy_with(path="/")).rstrip("/"))
                error.__cause__ = cause
            except AgentLaunchpadError as failure:
                error = failure
            pause = pause_before_retry(
                error,
                attempt=attempt,
                max_retries=self.max_retries,
                max_wait=self.max_retry_wait,
                repeatable=call.repeatable,
                unsent=unsent,
            )
            if pause is None:
                raise error
            logger.info("%s %s: %s; again in %.1f s", call.method, call.path, error.code, pause)
            await sleep(pause)
            attempt += 1

    def _url(self, call: Call) -> httpx.URL:
        return httpx.URL(f"{self.rest_url if call.rest else self.api_url}{call.path}")

    async def _once(self, call: Call) -> Any:
        headers = {
            **call.headers,
            "authorization": f"Bearer {await self.token()}",
            "x-client-info": f"agent-launchpad-python/{__version__}",
            "apikey": self.supabase.supabase_key,
        }
        response = await self._http.request(
            call.method,
            self._url(call),
            params=dict(call.query) or None,
            json=call.body,
            headers=headers,
            timeout=self.timeout,
        )
        if not call.rest:  # there it is another limit
            self.rate_limit = rate_limit_of(response.headers) or self.rate_limit
        return result_of(response)
