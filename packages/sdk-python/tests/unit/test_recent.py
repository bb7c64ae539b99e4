"""Security events and messages, before a Realtime server and a `/rest/v1` that do what a test wants of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from websockets.asyncio.server import serve

from agent_launchpad import AgentLaunchpadError, NotFoundError
from agent_launchpad._call import Call
from agent_launchpad._realtime.feed import Feed, Sink, Source
from agent_launchpad._realtime.recent import MessagesFeed, RepliesFeed, SecurityFeed, listening
from agent_launchpad._realtime.shared import SharedSocket

from ..conftest import eventually
from .test_feed import Backend

BEGIN = datetime(2026, 1, 15, 10, 30, tzinfo=timezone.utc)


class Tables(Backend):
    """Rows with an id and a time, told by both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def row(self, seconds: float = 0.0, **more: Any) -> dict[str, Any]:
        """Commits a row whose time is so much after the beginning; it is not delivered yet."""
        at = (BEGIN + timedelta(seconds=seconds)).isoformat()
        row = {"id": f"row-{len(self.rows)}", "created_at": at, "timestamp": at, "swarm_id": None, **more}
        self.rows.append(row)
        return row

    async def deliver(self, table: str, *rows: dict[str, Any], errors: Any = None) -> None:
        """Sends what a client gets of new rows."""
        topic = self.topic
        for row in rows:
            data = {"type": "INSERT", "table": table, "record": row, "errors": errors}
            await self.send("postgres_changes", {"ids": [1], "data": data}, topic=topic)

    async def tell(self, event: str, payload: Any) -> None:
        """Sends what a client gets of a broadcast with a name."""
        body = {"type": "broadcast", "event": event, "payload": payload}
        await self.send("broadcast", body, topic=self.topic)

    @property
    def topic(self) -> str:
        """What was joined last."""
        return [str(message["topic"]) for message in self.received if message["event"] == "phx_join"][-1]

    @property
    def config(self) -> dict[str, Any]:
        """What was asked for with the last join."""
        joins = [message["payload"]["config"] for message in self.received if message["event"] == "phx_join"]
        return dict(joins[-1])

    async def request(self, call: Call) -> Any:
        """Answers what a feed reads."""
        self.calls.append(call)
        await asyncio.sleep(0)
        if call.path in ("/agents", "/swarms"):
            return [{"id": "x"}] if self.exists else []
        column = "timestamp" if call.path == "/security_events" else "created_at"
        rows = sorted(self.rows, key=lambda row: (row[column], row["id"]))
        if call.query["order"].endswith("desc"):
            return rows[::-1]
        since = str(call.query.get(column, "")).removeprefix("gte.")
        return [row for row in rows if row[column] >= since]


