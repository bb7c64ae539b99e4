"""What subscriptions tell, and that nothing is lost or told twice when connections are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agent_launchpad import AgentLaunchpadError, AgentUpdate

from ..conftest import done, eventually
from .conftest import SMALL, MakeClient, Stack
from .wire import Wire


class Updates:
    """Collects what a handler is called with, from whichever thread."""

    def __init__(self) -> None:
        self.all: list[AgentUpdate] = []

    def __call__(self, update: AgentUpdate) -> None:
        self.all.append(update)

    def of(self, kind: str) -> list[Any]:
        """What came of a type: the rows, or the statuses."""
        updates: list[Any] = list(self.all)
        return [update[kind] for update in updates if update["type"] == kind]

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.of("event")]

    async def until(self, enough: Callable[[], bool], seconds: float = 20.0) -> None:
        """Returns when it is so; fails with what has come instead."""
        await eventually(enough, lambda: str(self.all), seconds)


@pytest.fixture
async def owner(client_as: MakeClient, stack: Stack) -> Any:
    return await client_as(stack.sign_up())


@pytest.fixture
async def agent_id(owner: Any) -> str:
    launched = await done(owner.agents.create(agent_name="watched", **SMALL))
    await done(owner.agents.wait_until(launched["agentId"]))
    return str(launched["agentId"])


async def test_the_four_types_come_and_the_end_is_told(owner: Any, agent_id: str, kind: str) -> None:
    updates = Updates()
    subscription = await done(owner.subscribe_to_agent(agent_id, updates))
    await done(owner.agents.scale(agent_id, 2))
    await updates.until(lambda: len(updates.of("log")) >= 2 and len(updates.of("status")) >= 3)
    if kind == "sync":  # they come every fifteen seconds, and reach both clients alike
        await updates.until(lambda: bool(updates.of("metrics")), 40)
    await done(owner.agents.delete(agent_id))
    await updates.until(lambda: subscription.closed)

    assert updates.of("status")[:3] == ["DEPLOYED", "SCALING", "DEPLOYED"]
    assert updates.seqs == list(range(updates.seqs[0], updates.seqs[0] + len(updates.seqs)))
    assert updates.of("event")[-1]["to_phase"] == "DELETED"
    assert updates.of("status")[-1] == "DELETED"
    assert {update["agentId"] for update in updates.all} == {agent_id}
    assert updates.of("error") == []


async def test_history_can_be_had_from_its_beginning(owner: Any, agent_id: str) -> None:
    updates = Updates()
    subscription = await done(owner.subscribe_to_agent(agent_id, updates, include=["event"], after=0))
    await updates.until(lambda: 4 in updates.seqs)
    assert updates.seqs == [1, 2, 3, 4]
    assert {update["type"] for update in updates.all} == {"event"}
    await done(subscription())


async def test_a_cut_connection_leaves_no_gap_and_no_double(
    client_as: MakeClient, stack: Stack, wire: Wire, kind: str
) -> None:
    someone = stack.sign_up()
    direct, through = await client_as(someone), await client_as(someone, url=wire.url)
    agent_id = (await done(direct.agents.create(agent_name="cut", **SMALL)))["agentId"]
    await done(direct.agents.wait_until(agent_id))
    updates = Updates()
    subscription = await done(through.subscribe_to_agent(agent_id, updates, after=0))
    for replicas in (2, 1):
        wire.cut()
        # All of this happens while nobody listens: events, and the lines of new replicas.
        await done(direct.agents.scale(agent_id, replicas))
        await done(direct.agents.wait_until(agent_id))
        wire.mend()
        # And this, more or less while the connection comes back.
        await done(direct.agents.restart(agent_id))
        await done(direct.agents.wait_until(agent_id))
    assert wire.cuts > 0
    truth = await rows_of(direct, "agent_events", agent_id, "seq")
    await updates.until(lambda: len(updates.seqs) >= len(truth))
    assert updates.seqs == [row["seq"] for row in truth] == list(range(1, len(truth) + 1))

    def key(line: dict[str, Any]) -> tuple[str, int]:
        return line["replica"], line["sequence"]

    # What the first replica said before the subscription is not its matter.
    lines = await rows_of(direct, "agent_logs", agent_id, "timestamp,sequence")
    first = lines[0]["replica"]
    expected = {key(line) for line in lines if line["replica"] != first}
    await updates.until(lambda: expected <= {key(line) for line in updates.of("log")})
    heard = [key(line) for line in updates.of("log")]
    assert len(heard) == len(set(heard)), "no line twice"
    await done(subscription())
    await done(direct.agents.delete(agent_id))


async def test_two_subscriptions_of_one_agent_do_not_disturb_each_other(owner: Any, agent_id: str) -> None:
    one, two = Updates(), Updates()
    first = await done(owner.subscribe_to_agent(agent_id, one, include=["event"]))
    second = await done(owner.subscribe_to_agent(agent_id, two, include=["event"]))
    await done(owner.agents.stop(agent_id))
    await one.until(lambda: len(one.seqs) >= 2 and len(two.seqs) >= 2)
    await done(first())
    heard = len(one.all)
    await done(owner.agents.start(agent_id))
    await two.until(lambda: two.of("event")[-1]["to_phase"] == "DEPLOYED")
    assert one.seqs == two.seqs[:2]
    assert len(one.all) == heard, "nothing after unsubscribing"
    await done(second())


async def test_a_handler_may_fail_be_slow_and_unsubscribe(
    owner: Any, agent_id: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    holder: list[Any] = []

    def act(update: AgentUpdate) -> Any:
        seen.append(update["type"])
        if len(seen) == 1:
            raise ValueError("a mistake of the handler")
        return holder[0]()

    async def act_later(update: AgentUpdate) -> None:
        await asyncio.sleep(0)
        await done(act(update))

    handler = act if kind == "sync" else act_later
    holder.append(await done(owner.subscribe_to_agent(agent_id, handler, include=["event"])))
    await done(owner.agents.restart(agent_id))
    await done(owner.agents.wait_until(agent_id))
    await eventually(lambda: bool(holder[0].closed), lambda: str(seen))
    await done(owner.agents.restart(agent_id))
    await done(owner.agents.wait_until(agent_id))
    assert seen == ["event", "event"]
    assert "a mistake of the handler" in caplog.text


async def test_closing_the_client_ends_everything(client_as: MakeClient, owner: Any, agent_id: str, kind: str) -> None:
    updates = Updates()
    subscription = await done(owner.subscribe_to_agent(agent_id, updates))
    if kind == "sync":
        owner.close()
    else:
        await owner.aclose()
    assert subscription.closed


async def test_a_subscription_ends_for_good_when_the_session_does(
    client_as: MakeClient, stack: Stack, wire: Wire
) -> None:
    someone = stack.sign_up()
    direct, through = await client_as(someone), await client_as(someone, url=wire.url)
    agent_id = (await done(direct.agents.create(agent_name="ends", **SMALL)))["agentId"]
    updates = Updates()
    subscription = await done(through.subscribe_to_agent(agent_id, updates, include=["event"]))
    await done(through.transport.supabase.auth.sign_out())
    wire.cut()
    wire.mend()
    await updates.until(lambda: subscription.closed)
    last = updates.all[-1]
    assert last["type"] == "error"
    assert last["final"]
    assert isinstance(last["error"], AgentLaunchpadError)
    assert last["error"].code == "INVALID_JWT_TOKEN"
    await done((await client_as(someone)).agents.delete(agent_id))


async def rows_of(client: Any, table: str, agent_id: str, order: str) -> list[dict[str, Any]]:
    """The rows of an agent as they are in the table."""
    supabase = client.transport.supabase
    query = supabase.table(table).select("*").eq("agent_id", agent_id)
    for column in order.split(","):
        query = query.order(column)
    answer = await done(query.execute())
    return list(answer.data)
