"""Supabase clients without a project, and an API that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import httpx
from supabase import AsyncClient, Client

from agent_launchpad import AgentLaunchpadClient, AsyncAgentLaunchpadClient

AnyClient: TypeAlias = Any
Answer: TypeAlias = Callable[[httpx.Request], httpx.Response]

URL = "https://project.example.com"
KEY = "sb_publishable_test"
TOKEN = "token-of-a-user"


class Api:
    """Records requests and answers them, in order; the last answer stays."""

    def __init__(self, *answers: Answer | httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers) or [httpx.Response(200, json={})]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            # The same answer may be given more than once.
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return answer(request)


def client_of(kind: str, api: Api, *, token: str | None = TOKEN, **options: Any) -> AnyClient:
    """A client of a kind, `sync` or `async`, in front of a fake API; its supabase client was given a token."""
    transport = httpx.MockTransport(api)
    base = {"base_url": "https://api.example.com", **options}
    if kind == "sync":
        http = httpx.Client(transport=transport)
        return AgentLaunchpadClient(given(Client(URL, KEY), token), http_client=http, **base)
    http_async = httpx.AsyncClient(transport=transport)
    return AsyncAgentLaunchpadClient(given(AsyncClient(URL, KEY), token), http_client=http_async, **base)


def given(supabase: Any, token: str | None) -> Any:
    """A supabase client with a token in its headers."""
    if token is not None:
        supabase.options.headers["Authorization"] = f"Bearer {token}"
    return supabase


def failure(code: str, status: int, message: str = "It failed", **more: Any) -> httpx.Response:
    """An error as the API tells it."""
    headers = {"retry-after": str(more.pop("retry_after"))} if "retry_after" in more else {}
    error = {"code": code, "message": message, "requestId": "req-1", **more}
    return httpx.Response(status, json={"error": error}, headers=headers)
