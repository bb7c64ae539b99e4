"""A call as data, and what its answer means. Nothing here waits or sends: both clients share it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
from supabase import AuthRetryableError, AuthUnknownError

from .errors import AgentLaunchpadError, AuthenticationError, LaunchpadTimeoutError, error_of, invalid


class Late(Exception):
    """Work was not done in time."""


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
            target = target[:start] + segment(value) + target[end + 1 :]
        headers = {}
        if self.idempotency_key:
            # With a key the server answers a repeat as it answered the first: that is what makes it safe.
            headers["idempotency-key"] = key_of(idempotency_key)
        return Call(
            self.method,
            target,
            query=dict(query or {}),
            body=body,
            headers=headers,
            repeatable=self.method == "GET" or self.idempotency_key,
        )


@dataclass(frozen=True)
class Call:
    """One request, to be sent once or more."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    # Whether doing it twice is as good as once, so that a lost answer may be asked for again. None: where it reads.
    repeatable: bool | None = None
    # Below the project's /rest/v1 instead of the API's address.
    rest: bool = False

    @property
    def may_repeat(self) -> bool:
        """Whether it may be made again after it may have arrived."""
        return self.method == "GET" if self.repeatable is None else self.repeatable


@dataclass(frozen=True)
class Retry:
    """A failed attempt that is about to be repeated.

    Attributes:
        method: of the request.
        path: such as `/api/agents`.
        attempt: how many attempts were made.
        wait: seconds until the next one.
        error: what the attempt came to.
    """

    method: str
    path: str
    attempt: int
    wait: float
    error: AgentLaunchpadError


@dataclass(frozen=True)
class RateLimit:
    """What the server last said about the caller's limit."""

    limit: int
    remaining: int
    reset: datetime


def segment(agent_id: str) -> str:
    """An agent's id as one segment of a path. Raises `VALIDATION_ERROR` where it cannot be one."""
    if not isinstance(agent_id, str) or not agent_id.strip("."):
        raise invalid("agent_id", "Must be the id of an agent")
    return quote(agent_id, safe="")


def id_filter(field: str, value: object) -> str:
    """A filter of `/rest/v1` for an id. Empty it would name nothing, or everything: raises `VALIDATION_ERROR`."""
    if not isinstance(value, str) or not value:
        raise invalid(field, "Must be an id")
    return f"eq.{value}"


def key_of(idempotency_key: str | None) -> str:
    """The key of a request. Left out: one is made. Raises `VALIDATION_ERROR` for one that no header can carry."""
    if idempotency_key is None:
        return str(uuid4())
    if not isinstance(idempotency_key, str) or not re.fullmatch(r"[\x21-\x7e]{1,255}", idempotency_key):
        raise invalid("idempotency_key", "Must be 1 to 255 visible ASCII characters")
    return idempotency_key


def conversation_rows(conversation: Mapping[str, object]) -> dict[str, str]:
    """The query of a conversation's messages. Raises `VALIDATION_ERROR` for what cannot be one."""
    named = list(conversation.items()) if isinstance(conversation, Mapping) else []
    if len(named) != 1 or named[0][0] not in ("agent_id", "swarm_id", "conversation_id"):
        raise invalid("conversation", "Must be one of agent_id, swarm_id and conversation_id")
    [(field, value)] = named
    if field != "agent_id":
        return {field: id_filter(field, value)}
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9-]+", value):
        raise invalid("agent_id", "Must be the id of an agent")
    # What an agent says in swarms is theirs.
    return {"or": f"(to_agent_id.eq.{value},and(agent_id.eq.{value},swarm_id.is.null))"}


def callback_of(field: str, value: object) -> None:
    """Raises `VALIDATION_ERROR` for what cannot be called."""
    if not callable(value):
        raise invalid(field, "Must be a function")


def fixed_token(headers: Mapping[str, str], key: str) -> str | None:
    """The token that a supabase client was given beforehand, as server code does; its key is nobody's token."""
    given = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    token = str(given).removeprefix("Bearer ").strip()
    return token if token and token != key else None


def not_signed_in() -> AgentLaunchpadError:
    """The error of a call that nobody signed in for."""
    message = "No user is signed in: sign in first, such as with supabase.auth.sign_in_with_password()"
    return AuthenticationError(message, code="INVALID_JWT_TOKEN")


def agent_not_found(agent_id: str) -> AgentLaunchpadError:
    """The error of an agent that is not among the caller's."""
    message = f"Agent with ID '{agent_id}' not found or access denied"
    return error_of(message, code="AGENT_NOT_FOUND", status=404)


def not_found(what: str) -> AgentLaunchpadError:
    """The error of a row that is not among the caller's."""
    return error_of(f"{what} not found or access denied", code="NOT_FOUND", status=404)


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
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL()
    if not url.scheme or not url.host:
        raise invalid("base_url", "Must be a URL such as https://api.example.com")
    if url.scheme not in ("http", "https"):
        raise invalid("base_url", "Must begin with https:// or http://")
    return address


def rate_limit_of(headers: Mapping[str, str]) -> RateLimit | None:
    """The limit that an answer tells of, if any."""
    try:
        limit, remaining, reset = (int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))
    except (KeyError, ValueError):
        return None
    return RateLimit(limit, remaining, datetime.fromtimestamp(reset, timezone.utc)) if limit else None


def result_of(response: httpx.Response, content: bytes) -> Any:
    """The value of an answer's body. Raises the error that it tells of."""
    body = _json_of(content)
    if response.is_success and (body is not None or not content):
        return body
    if response.is_success or response.is_redirect:
        raise not_the_api(response)
    raise failure_of(response, body)


