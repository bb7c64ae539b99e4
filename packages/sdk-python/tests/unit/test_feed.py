"""Feeds before a Realtime server and a `/rest/v1` that do what a test wants of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from agent_launchpad import AgentLaunchpadError, SubscriptionError, UnavailableError
from agent_launchpad._call import Call
from agent_launchpad._realtime import feed as feed_module
from agent_launchpad._realtime import shared as shared_module
from agent_launchpad._realtime import socket as socket_module
from agent_launchpad._realtime.agent import AgentFeed
from agent_launchpad._realtime.feed import Sink, Source
from agent_launchpad._realtime.shared import SharedSocket
from agent_launchpad.errors import error_of

from ..conftest import eventually

AGENT = "agent-1"


class Backend:
    """The events of one agent, told by both ways."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.logs: list[dict[str, Any]] = []
        self.log_reads = 0
        # Which read of lines fails.
        self.lost_read: int | None = None
        self.exists = True
        self.status = "deployed"
        self.failure: AgentLaunchpadError | None = None
        self.sockets: list[ServerConnection] = []
        self.received: list[dict[str, Any]] = []
        self.refusal: str | None = None
        self.deaf = False
        self.token = "token-1"
        # Called after a join is answered and before it is caught up.
        self.after_join: Callable[[], object] = lambda: None

    def event(self, **more: Any) -> dict[str, Any]:
        """Commits an event; it is not broadcast yet."""
        row = {"agent_id": AGENT, "seq": len(self.rows) + 1, "to_phase": None, "timestamp": "then", **more}
        self.rows.append(row)
        return row

    def log(self, second: int) -> dict[str, Any]:
        """Commits a replica's next line; it is not delivered yet."""
        time = f"2026-01-15T10:30:{second:02}+00:00"
        number = len(self.logs) + 1
        row = {"id": f"line-{number}", "replica": "r", "sequence": number, "timestamp": time}
        self.logs.append(row)
        return row

    def log_page(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The lines that a read asks for: the newest first, or a page of those after some number."""
        if query["order"].startswith("timestamp.desc"):
            return self.logs[::-1]
        column = query["order"].split(",")[0]
        asked = str(query) if column == "replica" else str(query.get("or"))
        after = max(map(int, re.findall(r"sequence\.gt\.\"?(\d+)", asked)), default=0)
        found = [row for row in self.logs if row["sequence"] > after]
        page = sorted(found, key=lambda row: (row[column], row["sequence"]))[: query["limit"]]
        self.log_reads += 1
        if self.log_reads == self.lost_read:
            raise error_of("Cannot connect", code="SUPABASE_CONNECTION_ERROR", status=503)
        return page

    async def deliver_row(self, table: str, row: Any) -> None:
        """Sends a change of a table."""
        await self.send("postgres_changes", {"ids": [1], "data": {"table": table, "record": row, "errors": None}})

    async def flow(self, topic: str = f"realtime:agent:{AGENT}") -> None:
        """Says that changes of tables are delivered from now on."""
        said = {"extension": "postgres_changes", "status": "ok", "message": "Subscribed"}
        await self.send("system", said, topic=topic)

    async def broadcast(self, payload: Any, *, topic: str = f"realtime:agent:{AGENT}") -> None:
        """Sends what a client gets of a broadcast."""
        body = {"type": "broadcast", "event": "X", "payload": payload}
        await self.send("broadcast", body, topic=topic)

    async def send(self, event: str, payload: Any, *, topic: str = f"realtime:agent:{AGENT}") -> None:
        """Sends a message on the newest connection."""
        message = {"topic": topic, "event": event, "payload": payload, "ref": None}
        await self.sockets[-1].send(json.dumps(message))

    @property
    def joins(self) -> int:
        """How often a join was asked for."""
        return sum(message["event"] == "phx_join" for message in self.received)

    async def serve(self, connection: ServerConnection) -> None:
        """Speaks the protocol's server side."""
        self.sockets.append(connection)
        with suppress(ConnectionClosed):
            await self._serve(connection)

    async def _serve(self, connection: ServerConnection) -> None:
        async for frame in connection:
            message = json.loads(frame)
            self.received.append(message)
            if self.deaf or message["ref"] is None:
                continue
            status, response = "ok", {}
            if message["event"] == "phx_join" and self.refusal:
                status, response = "error", {"reason": self.refusal}
            reply = {"status": status, "response": response}
            answer = {"topic": message["topic"], "event": "phx_reply", "payload": reply, "ref": message["ref"]}
            await connection.send(json.dumps(answer))
            if message["event"] == "phx_join":
                self.after_join()

    async def request(self, call: Call) -> Any:
        """Answers what a feed reads."""
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(0)
        if call.path == "/agents":
            return [{"id": AGENT, "status": self.status, "updated_at": "2026-01-15T10:30:00Z"}] if self.exists else []
        if call.path == "/agent_logs":
            return self.log_page(call.query)
        if call.path != "/agent_events":
            return []
        if call.query.get("order") == "seq.desc":
            return self.rows[-1:]
        after = int(call.query["seq"].removeprefix("gt."))
        return [row for row in self.rows if row["seq"] > after]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: -0.98)  # retries after some milliseconds


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def server(backend: Backend) -> AsyncIterator[Server]:
    async with serve(backend.serve, "127.0.0.1", 0) as running:
        yield running


