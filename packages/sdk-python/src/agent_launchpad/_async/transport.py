"""Sends calls as the signed-in user, and repeats those that may be repeated."""

from __future__ import annotations

import copy
import logging
from typing import Any

import httpx
from typing_extensions import Self

from .._call import (
    UNSENT,
    Call,
    RateLimit,
    fixed_token,
    not_signed_in,
    pause_before_retry,
    rate_limit_of,
    result_of,
    unanswered,
)
from .._version import __version__
from ..errors import AgentLaunchpadError, AuthenticationError
from ._platform import SupabaseClient, session_token, sleep

logger = logging.getLogger("agent_launchpad")


class Noted:
    """What is known of the caller, whichever client called last."""

    rate_limit: RateLimit | None = None


class AsyncTransport:
    """The connection to the API and to `/rest/v1`."""

    def __init__(
        self,
        supabase: SupabaseClient,
        *,
        api_url: str,
        timeout: float | None,
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
        self._noted = Noted()
        self._own = http_client is None
        self._http = http_client or httpx.AsyncClient()

    async def aclose(self) -> None:
        """Closes the connections that were opened here."""
        if self._own:
            await self._http.aclose()

    def with_options(self, **options: Any) -> Self:
        """The same connection with other settings; it is closed by the one that was made first."""
        other = copy.copy(self)
        other._own = False
        for name, value in options.items():
            setattr(other, name, value)
        return other

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the API said about the caller's limit in its last answer."""
        return self._noted.rate_limit

    async def token(self) -> str:
        """The caller's token: that of the session, or one that the supabase client was given beforehand.

        Raises:
            AgentLaunchpadError: `INVALID_JWT_TOKEN`: nobody is signed in, or the session cannot be renewed.
        """
        try:
            token = await session_token(self.supabase)
        except httpx.TransportError as error:
            raise unanswered(error, httpx.URL(str(self.supabase.auth_url)), self.timeout) from error
        except Exception as error:
            message = f"There is no valid token ({error}): sign in again"
            raise AuthenticationError(message, code="INVALID_JWT_TOKEN") from error
        token = token or fixed_token(self.supabase.options.headers, self.supabase.supabase_key)
        if token is None:
            raise not_signed_in()
        return token

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
                error = unanswered(cause, self._url(call), self.timeout)
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
            self._noted.rate_limit = rate_limit_of(response.headers) or self.rate_limit
        return result_of(response)