class Listener:
    """A feed and what it delivers."""

    def __init__(self, make: Callable[[Source, Sink], Feed], source: Source) -> None:
        self.updates: list[Any] = []
        self.ended: list[AgentLaunchpadError | None] = []
        sink = Sink(update=self.updates.append, connection=lambda _: None, ended=self.ended.append)
        self.feed = make(source, sink)

    def ids(self, kind: str) -> list[str]:
        """The rows that came."""
        return [update[kind]["id"] for update in self.updates if update["type"] == kind]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Returns when it is so."""
        await eventually(enough, lambda: str(self.updates))


Listen = Callable[[Callable[[Source, Sink], Feed]], Listener]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: -0.98)  # retries after some milliseconds


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
async def listen(tables: Tables) -> AsyncIterator[Listen]:
    made: list[Listener] = []

    async def token() -> str:
        return tables.token

    async with serve(tables.serve, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        socket = SharedSocket(f"ws://127.0.0.1:{port}/realtime/v1", "key", token)

        def listener(make: Callable[[Source, Sink], Feed]) -> Listener:
            made.append(Listener(make, Source(socket, tables.request)))
            return made[-1]

        yield listener
        for each in made:
            await each.feed.stop()


def security(source: Source, sink: Sink) -> Feed:
    return SecurityFeed(None, source=source, sink=sink)


async def test_security_events_come_once_across_lost_connections(tables: Tables, listen: Listen) -> None:
    tables.row(0)
    tables.after_join = lambda: tables.row(1)
    listener = listen(security)
    await listener.feed.start()
    tables.after_join = lambda: None
    assert listener.ids("event") == ["row-1"], "what was there is no news, what came while it joined is"
    await tables.deliver("security_events", tables.rows[1], tables.row(2), tables.rows[2])
    await listener.until(lambda: listener.ids("event") == ["row-1", "row-2"])
    # Committed late, with an earlier time, while nobody listened.
    tables.row(-50)
    tables.row(3)
    tables.sockets[-1].transport.abort()
    await listener.until(lambda: len(listener.ids("event")) == 4)
    assert listener.ids("event") == ["row-1", "row-2", "row-3", "row-4"]
    await tables.flow(tables.topic)
    await tables.deliver("security_events", {"id": "cut"}, errors=["Error 413: Payload Too Large"])
    await listener.until(lambda: tables.joins == 3)
    assert listener.ids("event") == ["row-1", "row-2", "row-3", "row-4"]
    assert listener.ended == []


async def test_a_severity_narrows_what_is_read_and_heard(tables: Tables, listen: Listen) -> None:
    await listen(lambda source, sink: SecurityFeed("HIGH", source=source, sink=sink)).feed.start()
    wanted = {"event": "INSERT", "schema": "public", "table": "security_events", "filter": "severity=eq.HIGH"}
    assert tables.config["postgres_changes"] == [wanted]
    assert not tables.config["private"]
    assert {call.query["severity"] for call in tables.calls} == {"eq.HIGH"}


async def test_messages_of_an_agent_and_its_replies(tables: Tables, listen: Listen) -> None:
    listener = listen(lambda source, sink: MessagesFeed({"agent_id": "a"}, source=source, sink=sink))
    await listener.feed.start()
    assert tables.topic == "realtime:agent:a"
    assert tables.config["private"]
    assert [each["filter"] for each in tables.config["postgres_changes"]] == ["to_agent_id=eq.a", "agent_id=eq.a"]
    reply = {"messageId": "m", "agentId": "a", "replyTo": "row-0", "attempt": 1}
    await tables.tell("reply.delta", {**reply, "text": "Hi", "sequence": 1})
    for event, payload in (
        ("X", {"agent_id": "a", "seq": 1}),
        ("reply.delta", "text"),
        ("reply.delta", {}),
        (None, {}),
    ):
        await tables.tell(event, payload)  # type: ignore[arg-type]
    await tables.deliver("messages", tables.row(0), tables.row(1, swarm_id="s"))
    # An event of tomorrow, which need not say what it answers.
    await tables.tell("reply.pondering", {"messageId": "m"})
    await tables.tell("reply.finished", reply)
    await listener.until(lambda: len(listener.updates) >= 4)
    assert listener.updates == [
        {"type": "reply", "reply": {**reply, "event": "delta", "text": "Hi", "sequence": 1}},
        {"type": "message", "message": tables.rows[0]},
        {"type": "reply", "reply": {"messageId": "m", "event": "pondering"}},
        {"type": "reply", "reply": {**reply, "event": "finished"}},
    ], "what an agent says in swarms is heard there"
    tables.row(2)
    await tables.send("phx_close", {}, topic=tables.topic)
    await listener.until(lambda: listener.ids("message") == ["row-0", "row-2"])


async def test_messages_of_a_swarm(tables: Tables, listen: Listen) -> None:
    listener = listen(lambda source, sink: MessagesFeed({"swarm_id": "s"}, source=source, sink=sink))
    await listener.feed.start()
    assert tables.topic == "realtime:swarm:s"
    assert [each["filter"] for each in tables.config["postgres_changes"]] == ["swarm_id=eq.s"]
    await tables.deliver("messages", tables.row(0, swarm_id="s"))
    await listener.until(lambda: listener.ids("message") == ["row-0"])
    tables.exists = False
    await tables.send("phx_close", {}, topic=tables.topic)
    await listener.until(lambda: len(listener.ended) == 1)
    [error] = listener.ended
    assert (error and error.code, listener.updates[-1]["final"]) == ("NOT_FOUND", True)
    assert "agentId" not in listener.updates[-1]


@pytest.mark.parametrize(("conversation", "code"), [("agent_id", "AGENT_NOT_FOUND"), ("swarm_id", "NOT_FOUND")])
async def test_what_is_anothers_is_not_found(tables: Tables, listen: Listen, conversation: str, code: str) -> None:
    tables.exists = False
    of_other: Any = {conversation: "x"}
    with pytest.raises(NotFoundError) as caught:
        await listen(lambda source, sink: MessagesFeed(of_other, source=source, sink=sink)).feed.start()
    assert caught.value.code == code
    assert tables.joins == 0


async def test_a_question_waits_for_its_channel_no_longer_than_it_must(tables: Tables, listen: Listen) -> None:
    heard: list[Any] = []

    def replies(source: Source, _: Sink) -> Feed:
        return RepliesFeed.of_agent("a", source=source, take=heard.append)

    tables.refusal = "Unauthorized"
    await listening(listen(replies).feed, 5)
    tables.refusal, tables.deaf = None, True
    await listening(listen(replies).feed, 0.05)
    tables.deaf = False
    await listening(listen(replies).feed, 5)
    await tables.tell("reply.delta", {"messageId": "m", "replyTo": "q", "text": "Hi"})
    await eventually(lambda: len(heard) == 1, lambda: str(heard))
    assert heard[0]["text"] == "Hi"
