"""What a type checker sees. mypy judges this file; each `type: ignore` here is an error that it must find."""

from __future__ import annotations

from typing_extensions import assert_type

from agent_launchpad import AgentLaunchpadClient, AgentUpdate, AsyncAgentLaunchpadClient, Subscription, models


def of_the_sync_client(client: AgentLaunchpadClient) -> None:
    agent = client.agents.create(agent_name="x", resources={"memory": "1Gi"}, supabase_config={"project_ref": "p"})
    assert_type(agent, models.LaunchedAgent)
    assert_type(agent["agentId"], str)
    assert_type(client.agents.create({"agentName": "x"}), models.LaunchedAgent)
    client.agents.create(description="no name")  # type: ignore[call-overload]
    client.agents.create(agent_name="x", colour="red")  # type: ignore[call-overload]
    client.agents.create(agent_name="x", resources={"memory": 5})  # type: ignore[call-overload]
    client.agents.list(status="NOPE")  # type: ignore[arg-type]
    agent["agent_id"]  # type: ignore[typeddict-item]
    assert_type(client.agents.get_status("a")["health"]["overall"], models.HealthState)
    for line in client.agents.tail_logs("a"):
        assert_type(line, models.LogEntry)
    assert_type(client.subscribe_to_agent("a", handle), Subscription)


async def of_the_async_client(client: AsyncAgentLaunchpadClient) -> None:
    assert_type(await client.agents.create(agent_name="x"), models.LaunchedAgent)
    async for summary in client.agents.iterate(status="DEPLOYED"):
        assert_type(summary["status"], models.AgentStatus)
    await client.subscribe_to_agent("a", handle)


def handle(update: AgentUpdate) -> None:
    if update["type"] == "status":
        assert_type(update["status"], models.AgentStatus)
    elif update["type"] == "event":
        assert_type(update["event"]["seq"], int)


def test_results_are_plain_dictionaries() -> None:
    assert models.LaunchedAgent.__required_keys__ >= {"agentId", "status"}
    assert isinstance(models.LaunchedAgent(agentId="a"), dict)  # type: ignore[typeddict-item]
