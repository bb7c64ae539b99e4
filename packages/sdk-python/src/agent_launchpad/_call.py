"""A call as data, and what its answer means. Nothing here waits or sends: both clients share it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from .errors import AgentLaunchpadError, error_of


@dataclass(frozen=True)
class Operation:
    """How an operation of the API is called."""

    method: str
    path: str
    idempotency_key: bool = False

    def call(
        self,
        *path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        idempotency_key: str | None = None,
    ) -> Call:
        """The call of this operation; `path` fills the places in braces in order."""
        target = self.path
        for value in path:
            start, end = target.index("{"), target.index("}")
            target = target[:start] + segment(value, target[start + 1 : end]) + target[end + 1 :]
        headers = {}
        if self.idempotency_key:
            # With a key the server answers a repeat as it answered the first: that is what makes it safe.
            headers["idempotency-key"] = idempotency_key or str(uuid4())
        return Call(
            self.method,
            target,
            query=dict(query or {}),
            body=body,
            headers=headers,
            repeatable=self.method != "POST" or self.idempotency_key,
        )


@dataclass(frozen=True)
class Call:
    """One request, to be sent once or more."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    # Whether doing it twice is as good as once, so that a lost answer may be asked for again.
    repeatable: bool = True
    # Below the project's /rest/v1 instead of the API's address.
    rest: bool = False


@dataclass(frozen=True)
class RateLimit:
    """What the server last said about the caller's limit."""

    limit: int
    remaining: int
    reset: datetime


def segment(value: str, name: str) -> str:
    """A value as one segment of a path. Raises `VALIDATION_ERROR` where it cannot be one."""
    if not isinstance(value, str) or not value.strip("."):
        problem = "Must be text that is not empty"
        raise error_of(f"{name}: {problem}", code="VALIDATION_ERROR", status=400, details={name: problem})
    return quote(value, safe="")


def renamed(arguments: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments as fields of a request. Raises TypeError for one that there is not."""
    unknown = [name for name in arguments if name not in names]
    if unknown:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}; there are {', '.join(names)}")
    return {names[name]: value for name, value in arguments.items()}


def given(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in arguments.items() if value is not None}


def secrets_query(**filters: str) -> dict[str, str]:
    """The query of a table of secrets."""
    return {**filters, "select": "name,version,created_at,updated_at", "order": "name"}


def api_address(base_url: str | None, supabase_url: str) -> str:
    """Where `/api` is. Left out: among the project's functions."""
    address = (base_url or f"{supabase_url.rstrip('/')}/functions/v1").rstrip("/").removesuffix("/api")
    if not address.startswith(("http://", "https://")):
        problem = "Must be an http or https URL such as https://api.example.com"
        raise error_of(f"base_url: {problem}", code="VALIDATION_ERROR", status=400, details={"base_url": problem})
    return address


def rate_limit_of(headers: Mapping[str, str]) -> RateLimit | None:
    """The limit that an answer tells of, if any."""
    try:
        limit, remaining, reset = (int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))
    except (KeyError, ValueError):
        return None
    return RateLimit(limit, remaining, datetime.fromtimestamp(reset, timezone.utc)) if limit else None


def result_of(response: httpx.Response) -> Any:
    """The answer's body. Raises the error that it tells of."""
    body = _json_of(response)
    if response.is_success and (body is not None or not response.content):
        return body
    if response.is_success or response.is_redirect:
        raise error_of(
            f"{response.request.url.copy_with(query=None)} does not answer as the API does: check base_url",
            code="INVALID_RESPONSE",
            status=response.status_code,
        )
    raise failure_of(response, body)


def failure_of(response: httpx.Response, body: Any) -> AgentLaunchpadError:
    """The error of an answer: the API's envelope, PostgREST's form, or whatever else stands in between."""
    status = response.status_code
    inner = body.get("error") if isinstance(body, dict) else None
    told = inner if isinstance(inner, dict) else body if isinstance(body, dict) else {}
    message = told.get("message") if isinstance(told.get("message"), str) else None
    code = told.get("code")
    known = _known_codes()
    if code not in known:
        if message is None:
            code = "INVALID_RESPONSE" if status in (404, 405) else _code_of(status, "")
            message = f"HTTP {status} from {response.request.url.host}, not in the API's form"
        else:
            code = _code_of(status, str(code))
    return error_of(
        message or f"HTTP {status}",
        code=str(code),
        status=status,
        request_id=told.get("requestId") or response.headers.get("x-request-id"),
        details=_details_of(told.get("details")),
        retry_after=_seconds(response.headers.get("retry-after")),
    )


def unanswered(error: httpx.TransportError, address: str) -> AgentLaunchpadError:
    """The error of a request that got no answer."""
    if isinstance(error, httpx.TimeoutException):
        from .errors import LaunchpadTimeoutError

        return LaunchpadTimeoutError(f"{address} did not answer in time", code="TIMEOUT")
    reason = str(error) or type(error).__name__
    return error_of(f"{address} cannot be reached: {reason}", code="SUPABASE_CONNECTION_ERROR")


# Nothing of the request had left when these came.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def pause_before_retry(
    error: AgentLaunchpadError,
    *,
    attempt: int,
    max_retries: int,
    max_wait: float,
    repeatable: bool,
    unsent: bool = False,
    chance: Callable[[], float] = random.random,
) -> float | None:
    """Seconds to wait before the call is repeated, or None where it must not or need not be.

    Args:
        error: what the last attempt came to.
        attempt: how many attempts there were.
        max_retries: how many repeats are allowed.
        max_wait: the longest wait; a server that asks for more is not waited for.
        repeatable: whether doing it twice is as good as once.
        unsent: whether the server certainly saw nothing of it.
        chance: a number from 0 to 1, so that clients do not return all at once.
    """
    if attempt > max_retries:
        return None
    refused = error.code == "RATE_LIMIT_EXCEEDED"  # then nothing was done
    lost = error.status == 0 or error.status in (502, 503, 504)
    if not (refused or unsent or (lost and repeatable)):
        return None
    backoff = min(8.0, 0.25 * 2 ** (attempt - 1)) * (0.5 + chance() / 2)
    wait = max(backoff, error.retry_after or 0.0)
    return wait if wait <= max_wait else None


def _json_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _known_codes() -> Mapping[str, int]:
    from ._operations import ERROR_STATUS

    return ERROR_STATUS


def _code_of(status: int, code: str) -> str:
    """The API's code for an answer in PostgREST's form, or a proxy's."""
    if status == 401:
        return "INVALID_JWT_TOKEN"
    if status == 403:
        return "RLS_ACCESS_DENIED" if code == "42501" else "INSUFFICIENT_PERMISSIONS"
    if status == 413:
        return "PAYLOAD_TOO_LARGE"
    if status == 429:
        return "RATE_LIMIT_EXCEEDED"
    if status in (404, 406):
        return "NOT_FOUND"
    if status == 409:
        return "CONFLICT"
    return "VALIDATION_ERROR" if status < 500 else "SUPABASE_CONNECTION_ERROR"


def _details_of(value: Any) -> dict[str, Any] | None:
    """The API tells details as an object, PostgREST as its text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None
