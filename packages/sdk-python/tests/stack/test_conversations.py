"""Security events, messages and answers while they are written: each once, to nobody else, across lost connections."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from agent_launchpad import AgentLaunchpadError, AnswerFailedError, models, rows

from ..conftest import done, eventually, some
from .conftest import SMALL, MakeClient, Stack, User
from .test_clients import fits, refusal
from .wire import Wire


class Heard:
    """Collects what a handler is called with, from whichever thread."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self.states: list[str] = []

    def __call__(self, update: Any) -> None:
        self.all.append(update)

    def of(self, kind: str) -> list[Any]:
        """What came of a type."""
        return [update[kind] for update in list(self.all) if update["type"] == kind]

    def ids(self, kind: str) -> list[str]:
        return [row["id"] for row in self.of(kind)]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Returns when it is so; fails with what has come instead."""
        await eventually(enough, lambda: f"{self.states} {self.all}")


@pytest.fixture
def environment() -> dict[str, str]:
    """What points an agent at a model provider that says `Good day to you`, in pieces."""
    text = os.environ.get("LAUNCHPAD_TEST_PROVIDER")
    if not text:
        pytest.skip("no model provider: LAUNCHPAD_TEST_PROVIDER is not set")
    return dict(json.loads(text))


async def talker(client: Any, environment: dict[str, str]) -> str:
    """An agent that answers."""
    launched = await done(
        client.agents.create(agent_name="talker", framework="openai", environment=environment, **SMALL)
    )
    await done(client.agents.wait_until(launched["agentId"]))
    return str(launched["agentId"])


async def deleted(client: Any) -> None:
    """Makes a security event: an agent comes and goes."""
    launched = await done(client.agents.create(agent_name="brief", **SMALL))
    await done(client.agents.delete(launched["agentId"]))


async def test_security_events_come_once_and_only_to_their_user(
    client_as: MakeClient, stack: Stack, wire: Wire
) -> None:
    someone = stack.sign_up()
    direct, through, other = (
        await client_as(someone),
        await client_as(someone, url=wire.url),
        await client_as(stack.sign_up()),
    )
    await deleted(direct)
    heard, others, critical = Heard(), Heard(), Heard()
    subscription = await done(through.security.subscribe(heard, on_connection=heard.states.append))
    await done(other.security.subscribe(others))
    await done(direct.security.subscribe(critical, severity="CRITICAL"))
    before = {event["id"] for event in (await done(direct.security.events(limit=100)))["events"]}
    await deleted(direct)
    await heard.until(lambda: bool(heard.all))
    fits(heard.of("event")[0], models.SecurityEvent)
    wire.cut()
    await deleted(direct)
    wire.mend()
    await deleted(direct)
    await heard.until(lambda: heard.states[-2:] == ["interrupted", "live"])
    await deleted(direct)
    agents = (await done(direct.security.events(limit=100)))["events"]
    truth = {event["id"] for event in agents} - before
    assert len(truth) >= 4
    await heard.until(lambda: truth <= set(heard.ids("event")))
    assert sorted(heard.ids("event")) == sorted(truth), "each once, and what was there is no news"
    assert heard.states == ["connecting", "live", "interrupted", "live"]

    # The second user hears what happens to them, and nothing else.
    mine = (await done(direct.agents.create(agent_name="mine", **SMALL)))["agentId"]
    assert (await refusal(lambda: other.agents.restart(mine))).code == "AGENT_NOT_FOUND"
    await others.until(lambda: bool(others.of("event")))
    assert {event["event_type"] for event in others.of("event")} == {"AGENT_ACCESS_DENIED"}
    assert critical.of("event") == []
    await done(subscription())
    await heard.until(lambda: heard.states[-1] == "closed")
    count = len(heard.all)
    await done(direct.agents.delete(mine))
    assert len(heard.all) == count


async def test_what_is_said_with_an_agent_is_heard(
    client_as: MakeClient, stack: Stack, wire: Wire, environment: dict[str, str]
) -> None:
    someone = stack.sign_up()
    direct, through = await client_as(someone), await client_as(someone, url=wire.url)
    agent_id = await talker(direct, environment)
    heard = Heard()
    subscription = await done(
        through.messages.subscribe({"agent_id": agent_id}, heard, on_connection=heard.states.append)
    )
    answer = await done(direct.messages.ask(agent_id, "Hello"))
    await heard.until(lambda: answer["id"] in heard.ids("message"))
    await heard.until(lambda: "finished" in [reply["event"] for reply in heard.of("reply")])
    replies = [reply for reply in heard.of("reply") if reply["event"] != "step"]
    assert [replies[0]["event"], replies[-1]["event"]] == ["started", "finished"]
    assert "".join(reply.get("text", "") for reply in replies) == answer["content"] == "Good day to you"
    assert {(reply["messageId"], reply["replyTo"], reply["agentId"]) for reply in replies} == {
        (answer["id"], answer["reply_to"], agent_id)
    }
    for reply in heard.of("reply"):
        fits(reply, rows.ReplyProgress)
    for message in heard.of("message"):
        fits(message, rows.Message)
    # The runtime tells its steps behind the answer.
    await heard.until(lambda: "step" in [reply["event"] for reply in heard.of("reply")])
    steps = await done(direct.messages.steps(answer["id"]))
    assert [(step["kind"], step["status"], step["message_id"]) for step in steps] == [("model", "ok", answer["id"])]
    fits(steps[0], rows.AnswerStep)
    assert await done(direct.messages.steps(answer["reply_to"])) == steps

    wire.cut()
    await done(direct.messages.ask(agent_id, "While nobody listens", conversation_id=answer["conversation_id"]))
    wire.mend()
    await done(direct.messages.ask(agent_id, "More or less while the connection comes back"))
    truth = [message["id"] for message in await some(direct.messages.iterate(agent_id=agent_id))]
    assert len(truth) == 6
    await heard.until(lambda: len(heard.ids("message")) >= 6)
    await heard.until(lambda: heard.states[-1] == "live")
    assert sorted(heard.ids("message")) == sorted(truth), "each once"
    conversation = await done(direct.messages.list(conversation_id=answer["conversation_id"]))
    assert [message["sender_kind"] for message in conversation] == ["agent", "user"] * 2
    await done(subscription())
    await done(direct.agents.delete(agent_id))


async def test_what_is_said_in_a_swarm_is_heard(
    client_as: MakeClient, stack: Stack, environment: dict[str, str]
) -> None:
    client = await client_as(stack.sign_up())
    agent_id = await talker(client, environment)
    swarm = await done(client.swarms.create("Team", max_turns=1))
    await done(client.swarms.add_agent(swarm["id"], agent_id))
    heard, elsewhere = Heard(), Heard()
    await done(client.messages.subscribe({"swarm_id": swarm["id"]}, heard))
    await done(client.messages.subscribe({"agent_id": agent_id}, elsewhere))
    said = await done(client.messages.send("Hello all", swarm_id=swarm["id"]))
    await heard.until(lambda: len(heard.ids("message")) == 2)
    assert heard.ids("message")[0] == said["id"]
    assert heard.of("message")[1]["content"] == "Good day to you"
    assert "delta" in [reply["event"] for reply in heard.of("reply")]
    assert elsewhere.all == [], "what an agent says in swarms is heard there"
    assert [each["id"] for each in await some(client.swarms.iterate())] == [swarm["id"]]
    await done(client.agents.delete(agent_id))


async def test_a_second_user_hears_nothing(client_as: MakeClient, user: User, other_user: User) -> None:
    owner, other = await client_as(user), await client_as(other_user)
    agent_id = (await done(owner.agents.create(agent_name="mine", **SMALL)))["agentId"]
    swarm = await done(owner.swarms.create("mine"))
    own = (await done(other.agents.create(agent_name="theirs", **SMALL)))["agentId"]
    heard = Heard()
    for conversation, code in (({"agent_id": agent_id}, "AGENT_NOT_FOUND"), ({"swarm_id": swarm["id"]}, "NOT_FOUND")):
        subscribe = other.messages.subscribe
        assert (await refusal(lambda c=conversation, s=subscribe: s(c, heard))).code == code  # type: ignore[misc]
    assert (await refusal(lambda: other.messages.ask(agent_id, "Hi", on_text=print))).code == "AGENT_NOT_FOUND"
    await done(other.messages.subscribe({"agent_id": own}, heard))
    await done(owner.messages.send("A secret", agent_id=agent_id))
    await done(owner.messages.send("A secret", swarm_id=swarm["id"]))
    own_words = await done(other.messages.send("Mine", agent_id=own))
    await heard.until(lambda: own_words["id"] in heard.ids("message"))
    assert "A secret" not in str(heard.all)
    assert await done(other.messages.list(agent_id=agent_id)) == []
    for client, agent in ((owner, agent_id), (other, own)):
        await done(client.agents.delete(agent))
    await done(owner.swarms.delete(swarm["id"]))


async def test_an_answer_is_told_while_it_is_written(
    client_as: MakeClient, stack: Stack, environment: dict[str, str], kind: str
) -> None:
    client = await client_as(stack.sign_up())
    agent_id = await talker(client, environment)
    pieces: list[tuple[str, bool]] = []

    def note(piece: str, restarted: bool) -> None:
        pieces.append((piece, restarted))

    async def note_later(piece: str, restarted: bool) -> None:
        await asyncio.sleep(0)
        note(piece, restarted)

    on_text = note if kind == "sync" else note_later
    answer = await done(client.messages.ask(agent_id, "Hello", on_text=on_text))
    assert answer["content"] == "Good day to you"
    assert "".join(piece for piece, _ in pieces) == "Good day to you"
    assert {restarted for _, restarted in pieces} == {False}
    again = await done(client.messages.ask(agent_id, "And?", conversation_id=answer["conversation_id"]))
    assert again["conversation_id"] == answer["conversation_id"]

    def fail(piece: str, restarted: bool) -> None:
        raise ValueError("a mistake of the caller")

    with pytest.raises(ValueError, match="a mistake of the caller"):
        await done(client.messages.ask(agent_id, "Hello", on_text=fail))
    await done(client.agents.delete(agent_id))


async def test_an_agent_without_a_model_says_why_it_cannot_answer(client_as: MakeClient, stack: Stack) -> None:
    client = await client_as(stack.sign_up())
    agent_id = (await done(client.agents.create(agent_name="mute", **SMALL)))["agentId"]
    await done(client.agents.wait_until(agent_id))
    for options in ({}, {"on_text": print}):
        with pytest.raises(AnswerFailedError, match="key") as caught:
            await done(client.messages.ask(agent_id, "Hello", **options))
        assert (caught.value.code, caught.value.status) == ("ANSWER_FAILED", 0)
        assert caught.value.details["code"] not in (None, "ANSWER_FAILED")
    await done(client.agents.delete(agent_id))


async def test_every_event_of_a_launch_is_told(client_as: MakeClient, stack: Stack, wire: Wire) -> None:
    someone = stack.sign_up()
    direct, through = await client_as(someone), await client_as(someone, url=wire.url, max_retries=0)
    agent_id = (await done(direct.agents.create(agent_name="told", **SMALL)))["agentId"]
    updates: list[Any] = []
    cut: list[bool] = []

    def note(update: Any) -> None:
        updates.append(update)
        if not cut:
            cut.append(True)
            wire.cut()
        elif update["type"] == "error":
            wire.mend()

    report = await done(through.agents.wait_until(agent_id, after=0, on_progress=note))
    assert report["status"] == "DEPLOYED"
    events = [update["event"] for update in updates if update["type"] == "event"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "DEPLOYED" in [event["to_phase"] for event in events]
    [error] = [update["error"] for update in updates if update["type"] == "error"]
    assert isinstance(error, AgentLaunchpadError)
    assert error.code == "SUPABASE_CONNECTION_ERROR"
    states: list[str] = []
    await some(direct.agents.tail_logs(agent_id, lines=1, since="1h", on_connection=states.append), 1)
    await done(direct.agents.delete(agent_id))
    assert [event["to_phase"] for event in events] == await phases(direct, agent_id, len(events))


async def phases(client: Any, agent_id: str, count: int) -> list[Any]:
    """The first phases of an agent's history, which outlives it."""
    seen: list[Any] = []
    subscription = await done(
        client.subscribe_to_agent(agent_id, lambda update: seen.append(update), include=["event"], after=0)
    )
    await eventually(lambda: len(seen) >= count, lambda: str(seen))
    await done(subscription())
    return [update["event"]["to_phase"] for update in seen[:count]]
