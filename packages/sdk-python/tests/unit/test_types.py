"""What a type checker sees. mypy judges this file; each `type: ignore` here is an error that it must find."""

from __future__ import annotations

from typing_extensions import assert_type

from agent_launchpad import (
    AgentLaunchpadClient,
    AgentUpdate,
    AsyncAgentLaunchpadClient,
    AsyncSubscription,
    ConversationUpdate,
    SecurityUpdate,
    Subscription,
    models,
    rows,
)


def of_the_sync_client(client: AgentLaunchpadClient) -> None:
    agent = client.agents.create(agent_name="x", resources={"memory": "1Gi"}, supabase_config={"project_ref": "p"})
    assert_type(agent, models.LaunchedAgent)
    assert_type(agent["agentId"], str)
    assert_type(client.agents.create({"agentName": "x"}), models.LaunchedAgent)
    client.agents.create(description="no name")  # type: ignore[call-overload]
    client.agents.create(agent_name="x", colour="red")  # type: ignore[call-overload]
    client.agents.create(agent_name="x", resources={"memory": []})  # type: ignore[call-overload]
    client.agents.list(status="NOPE")  # type: ignore[arg-type]
    agent["agent_id"]  # type: ignore[typeddict-item]
    assert_type(client.agents.get_status("a")["health"]["overall"], models.HealthState)
    for line in client.agents.tail_logs("a"):
        assert_type(line, models.LogEntry)
    assert_type(client.subscribe_to_agent("a", handle), Subscription)
    assert_type(client.security.subscribe(handle_security, severity="HIGH"), Subscription)
    assert_type(client.messages.subscribe({"swarm_id": "s"}, handle_conversation), Subscription)
    client.messages.subscribe({"conversation_id": "c"}, handle_conversation)  # type: ignore[arg-type]
    client.security.subscribe(handle_conversation)  # type: ignore[arg-type]
    client.agents.wait_until("a", on_progress=handle, after=0, timeout=None)
    assert_type(client.with_options(timeout=None).security.check_rls_policies(), rows.RlsPolicies)


async def of_the_async_client(client: AsyncAgentLaunchpadClient) -> None:
    assert_type(await client.agents.create(agent_name="x"), models.LaunchedAgent)
    async for summary in client.agents.iterate(status="DEPLOYED"):
        assert_type(summary["status"], models.AgentStatus)
    await client.subscribe_to_agent("a", handle)
    assert_type(await client.messages.subscribe({"agent_id": "a"}, handle_conversation), AsyncSubscription)
    async for swarm in client.swarms.iterate():
        assert_type(swarm, rows.Swarm)


def handle(update: AgentUpdate) -> None:
    if update["type"] == "status":
        assert_type(update["status"], models.AgentStatus)
    elif update["type"] == "event":
        assert_type(update["event"]["seq"], int)


def handle_security(update: SecurityUpdate) -> None:
    if update["type"] == "event":
        assert_type(update["event"], models.SecurityEvent)


def handle_conversation(update: ConversationUpdate) -> None:
    if update["type"] == "message":
        assert_type(update["message"], rows.Message)
    elif update["type"] == "reply":
        assert_type(update["reply"].get("text"), str | None)


def test_results_are_plain_dictionaries() -> None:
    assert models.LaunchedAgent.__required_keys__ >= {"agentId", "status"}
    assert isinstance(models.LaunchedAgent(agentId="a"), dict)  # type: ignore[typeddict-item]


def of_characters(client: AgentLaunchpadClient, file: dict[str, object]) -> None:
    client.agents.create(agent_name="x", character={"lore": ["Born in 1815"], "style": {"all": ["calm"]}})
    client.agents.create(agent_name="x", character={"name": "Ada", "twitterProfile": {"username": "ada"}})
    client.agents.create(agent_name="x", character=file)
    client.agents.create({"agentName": "x", "character": {"style": {"all": "calm", "discord": ["short"]}}})


def of_waiting(client: AgentLaunchpadClient) -> None:
    assert_type(client.agents.wait_until("a"), models.AgentStatusReport)
    assert_type(client.agents.wait_until("a", "STOPPED")["url"], str | None)
    assert_type(client.agents.wait_until("a", lambda report: report["status"] == "DEPLOYED"), models.AgentStatusReport)
    assert_type(client.agents.wait_until("a", {"STOPPED", "DELETED"}), models.AgentStatusReport | None)
    client.agents.wait_until("a", "DEPLOYD")  # type: ignore[arg-type]


def of_a_newer_server(client: AgentLaunchpadClient) -> None:
    report = client.agents.get_status("a")
    assert report["status"] != "A_STATUS_OF_TOMORROW"
    assert report["health"]["overall"] != "A_STATE_OF_TOMORROW"
    tomorrow: models.AgentStatus = "A_STATUS_OF_TOMORROW"
    assert tomorrow
