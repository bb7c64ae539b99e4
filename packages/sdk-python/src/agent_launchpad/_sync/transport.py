# Generated from _async/transport.py by tools/generate.py: do not edit.

"""Sends calls as the signed-in user, and repeats those that may be repeated."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
from typing_extensions import Self

from .._call import (
    UNSENT,
    Call,
    Late,
    RateLimit,
    Retry,
    fixed_token,
    given,
    no_token,
    not_signed_in,
    older_than,
    pause_before_retry,
    rate_limit_of,
    result_of,
    too_late,
    unanswered,
)
from .._version import __version__
from ..errors import AgentLaunchpadError
from ._platform import SupabaseClient, now, session_token, sleep, within

logger = logging.getLogger("agent_launchpad")


# The order in which tables are read by `rows`.
NEWEST_FIRST = "created_at.desc,id"


@dataclass
class Attempt:
    """One attempt of a call: how long it may take, and whether anything of it may have left."""

    seconds: float | None
    sent: bool = False


class Noted:
    """What is known of the caller, whichever client called last."""

    rate_limit: RateLimit | None = None


class Transport:
    """The connection to the API and to `/rest/v1`."""

    def __init__(
        self,
        supabase: SupabaseClient,
        *,
        api_url: str,
        timeout: float | None,
        total_timeout: float | None,
        on_retry: Callable[[Retry], object] | None,
        max_retries: int,
        max_retry_wait: float,
        http_client: httpx.Client | None,
    ) -> None:
        self.supabase = supabase
        self.api_url = api_url
        self.rest_url = str(supabase.rest_url).rstrip("/")
        self.timeout = timeout
        self.total_timeout = total_timeout
        self.on_retry = on_retry
        self.max_retries = max_retries
        self.max_retry_wait = max_retry_wait
        self._noted = Noted()
        self._own = http_client is None
        self._http = http_client or httpx.Client()

    def close(self) -> None:
        """Closes the connections that were opened here."""
        if self._own:
            self._http.close()

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

    def token(self) -> str:
        """The caller's token: that of the session, or one that the supabase client was given beforehand.

        Raises:
            AgentLaunchpadError: `INVALID_JWT_TOKEN`: nobody is signed in, or the session has ended;
                `SUPABASE_CONNECTION_ERROR`: Auth cannot be reached to renew it.
        """
        try:
            token = session_token(self.supabase)
        except Exception as error:
            raise no_token(error) from error
        token = token or fixed_token(self.supabase.options.headers, self.supabase.supabase_key)
        if token is None:
            raise not_signed_in()
        return token

    def request(self, call: Call) -> Any:
        """Makes a call and gives the answer's body.

        Raises:
            AgentLaunchpadError: the answer is an error, or there is none after the last attempt or in time.
        """
        end = None if self.total_timeout is None else now() + self.total_timeout
        count = 1
        while True:
            attempt = Attempt(self.timeout if end is None else min(self.timeout or math.inf, end - now()))
            try:
                return within(attempt.seconds, partial(self._once, call, attempt))
            except Late:
                error = too_late(self._url(call), attempt.seconds, sent=attempt.sent)
            except httpx.TransportError as cause:
                attempt.sent = attempt.sent and not isinstance(cause, UNSENT)
                error = unanswered(cause, self._url(call), attempt.seconds)
                error.__cause__ = cause
            except AgentLaunchpadError as failure:
                error = failure
            pause = pause_before_retry(
                error,
                attempt=count,
                max_retries=self.max_retries,
                max_wait=self.max_retry_wait,
                repeatable=call.may_repeat,
                unsent=not attempt.sent,
            )
            if pause is None or (end is not None and now() + pause >= end):
                raise error
            logger.info("%s %s: %s; again in %.1f s", call.method, call.path, error.code, pause)
            if self.on_retry is not None:
                self.on_retry(Retry(call.method, call.path, count, pause, error))
            sleep(pause)
            count += 1

    def pages(self, call: Call, items: str) -> Iterator[Any]:
        """Every item of a list of the API, page by page: each page begins after the last item of the one before."""
        after: str | None = None
        while True:
            page = self.request(replace(call, query={**call.query, **given(after=after)}))
            for item in page[items]:
                yield item
            after = page["nextCursor"]
            if after is None:
                return

    def rows(self, call: Call) -> Iterator[Any]:
        """Every row of a table, newest first, page by page. The server may give smaller pages than asked for."""
        query = {**call.query, "order": NEWEST_FIRST}
        while True:
            page = self.request(replace(call, query=query))
            if not page:
                return
            for row in page:
                yield row
            query["and"] = older_than(page[-1])

    def _url(self, call: Call) -> httpx.URL:
        return httpx.URL(f"{self.rest_url if call.rest else self.api_url}{call.path}")

    def _once(self, call: Call, attempt: Attempt) -> Any:
        until = None if attempt.seconds is None else now() + attempt.seconds
        token = self.token()
        headers = {
            **call.headers,
            "authorization": f"Bearer {token}",
            "x-client-info": f"agent-launchpad-python/{__version__}",
            "apikey": self.supabase.supabase_key,
        }
        attempt.sent = True
        url, params = self._url(call), dict(call.query) or None
        with self._http.stream(
            call.method, url, params=params, json=call.body, headers=headers, timeout=attempt.seconds
        ) as response:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if until is not None and now() > until:
                    raise Late
        if not call.rest:  # there it is another limit
            self._noted.rate_limit = rate_limit_of(response.headers) or self.rate_limit
        return result_of(response, bytes(content))