class Watcher:
    """A feed and what it delivers."""

    def __init__(self, backend: Backend, socket: SharedSocket, **options: Any) -> None:
        self.updates: list[Any] = []
        self.ended: list[AgentLaunchpadError | None] = []
        self.states: list[str] = []
        settings: dict[str, Any] = {"include": ("status", "event"), "after": None, **options}
        sink = Sink(update=self.updates.append, connection=self.states.append, ended=self.ended.append)
        self.feed = AgentFeed(AGENT, source=Source(socket, backend.request), sink=sink, **settings)

    @property
    def seqs(self) -> list[int]:
        return [update["event"]["seq"] for update in self.updates if update["type"] == "event"]

    @property
    def lines(self) -> list[int]:
        return [update["log"]["sequence"] for update in self.updates if update["type"] == "log"]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Returns when it is so."""
        await eventually(enough, lambda: str(self.updates))


@pytest.fixture
async def socket(backend: Backend, server: Server) -> SharedSocket:
    async def token() -> str:
        return backend.token

    port = next(iter(server.sockets)).getsockname()[1]
    return SharedSocket(f"ws://127.0.0.1:{port}/realtime/v1", "key", token)


@pytest.fixture
async def watcher(backend: Backend, socket: SharedSocket) -> AsyncIterator[Watcher]:
    made = Watcher(backend, socket)
    yield made
    await made.feed.stop()


async def test_what_comes_between_the_look_back_and_the_join_is_caught_up(backend: Backend, watcher: Watcher) -> None:
    backend.event()
    backend.after_join = backend.event
    await watcher.feed.start()
    assert watcher.seqs == [2]
    assert watcher.updates[0]["status"] == "DEPLOYED"


async def test_events_come_once_in_order_and_a_gap_is_filled(backend: Backend, watcher: Watcher) -> None:
    await watcher.feed.start()
    rows = [backend.event() for _ in range(4)]
    await backend.broadcast(rows[0])
    await backend.broadcast(rows[0])
    await backend.broadcast(rows[3])  # two and three got lost
    await backend.broadcast(rows[2])
    await backend.broadcast(backend.event())
    await watcher.until(lambda: len(watcher.seqs) >= 5)
    assert watcher.seqs == [1, 2, 3, 4, 5]


async def test_broadcasts_that_are_no_events_are_passed_over(backend: Backend, watcher: Watcher) -> None:
    await watcher.feed.start()
    for odd in (None, "text", {}, {"agent_id": "agent-2", "seq": 1}, {"agent_id": AGENT, "seq": "1"}):
        await backend.broadcast(odd)
    await backend.sockets[-1].send("not json")
    await backend.sockets[-1].send("[]")
    await backend.broadcast(backend.event(), topic="realtime:agent:agent-2")
    await backend.broadcast(backend.event())
    await watcher.until(lambda: len(watcher.seqs) >= 2)
    assert watcher.seqs == [1, 2]


@pytest.mark.parametrize("how", ["phx_close", "phx_error", "system", "1000", "1011", "abort"])
async def test_however_a_channel_ends_the_feed_takes_up_where_it_was(
    backend: Backend, watcher: Watcher, how: str
) -> None:
    await watcher.feed.start()
    backend.event()
    connection = backend.sockets[-1]
    if how == "abort":
        connection.transport.abort()
    elif how == "system":
        await backend.send("system", {"status": "error", "message": "Token has expired 0 seconds ago"})
    elif how.startswith("phx"):
        await backend.send(how, {})
    else:
        await connection.close(int(how))
    await watcher.until(lambda: watcher.seqs == [1])
    await watcher.until(lambda: backend.joins == 2)
    await backend.broadcast(backend.event())
    await watcher.until(lambda: watcher.seqs == [1, 2])


async def test_a_server_that_does_not_answer_is_left(
    backend: Backend, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(socket_module, "ANSWER_SECONDS", 0.2)
    await watcher.feed.start()
    await watcher.until(lambda: any(m["event"] == "heartbeat" for m in backend.received))
    backend.deaf = True
    backend.event()
    await asyncio.sleep(0.25)
    backend.deaf = False
    await watcher.until(lambda: watcher.seqs == [1])
    assert len(backend.sockets) >= 2


async def test_a_feed_ends_though_its_cancellation_is_lost_once(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = watcher.feed._follow
    lost = asyncio.Event()
    begun = asyncio.Event()

    async def losing() -> None:
        begun.set()
        try:
            await follow()
        except asyncio.CancelledError:
            if lost.is_set():
                raise
            lost.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(watcher.feed, "_follow", losing)
    await watcher.feed.start()
    await begun.wait()
    await asyncio.wait_for(watcher.feed.stop(), 30)
    assert lost.is_set()


async def test_a_refused_join_is_an_error_with_the_reason(backend: Backend, watcher: Watcher) -> None:
    backend.refusal = "ConnectionRateLimitReached: Too many connected users"
    with pytest.raises(SubscriptionError, match="Too many connected users") as caught:
        await watcher.feed.start()
    assert (caught.value.code, caught.value.status) == ("REAL_TIME_SUBSCRIPTION_FAILED", 422)


async def test_no_server_is_an_error_without_the_key(backend: Backend) -> None:
    async def token() -> str:
        return "t"

    nowhere = SharedSocket("ws://127.0.0.1:9/realtime/v1", "sb_publishable_x", token)
    with pytest.raises(UnavailableError, match="cannot be reached") as caught:
        await Watcher(backend, nowhere).feed.start()
    assert "sb_publishable_x" not in str(caught.value)


async def test_trouble_is_told_and_the_feed_goes_on(backend: Backend, watcher: Watcher) -> None:
    await watcher.feed.start()
    backend.failure = error_of("Cannot connect", code="SUPABASE_CONNECTION_ERROR", status=503)
    await backend.send("phx_close", {})
    await watcher.until(lambda: watcher.updates[-1].get("error") is backend.failure)
    assert not watcher.updates[-1]["final"]
    backend.event()
    backend.failure = None
    await watcher.until(lambda: watcher.seqs == [1])
    assert watcher.ended == []


async def test_a_refusal_that_will_not_change_ends_the_feed(backend: Backend, watcher: Watcher) -> None:
    await watcher.feed.start()
    backend.failure = error_of("Signed out", code="INVALID_JWT_TOKEN", status=401)
    await backend.send("phx_close", {})
    await watcher.until(lambda: len(watcher.ended) == 1)
    assert watcher.ended == [backend.failure]
    assert watcher.updates[-1] == {"type": "error", "agentId": AGENT, "error": backend.failure, "final": True}


async def test_an_agent_that_went_while_nobody_listened_ends_the_feed_with_its_last_events(
    backend: Backend, watcher: Watcher
) -> None:
    await watcher.feed.start()
    backend.event(to_phase="DELETING")
    backend.event(to_phase="DELETED")
    backend.exists = False
    await backend.send("phx_close", {})
    await watcher.until(lambda: len(watcher.ended) == 1)
    assert (watcher.ended, watcher.seqs) == ([None], [1, 2])
    assert watcher.updates[-1] == {"type": "status", "agentId": AGENT, "status": "DELETED", "timestamp": "then"}


async def test_a_deleted_agents_history_can_still_be_had(backend: Backend, socket: SharedSocket) -> None:
    backend.event()
    backend.event(to_phase="DELETED")
    backend.exists = False
    replay, late = Watcher(backend, socket, after=0), Watcher(backend, socket)
    for watcher, seqs in ((replay, [1, 2]), (late, [])):
        await watcher.feed.start()
        assert (watcher.seqs, watcher.ended) == (seqs, [None])
        assert watcher.updates[-1]["status"] == "DELETED"
    backend.rows.pop()
    with pytest.raises(AgentLaunchpadError, match="Agent with ID 'agent-1' not found or access denied"):
        await Watcher(backend, socket).feed.start()


async def test_the_state_of_the_connection_and_each_trouble_are_told_once(backend: Backend, watcher: Watcher) -> None:
    await watcher.feed.start()
    assert watcher.states == ["connecting", "live"]
    backend.refusal = "TooManyChannels"
    await backend.send("phx_close", {})
    backend.event()
    # By asking: Realtime lets nobody in.
    await watcher.until(lambda: watcher.seqs == [1] and backend.joins >= 4)
    backend.refusal = None
    await watcher.until(lambda: watcher.states == ["connecting", "live", "interrupted", "live"])
    told = [update["error"].message for update in watcher.updates if update["type"] == "error"]
    assert told == [
        "The real-time connection was lost: phx_close",
        "Realtime refuses the subscription: TooManyChannels",
    ]


async def test_a_state_from_before_what_was_read_is_passed_over(backend: Backend, watcher: Watcher) -> None:
    await watcher.feed.start()
    await backend.flow()
    for status, time in (("scaling", "10:29:59"), ("deployed", "10:30:00"), ("stopping", "10:30:01")):
        row = {"id": AGENT, "status": status, "updated_at": f"2026-01-15T{time}+00:00"}
        await backend.deliver_row("agents", row)
    await watcher.until(lambda: len(watcher.updates) >= 2)
    assert [update["status"] for update in watcher.updates] == ["DEPLOYED", "STOPPING"]


async def test_what_passes_between_a_join_and_its_changes_is_read_when_they_flow(
    backend: Backend, watcher: Watcher
) -> None:
    await watcher.feed.start()
    backend.event()
    await backend.flow()
    await watcher.until(lambda: watcher.seqs == [1])


async def test_a_change_that_comes_before_changes_flow_hides_no_earlier_one(
    backend: Backend, socket: SharedSocket
) -> None:
    watcher = Watcher(backend, socket, include=("log",))
    await watcher.feed.start()
    backend.log(1)  # the server does not listen yet
    await backend.deliver_row("agent_logs", backend.log(2))
    await watcher.until(lambda: len(watcher.lines) >= 2)
    await backend.flow()
    await backend.deliver_row("agent_logs", backend.log(3))
    await watcher.until(lambda: len(watcher.lines) >= 3)
    await watcher.feed.stop()
    assert watcher.lines == [1, 2, 3]


async def test_a_page_that_fails_loses_no_line_whose_clock_went_back(
    backend: Backend, socket: SharedSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PAGE", 2)
    watcher = Watcher(backend, socket, include=("log",))
    await watcher.feed.start()
    for second in (1, 9, 2):
        backend.log(second)
    backend.lost_read = backend.log_reads + 2
    await backend.send("phx_close", {})
    await watcher.until(lambda: len(watcher.lines) >= 3)
    await watcher.feed.stop()
    assert watcher.lines == [1, 2, 3]


async def test_a_renewed_token_reaches_the_server(
    backend: Backend, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_module, "RENEW_SECONDS", 0.01)
    await watcher.feed.start()
    backend.token = "token-2"

    def renewed() -> list[Any]:
        return [m["payload"] for m in backend.received if m["event"] == "access_token"]

    await watcher.until(lambda: bool(renewed()))
    assert renewed() == [{"access_token": "token-2"}]


async def test_the_last_channel_closes_the_socket(backend: Backend, socket: SharedSocket) -> None:
    one, two = Watcher(backend, socket), Watcher(backend, socket)
    await one.feed.start()
    await two.feed.start()
    assert len(backend.sockets) == 2, "a topic has one channel on a socket"
    await one.feed.stop()
    await backend.broadcast(backend.event())
    await two.until(lambda: two.seqs == [1])
    await two.feed.stop()
    await asyncio.gather(*(connection.wait_closed() for connection in backend.sockets))
