"""A running stack: the one that LAUNCHPAD_TEST_STACK names, as one line of JSON. Without it these tests are skipped."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from supabase import acreate_client, create_client
from supabase.lib.client_options import AsyncClientOptions, SyncClientOptions

from agent_launchpad import AgentLaunchpadClient, AsyncAgentLaunchpadClient

from ..conftest import done
from .wire import Wire

SMALL: dict[str, Any] = {"resources": {"memory": "256Mi", "cpu": "100m"}}


@dataclass
class User:
    """A signed-up user."""

    id: str
    email: str
    password: str
    token: str


class Stack:
    """Addresses and keys, and users."""

    def __init__(self, info: dict[str, str]) -> None:
        self.url = info["apiUrl"]
        self.key = info["publishableKey"]

    def sign_up(self) -> User:
        """Makes a user."""
        email, password = f"python-{uuid4()}@example.com", f"pass-{uuid4()}"
        answer = httpx.post(
            f"{self.url}/auth/v1/signup", headers={"apikey": self.key}, json={"email": email, "password": password}
        )
        body = answer.raise_for_status().json()
        return User(body["user"]["id"], email, password, body["access_token"])


@pytest.fixture(scope="session")
def stack() -> Stack:
    info = os.environ.get("LAUNCHPAD_TEST_STACK")
    if not info:
        pytest.skip("no stack: LAUNCHPAD_TEST_STACK is not set")
    return Stack(json.loads(info))


@pytest.fixture(scope="session")
def user(stack: Stack) -> User:
    return stack.sign_up()


@pytest.fixture(scope="session")
def other_user(stack: Stack) -> User:
    return stack.sign_up()


@pytest.fixture
def wire(stack: Stack) -> Iterator[Wire]:
    with Wire(stack.url) as relay:
        yield relay


MakeClient = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client_as(stack: Stack, kind: str) -> AsyncIterator[MakeClient]:
    """Makes clients of the kind under test: of a user, of nobody (None), or with a token as it is."""
    made: list[Any] = []

    async def make(user: User | str | None, *, url: str = stack.url, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {user}"} if isinstance(user, str) else {}
        # supabase closes no connections of its own making.
        http: Any = httpx.Client() if kind == "sync" else httpx.AsyncClient()
        made.append(http)
        client: Any
        supabase: Any
        if kind == "sync":
            supabase = create_client(
                url, stack.key, SyncClientOptions(headers=headers, auto_refresh_token=False, httpx_client=http)
            )
            client = AgentLaunchpadClient(supabase, url, **options)
        else:
            supabase = await acreate_client(
                url, stack.key, AsyncClientOptions(headers=headers, auto_refresh_token=False, httpx_client=http)
            )
            client = AsyncAgentLaunchpadClient(supabase, url, **options)
        if isinstance(user, User):
            await done(supabase.auth.sign_in_with_password({"email": user.email, "password": user.password}))
        made.append(client)
        return client

    yield make
    for client in reversed(made):
        await done(client.close() if kind == "sync" else client.aclose())


def forged(user: User) -> str:
    """A token with the user's claims, signed by somebody else."""
    header, payload, _ = user.token.split(".")
    return f"{header}.{payload}.{'A' * 43}"
