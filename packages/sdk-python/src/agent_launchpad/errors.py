"""What a failed call raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AgentLaunchpadError(Exception):
    """A failed call. `code` says what to do about it, `message` is one sentence for people.

    Attributes:
        code: one of the API's codes, or `TIMEOUT`, `INVALID_RESPONSE` or `ANSWER_FAILED`, which no server sent.
        status: the HTTP status; 0 where there was no answer.
        message: what went wrong.
        request_id: the id of the request in the server's logs.
        details: field → problem of a `VALIDATION_ERROR`; the facts of a limit.
        retry_after: seconds after which the same call may succeed.
        supabase_details: what is known of row-level security for this request.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 0,
        request_id: str | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        supabase_details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after = retry_after
        self.supabase_details = dict(supabase_details) if supabase_details is not None else None

    def __str__(self) -> str:
        request = f" ({self.request_id})" if self.request_id else ""
        return f"{self.code}: {self.message}{request}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from their arguments, and ours have names: this is how they cross processes.
        return (_rebuilt, (type(self), self.message, self._facts()))

    def _facts(self) -> dict[str, Any]:
        names = ("code", "status", "request_id", "details", "retry_after", "supabase_details")
        return {name: getattr(self, name) for name in names}


class InvalidRequestError(AgentLaunchpadError):
    """The request is wrong as it stands (400, 405, 413, 415, 422); `details` names each wrong field."""


class AuthenticationError(AgentLaunchpadError):
    """No user is signed in, or the token is not valid (401): sign in again."""


class AccessDeniedError(AgentLaunchpadError):
    """The user lacks a permission or has reached a number of agents (403)."""


class NotFoundError(AgentLaunchpadError):
    """There is no such thing among the caller's (404)."""


class ConflictError(AgentLaunchpadError):
    """The request contradicts the present state, or an idempotency key was used for another request (409)."""


class LimitError(AgentLaunchpadError):
    """A limit is reached: of requests or a quota (429), or a budget (402); `retry_after` where waiting helps."""


class UnavailableError(AgentLaunchpadError):
    """The backend failed or cannot be reached (5xx, or no answer at all)."""


class LaunchpadTimeoutError(UnavailableError, TimeoutError):
    """No answer, or not the state that was waited for, in time."""


class AnswerFailedError(AgentLaunchpadError):
    """An agent could not answer a message; `details["code"]` says why."""


class SubscriptionError(AgentLaunchpadError):
    """A subscription cannot be made or has ended."""


_BY_STATUS: Mapping[int, type[AgentLaunchpadError]] = {
    0: UnavailableError,
    400: InvalidRequestError,
    401: AuthenticationError,
    402: LimitError,
    403: AccessDeniedError,
    404: NotFoundError,
    405: InvalidRequestError,
    409: ConflictError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: LimitError,
}


def error_of(message: str, *, code: str, status: int = 0, **facts: Any) -> AgentLaunchpadError:
    """Makes the error of the class that fits its status."""
    kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else AgentLaunchpadError)
    return kind(message, code=code, status=status, **facts)


def invalid(field: str, problem: str) -> InvalidRequestError:
    """The error of a call that was made wrongly, before any request.

    Args:
        field: the argument.
        problem: what would be right.
    """
    return InvalidRequestError(f"{field}: {problem}", code="VALIDATION_ERROR", details={field: problem})


def passes(error: AgentLaunchpadError) -> bool:
    """Whether the same may succeed a little later, so that whoever watches or waits goes on."""
    return error.status >= 500 or error.code in ("SUPABASE_CONNECTION_ERROR", "TIMEOUT", "RATE_LIMIT_EXCEEDED")


def _rebuilt(kind: type[AgentLaunchpadError], message: str, facts: dict[str, Any]) -> AgentLaunchpadError:
    return kind(message, **facts)