def failure_of(response: httpx.Response, body: Any) -> AgentLaunchpadError:
    """The error of an answer: the API's envelope, PostgREST's form, or whatever else stands in between."""
    status = response.status_code
    if status == 404 and not isinstance(body, dict):
        return not_the_api(response)
    body = body if isinstance(body, dict) else {}
    envelope = body.get("error")
    told = envelope if isinstance(envelope, dict) else body
    code, details = told.get("code"), _details_of(told.get("details"))
    # The envelope's code is passed on, also one newer than this SDK. PostgREST's and Postgres's are not ours.
    if not isinstance(code, str) or not (code if told is envelope else _CODE.fullmatch(code)):
        details = details if code is None else {"upstream_code": code, **(details or {})}
        code = _code_of(status)
    return error_of(
        _text_of(told.get("message")) or _text_of(told.get("msg")) or f"The server answered {status}",
        code=code,
        status=status,
        request_id=_text_of(told.get("requestId")) or response.headers.get("x-request-id"),
        details=details,
        retry_after=_retry_after(response.headers) if status in (429, 503) else None,
        supabase_details=_details_of(told.get("supabase_details")),
    )


def not_the_api(response: httpx.Response) -> AgentLaunchpadError:
    """The error of an answer that is not the API's: a wrong address."""
    status = response.status_code
    message = f"{_origin(response.request.url)} answered {status}, not as the Agent Launchpad API does: check base_url"
    return error_of(message, code="INVALID_RESPONSE", status=status)


def too_late(url: httpx.URL, seconds: float | None, *, sent: bool = True) -> AgentLaunchpadError:
    """The error of an attempt that was not done in time."""
    who, verb = (_origin(url), "answer") if sent else ("Supabase Auth", "renew the session")
    message = f"{who} did not {verb} within {round(max(0.0, seconds or 0.0), 3):g} s"
    return LaunchpadTimeoutError(message, code="TIMEOUT")


def no_token(error: Exception) -> AgentLaunchpadError:
    """The error of a session that was not renewed: because Auth is down, or because the session has ended."""
    status = getattr(error, "status", None)
    if status == 429:
        return error_of("Supabase Auth limits its requests: try again later", code="RATE_LIMIT_EXCEEDED", status=429)
    down = isinstance(error, (httpx.TransportError, AuthRetryableError, AuthUnknownError))
    if down or (isinstance(status, int) and status >= 500):
        message = f"Cannot reach Supabase Auth to renew the session: check the network ({error})"
        return error_of(message, code="SUPABASE_CONNECTION_ERROR")
    message = f"There is no valid token ({error}): sign in again"
    return AuthenticationError(message, code="INVALID_JWT_TOKEN")


def unanswered(error: httpx.TransportError, url: httpx.URL, timeout: float | None) -> AgentLaunchpadError:
    """The error of a request that got no answer."""
    if isinstance(error, httpx.TimeoutException):
        return too_late(url, timeout)
    reason = str(error) or type(error).__name__
    message = f"Cannot reach {_origin(url)}: check the address and the network ({reason})"
    return error_of(message, code="SUPABASE_CONNECTION_ERROR")


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
    if not _may_pass(error, repeatable=repeatable, unsent=unsent):
        return None
    if error.retry_after is not None:
        # Spread, so that everyone who was refused does not return in the same instant.
        wait: float = error.retry_after + chance() * 0.25
        return wait if wait <= max_wait else None
    backoff: float = min(8.0, 0.25 * 2 ** (attempt - 1))
    return min(max_wait, backoff * (0.5 + chance() / 2))


def _may_pass(error: AgentLaunchpadError, *, repeatable: bool, unsent: bool) -> bool:
    if error.code == "RATE_LIMIT_EXCEEDED":
        return True  # Nothing was done. A quota (429 too) stays reached.
    if not (repeatable or unsent):
        return False
    if error.code in ("SUPABASE_CONNECTION_ERROR", "TIMEOUT") or error.status == 408:
        return True
    return error.status >= 500 and error.status != 501 and error.code != "DEPLOYMENT_FAILED"


def older_than(row: Mapping[str, Any]) -> str:
    """PostgREST's `and` for the rows after one in the order `created_at.desc,id`; its first part is for the index."""
    moment = f'"{row["created_at"]}"'
    return f"(created_at.lte.{moment},or(created_at.lt.{moment},id.gt.{row['id']}))"


def following(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    """PostgREST's `and` for the rows after one, in the ascending order of these columns."""
    first, *rest = columns
    value = '"' + str(row[first]).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if not rest:
        return f"({first}.gt.{value})"
    return f"({first}.gte.{value},or({first}.gt.{value},and{following(rest, row)}))"


def _json_of(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


# Others have digits in their first word, such as PGRST301 and P0001.
_CODE = re.compile(r"[A-Z]+(_[A-Z0-9]+)*")

# Where nobody gave one of our codes.
_CODES: Mapping[int, str] = {
    400: "VALIDATION_ERROR",
    401: "INVALID_JWT_TOKEN",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_FOUND",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    429: "RATE_LIMIT_EXCEEDED",
    502: "SUPABASE_CONNECTION_ERROR",
    503: "SUPABASE_CONNECTION_ERROR",
    504: "SUPABASE_CONNECTION_ERROR",
}


def _code_of(status: int) -> str:
    return _CODES.get(status, "INTERNAL_ERROR")


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _text_of(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _details_of(value: Any) -> dict[str, Any] | None:
    """The API tells details as an object, PostgREST as its text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as the headers of an answer with status 429 or 503 tell."""
    stated = headers.get("retry-after", "").strip()
    now = datetime.now(timezone.utc)
    try:
        return max(0.0, float(stated))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(stated)
    except (TypeError, ValueError):
        limit = rate_limit_of(headers)
        if limit is None or limit.remaining > 0:
            return None
        at = limit.reset
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - now).total_seconds())
