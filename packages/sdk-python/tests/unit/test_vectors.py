"""What both SDKs must do alike: the cases of tests/vectors/sdk.json, which the Node SDK runs too."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from supabase import AsyncClient, AuthRetryableError, Client

from agent_launchpad import AgentLaunchpadClient, AgentLaunchpadError, AsyncAgentLaunchpadClient
from agent_launchpad._call import pause_before_retry, result_of
from agent_launchpad.errors import error_of

from ..conftest import done, some
from .fakes import KEY, URL, AnyClient, Api, client_of, given

FILE = Path(__file__).resolve().parents[4] / "tests" / "vectors" / "sdk.json"
VECTORS = json.loads(FILE.read_text("utf8"))
Case = dict[str, Any]


def cases(section: list[Case]) -> pytest.MarkDecorator:
    """A test for each case, named after it."""
    return pytest.mark.parametrize("case", section, ids=[case["name"] for case in section])


both = pytest.mark.parametrize("kind", ["sync", "async"])


@cases(VECTORS["errors"])
def test_an_answer_that_is_an_error(case: Case) -> None:
    content = case["body"].encode()
    request = httpx.Request("GET", "https://api.example.com/api/x")
    response = httpx.Response(case["status"], headers=case["headers"], content=content, request=request)
    with pytest.raises(AgentLaunchpadError) as caught:
        result_of(response, content)
    error, wanted = caught.value, case["error"]
    assert (error.code, error.status, error.request_id, error.details, error.retry_after) == (
        wanted["code"],
        wanted["status"],
        wanted.get("requestId"),
        wanted.get("details", {}),
        wanted.get("retryAfter"),
    )
    assert error.message == wanted.get("message", error.message)


@cases(VECTORS["retries"]["cases"])
def test_a_failed_attempt(case: Case) -> None:
    told = case["error"]
    error = error_of("x", code=told["code"], status=told["status"], retry_after=told["retryAfter"])
    pause = pause_before_retry(
        error,
        attempt=case["attempt"],
        max_retries=VECTORS["retries"]["maxRetries"],
        max_wait=VECTORS["retries"]["maxRetryWait"],
        repeatable=case["repeatable"],
        unsent=case["unsent"],
        chance=lambda: case["random"],
    )
    assert pause == case["wait"]


CALLS: dict[str, Callable[[AnyClient], Any]] = {
    "agents.get": lambda client: client.agents.get("a"),
    "agents.create": lambda client: client.agents.create(agent_name="a"),
    "agents.restart": lambda client: client.agents.restart("a"),
    "agents.update": lambda client: client.agents.update("a", description="x"),
    "agents.delete": lambda client: client.agents.delete("a"),
    "keys.create": lambda client: client.agents.keys.create("a", "x"),
    "keys.revoke": lambda client: client.agents.keys.revoke("a", "k"),
    "budgets.set": lambda client: client.budgets.set(limit_micros=1, period="day"),
    "users.updateProfile": lambda client: client.users.update_profile(username="x"),
    "users.setSecret": lambda client: client.users.set_secret("A", "b"),
    "swarms.create": lambda client: client.swarms.create("x"),
    "swarms.list": lambda client: client.swarms.list(),
    "messages.send": lambda client: client.messages.send("x"),
}


@both
@cases(VECTORS["repeats"]["cases"])
async def test_requests_after_a_lost_answer(kind: str, case: Case) -> None:
    api = Api(httpx.ReadError("cut"))
    client = client_of(kind, api, max_retries=VECTORS["repeats"]["maxRetries"], max_retry_wait=0.0)
    with pytest.raises(AgentLaunchpadError) as caught:
        await done(CALLS[case["call"]](client))
    assert (caught.value.code, len(api.requests)) == ("SUPABASE_CONNECTION_ERROR", case["requests"])


WALKS: dict[str, Callable[[AnyClient, dict[str, str]], Any]] = {
    "agents": lambda client, filters: client.agents.iterate(**filters),
    "revisions": lambda client, _: client.agents.iterate_revisions("a"),
    "keys": lambda client, _: client.agents.keys.iterate("a"),
    "budgets": lambda client, _: client.budgets.iterate(),
    "plugins": lambda client, filters: client.plugins.search(filters["query"]),
    "usage": lambda client, filters: client.usage.iterate(group_by=filters["groupBy"]),
    "securityEvents": lambda client, filters: client.security.iterate_events(**filters),
    "swarms": lambda client, _: client.swarms.iterate(),
    "messages": lambda client, filters: client.messages.iterate(agent_id=filters["agentId"]),
}


@both
@cases(VECTORS["walks"])
async def test_a_walk(kind: str, case: Case) -> None:
    exchanges = list(case["exchanges"])

    def answer(request: httpx.Request) -> httpx.Response:
        exchange = exchanges.pop(0)
        assert request.url.path == exchange["path"]
        query = dict(request.url.params)
        query.pop("limit")
        assert query == exchange["query"]
        return httpx.Response(200, json=exchange["response"])

    found = await some(WALKS[case["list"]](client_of(kind, Api(answer)), case["arguments"]))
    ids = [next(item[key] for key in ("agentId", "revision", "day", "id", "name") if key in item) for item in found]
    assert ids == case["ids"]
    assert exchanges == []


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
BUSY = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\ncontent-type: application/json\r\n"
    b"content-length: 2\r\nconnection: close\r\n\r\n{}"
)
DRIP = 0.05


class Server:
    """A server of bytes; `requests` counts what reached it."""

    def __init__(self, kind: str) -> None:
        self.requests = 0
        self._kind = kind
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if not connection.recv(65536):
                return
            self.requests += 1
            if self._kind in ("answers", "busy"):
                connection.sendall(WHOLE if self._kind == "answers" else BUSY)
                return
            body = self._kind == "drip body"
            if self._kind.startswith("drip"):
                connection.sendall(HEAD + b"\r\n" if body else HEAD)
            while not self._ended.wait(DRIP):
                if self._kind.startswith("drip"):
                    connection.sendall(b" " if body else b"x")

    def close(self) -> None:
        """Ends every connection."""
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@contextmanager
def serving(kind: str) -> Iterator[Server]:
    """A server while a test runs."""
    server = Server(kind)
    try:
        yield server
    finally:
        server.close()


def renewing(kind: str, auth: str | None) -> tuple[Any, threading.Event]:
    """A supabase client whose session is renewed in a certain way; the event ends what hangs."""
    asked = 0
    ended = threading.Event()

    def renew() -> Any:
        nonlocal asked
        asked += 1
        if auth == "unreachable" or (auth == "unreachable once" and asked == 1):
            raise AuthRetryableError("connection refused", 0)
        if auth == "silent":
            ended.wait(10)
        return None

    async def renew_later() -> Any:
        if auth == "silent":
            await asyncio.sleep(10)
        return renew()

    supabase = given(Client(URL, KEY) if kind == "sync" else AsyncClient(URL, KEY), "token")
    supabase.auth.get_session = renew if kind == "sync" else renew_later
    return supabase, ended


@both
@cases(VECTORS["deadlines"]["cases"])
async def test_a_deadline_holds(kind: str, case: Case) -> None:
    supabase, ended = renewing(kind, case.get("auth"))
    make: Any = AgentLaunchpadClient if kind == "sync" else AsyncAgentLaunchpadClient
    with serving(case["server"]) as server:
        client = make(
            supabase,
            server.origin,
            timeout=case["timeout"] or None,
            total_timeout=case.get("totalTimeout"),
            max_retries=case.get("maxRetries", 0),
        )
        started = time.monotonic()
        code = None
        try:
            await done(client.health.get())
        except AgentLaunchpadError as error:
            code = error.code
        seconds = time.monotonic() - started
        requests = server.requests
        ended.set()
    await done(client.close() if kind == "sync" else client.aclose())
    assert code == case["code"]
    assert seconds < VECTORS["deadlines"]["latest"]
    assert requests == case["requests"]
