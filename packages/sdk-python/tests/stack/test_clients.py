"""Every method against a running stack, as both clients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from agent_launchpad import (
    AgentLaunchpadError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    models,
    rows,
)
from agent_launchpad._call import Call

from ..conftest import done, some
from .conftest import SMALL, MakeClient, Stack, User, forged


async def test_an_agents_whole_life(client_as: MakeClient, user: User) -> None:
    client = await client_as(user)
    agents = client.agents
    launched = await done(agents.create(agent_name="life", description="one", **SMALL))
    agent_id = launched["agentId"]
    fits(launched, models.LaunchedAgent)
    report = await done(agents.wait_until(agent_id))
    assert report["status"] == "DEPLOYED"
    fits(report, models.AgentStatusReport)
    fits(await done(agents.get_status(agent_id)), models.AgentStatusReport)
    fits(await done(agents.get(agent_id)), models.Agent)

    page = await done(agents.list(limit=100))
    fits(page, models.AgentList)
    assert agent_id in [agent["agentId"] for agent in page["agents"]]
    assert agent_id in [agent["agentId"] for agent in await some(agents.iterate())]

    updated = await done(agents.update(agent_id, character={"name": "Grace"}))
    fits(updated, models.UpdatedAgent)
    assert updated["changes_applied"] == {"character": True}
    await done(agents.wait_until(agent_id))
    scaled = await done(agents.scale(agent_id, 2, scaling_policy={"min_replicas": 1, "max_replicas": 3}))
    fits(scaled, models.ScaledAgent)
    ready = await done(agents.wait_until(agent_id, lambda report: report["health"]["kubernetes"]["readyReplicas"] == 2))
    assert ready["health"]["kubernetes"]["readyReplicas"] == 2
    fits(await done(agents.restart(agent_id)), models.RestartedAgent)
    await done(agents.wait_until(agent_id))
    rolled = await done(agents.rollback(agent_id, 1))
    fits(rolled, models.RolledBackAgent)
    assert rolled["rolledBackTo"] == 1
    await done(agents.wait_until(agent_id))
    revisions = await done(agents.revisions(agent_id))
    fits(revisions, models.RevisionList)
    walked = await some(agents.iterate_revisions(agent_id))
    assert [r["revision"] for r in walked] == [r["revision"] for r in revisions["revisions"]]

    fits(await done(agents.get_metrics(agent_id, range="1h")), models.AgentMetrics)
    logs = await done(agents.get_logs(agent_id, lines=5, level="INFO"))
    fits(logs, models.AgentLogs)
    [line] = await some(agents.tail_logs(agent_id, level="INFO", text="LISTENING"), 1)
    fits(line, models.LogEntry)
    assert line in (await done(agents.get_logs(agent_id, lines=1000)))["logs"]

    await done(agents.update(agent_id, environment={"A_KEY": "x"}))
    [secret] = await done(agents.list_secrets(agent_id))
    fits(secret, rows.Secret)
    assert (secret["name"], secret["version"]) == ("A_KEY", 1)
    await done(agents.wait_until(agent_id))

    scan = await done(client.security.scan(agent_id))
    fits(scan, models.SecurityScan)

    bundle = await done(agents.export(agent_id))
    imported = await done(agents.import_bundle(bundle))
    assert (await done(agents.get(imported["agentId"])))["status"] == "IDLE"
    fits(await done(agents.deploy(imported["agentId"])), models.DeployedAgent)
    await done(agents.wait_until(imported["agentId"]))

    fits(await done(agents.stop(agent_id)), models.InitiatedChange)
    await done(agents.wait_until(agent_id, "STOPPED"))
    fits(await done(agents.start(agent_id)), models.InitiatedChange)
    await done(agents.wait_until(agent_id, ["DEPLOYED", "FAILED"]))
    stopped = await done(agents.stop_all())
    fits(stopped, models.StoppedAgents)
    assert {agent_id, imported["agentId"]} <= set(stopped["agents"])

    for gone in (agent_id, imported["agentId"]):
        fits(await done(agents.delete(gone)), models.DeletedAgent)
        assert await done(agents.wait_until(gone, "DELETED")) is None
    with pytest.raises(NotFoundError):
        await done(agents.get_status(agent_id))
    assert client.rate_limit.limit > 0


async def test_the_account_the_system_and_security(client_as: MakeClient, stack: Stack) -> None:
    someone = stack.sign_up()
    client = await client_as(someone)
    fits(await done(client.health.get()), models.Health)
    assert (await done(client.health.supabase()))["supabase_health"]["database"] == "HEALTHY"
    fits(await done(client.system.get_metrics()), models.SystemMetrics)
    fits(await done(client.security.events(limit=5)), models.SecurityEvents)
    assert (await done(client.security.check_rls_policies()))["user_isolation"] == "ACTIVE"

    profile = await done(client.users.update_profile(username="ada", notification_preferences={"email": False}))
    fits(profile, models.UserProfile)
    assert (await done(client.users.get_profile()))["profile"]["username"] == "ada"
    fits(await done(client.users.set_secret("MODEL_KEY", "one")), rows.StoredSecret)
    assert (await done(client.users.set_secret("MODEL_KEY", "two")))["version"] == 2
    [secret] = await done(client.users.list_secrets())
    fits(secret, rows.Secret)
    await done(client.users.remove_secret("MODEL_KEY"))
    assert (await refusal(lambda: client.users.remove_secret("MODEL_KEY"))).code == "NOT_FOUND"
    fits(await done(client.users.export()), models.UserExport)
    fits(await done(client.users.delete_account(someone.email)), models.AccountDeleted)


async def test_swarms_and_messages(client_as: MakeClient, user: User) -> None:
    client = await client_as(user)
    swarms, messages = client.swarms, client.messages
    agent_id = (await done(client.agents.create(agent_name="talker", **SMALL)))["agentId"]
    swarm = await done(swarms.create("Team", reply_mode="addressed", max_turns=1))
    fits(swarm, rows.Swarm)
    assert (await done(swarms.update(swarm["id"], description="Two")))["description"] == "Two"
    assert (await done(swarms.get(swarm["id"])))["description"] == "Two"
    assert swarm["id"] in [each["id"] for each in await done(swarms.list())]
    fits(await done(swarms.add_agent(swarm["id"], agent_id)), rows.SwarmMember)
    assert [member["agent_id"] for member in await done(swarms.agents(swarm["id"]))] == [agent_id]

    said = await done(messages.send("Hello all", swarm_id=swarm["id"]))
    fits(said, rows.Message)
    assert [message["id"] for message in await done(messages.list(swarm_id=swarm["id"]))] == [said["id"]]
    assert [message["id"] for message in await some(messages.iterate(swarm_id=swarm["id"]))] == [said["id"]]
    await done(messages.delete(said["id"]))
    assert await done(messages.list(swarm_id=swarm["id"])) == []

    await done(swarms.remove_agent(swarm["id"], agent_id))
    await done(swarms.delete(swarm["id"]))
    with pytest.raises(NotFoundError):
        await done(swarms.get(swarm["id"]))
    await done(client.agents.delete(agent_id))


async def test_what_is_wrong_is_named_by_field(client_as: MakeClient, user: User) -> None:
    client = await client_as(user)
    error = await refusal(lambda: client.agents.create(agent_name=""))
    assert (error.code, error.status, list(error.details)) == ("VALIDATION_ERROR", 400, ["agentName"])
    assert error.request_id
    of_swarm = await refusal(lambda: client.swarms.create(""))
    assert (of_swarm.code, of_swarm.status, list(of_swarm.details)) == ("VALIDATION_ERROR", 400, ["name"])


async def test_others_see_nothing(client_as: MakeClient, user: User, other_user: User) -> None:
    owner, other = await client_as(user), await client_as(other_user)
    agent_id = (await done(owner.agents.create(agent_name="mine", **SMALL)))["agentId"]
    swarm = await done(owner.swarms.create("mine"))
    verbs = ("get", "get_status", "restart", "stop", "delete", "get_logs", "get_metrics", "revisions", "wait_until")
    for verb in verbs:
        error = await refusal(partial(getattr(other.agents, verb), agent_id))
        assert (error.code, type(error)) == ("AGENT_NOT_FOUND", NotFoundError), verb
    assert await done(other.agents.list()) | {"user_id": None} == {
        "agents": [],
        "total": 0,
        "limit": 20,
        "offset": 0,
        "nextCursor": None,
        "user_id": None,
    }
    assert (await refusal(lambda: other.security.scan(agent_id))).code == "AGENT_NOT_FOUND"
    assert (await refusal(lambda: other.subscribe_to_agent(agent_id, print))).code == "AGENT_NOT_FOUND"
    assert (await refusal(lambda: some(other.agents.tail_logs(agent_id)))).code == "AGENT_NOT_FOUND"
    for call in (other.swarms.get, other.swarms.delete):
        assert (await refusal(partial(call, swarm["id"]))).code == "NOT_FOUND"
    assert (await refusal(lambda: other.messages.send("hi", swarm_id=swarm["id"]))).code == "NOT_FOUND"
    assert (await refusal(lambda: other.messages.send("hi", agent_id=agent_id))).code == "AGENT_NOT_FOUND"
    assert await done(other.swarms.list()) == []
    await done(owner.swarms.delete(swarm["id"]))
    await done(owner.agents.delete(agent_id))


@pytest.mark.parametrize("caller", ["nobody", "forged"])
async def test_without_a_valid_token_nothing_is_answered(client_as: MakeClient, user: User, caller: str) -> None:
    owner = await client_as(user)
    agent_id = (await done(owner.agents.create(agent_name="mine", **SMALL)))["agentId"]
    client = await client_as(None if caller == "nobody" else forged(user))
    calls: list[Callable[[], Any]] = [
        lambda: client.agents.create(agent_name="x"),
        lambda: client.agents.list(),
        lambda: client.agents.get_status(agent_id),
        lambda: client.agents.delete(agent_id),
        lambda: client.agents.wait_until(agent_id),
        lambda: client.health.get(),
        lambda: client.users.get_profile(),
        lambda: client.security.events(),
        lambda: client.swarms.create("x"),
        lambda: client.messages.list(),
        lambda: client.subscribe_to_agent(agent_id, print),
        lambda: some(client.agents.tail_logs(agent_id)),
    ]
    calls += [
        lambda: client.security.subscribe(print),
        lambda: client.messages.subscribe({"agent_id": agent_id}, print),
        lambda: client.messages.ask(agent_id, "Hello", on_text=print),
    ]
    status = 0 if caller == "nobody" else 401  # nobody is told before any request
    for index, call in enumerate(calls):
        error = await refusal(call)
        assert (error.code, error.status, type(error)) == ("INVALID_JWT_TOKEN", status, AuthenticationError), index
    await done(owner.agents.delete(agent_id))


async def test_signing_out_ends_what_the_client_may(client_as: MakeClient, stack: Stack) -> None:
    client = await client_as(stack.sign_up())
    assert (await done(client.agents.list()))["total"] == 0
    await done(client.transport.supabase.auth.sign_out())
    assert (await refusal(lambda: client.agents.list())).code == "INVALID_JWT_TOKEN"


class LosesAnswers:
    """Lets a number of requests reach the server and loses what it answers."""

    def __init__(self, lost: int) -> None:
        self.left = lost
        self.statuses: list[int] = []

    def take(self, response: httpx.Response) -> httpx.Response:
        self.statuses.append(response.status_code)
        if self.left > 0:
            self.left -= 1
            raise httpx.ReadError("the connection was cut")
        return response


class LossySync(LosesAnswers, httpx.HTTPTransport):
    def __init__(self, lost: int) -> None:
        httpx.HTTPTransport.__init__(self)
        LosesAnswers.__init__(self, lost)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.take(super().handle_request(request))


class LossyAsync(LosesAnswers, httpx.AsyncHTTPTransport):
    def __init__(self, lost: int) -> None:
        httpx.AsyncHTTPTransport.__init__(self)
        LosesAnswers.__init__(self, lost)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.take(await super().handle_async_request(request))


async def test_a_launch_whose_answer_was_lost_is_one_launch(client_as: MakeClient, stack: Stack, kind: str) -> None:
    lossy = LossySync(2) if kind == "sync" else LossyAsync(2)
    http: Any = httpx.Client(transport=lossy) if isinstance(lossy, LossySync) else httpx.AsyncClient(transport=lossy)
    client = await client_as(stack.sign_up(), http_client=http)
    launched = await done(client.agents.create(agent_name="once", **SMALL))
    assert lossy.statuses == [201, 201, 201], "the server answered three times"
    page = await done(client.agents.list())
    assert [agent["agentId"] for agent in page["agents"]] == [launched["agentId"]]
    deleted = await done(client.agents.delete(launched["agentId"]))
    assert deleted["status"] == "DELETING"
    await done(http.close() if kind == "sync" else http.aclose())


async def test_the_same_key_for_something_else_is_a_conflict(client_as: MakeClient, stack: Stack) -> None:
    client = await client_as(stack.sign_up())
    key = "python-key"
    first = await done(client.agents.create(agent_name="a", idempotency_key=key, **SMALL))
    again = await done(client.agents.create(agent_name="a", idempotency_key=key, **SMALL))
    assert again == first
    error = await refusal(lambda: client.agents.create(agent_name="b", idempotency_key=key))
    assert (error.code, type(error)) == ("IDEMPOTENCY_CONFLICT", ConflictError)
    await done(client.agents.delete(first["agentId"]))


async def refusal(call: Callable[[], Any]) -> AgentLaunchpadError:
    """The error that a call ends with."""
    with pytest.raises(AgentLaunchpadError) as caught:
        await done(call())
    return caught.value


def fits(value: Any, kind: Any) -> None:
    """Fails where an answer lacks what its model promises."""
    TypeAdapter(kind).validate_python(value, strict=True)


async def test_walks_through_the_real_tables_neither_skip_nor_repeat(client_as: MakeClient, user: User) -> None:
    client = await client_as(user)
    swarm = await done(client.swarms.create("talk"))
    for word in range(5):
        await done(client.messages.send(str(word), swarm_id=swarm["id"]))
    said = [message["content"] for message in await some(client.messages.iterate(swarm_id=swarm["id"]))]
    assert said == ["4", "3", "2", "1", "0"]
    call = Call("GET", "/messages", query={"swarm_id": f"eq.{swarm['id']}", "limit": 2}, rest=True)
    rows = await some(client.transport.rows(call))
    assert [row["content"] for row in rows] == said
    await done(client.swarms.delete(swarm["id"]))
    assert swarm["id"] not in [other["id"] for other in await some(client.swarms.iterate())]
