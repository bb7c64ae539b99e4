"""Agents: launch, read, change, watch, delete."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from typing_extensions import Unpack

from .. import _operations as op
from .._call import Call, callback_of, given, renamed, secrets_query, segment
from .._realtime.cursor import log_entry
from .._waiting import Waiting
from ..errors import AgentLaunchpadError, passes
from ..models import (
    Agent,
    AgentBundle,
    AgentList,
    AgentLogs,
    AgentMetrics,
    AgentMetricsQuery,
    AgentStatusReport,
    AgentSummary,
    DeletedAgent,
    DeployedAgent,
    ImportedAgent,
    InitiatedChange,
    KnownAgentStatus,
    KnownLogLevel,
    LaunchAgentArguments,
    LaunchAgentRequest,
    LaunchedAgent,
    ListAgentsQuery,
    LogEntry,
    PageQuery,
    RestartedAgent,
    Revision,
    RevisionList,
    RolledBackAgent,
    ScaledAgent,
    ScalingPolicy,
    StoppedAgents,
    UpdateAgentArguments,
    UpdateAgentRequest,
    UpdatedAgent,
)
from ..rows import AgentUpdate, ConnectionState, Secret
from ._platform import call_back, now, sleep
from .usage import AsyncAgentKeysApi

if TYPE_CHECKING:
    from .client import AsyncAgentLaunchpadClient

PAGE = 100


class AsyncAgentsApi:
    """The caller's agents."""

    def __init__(self, client: AsyncAgentLaunchpadClient) -> None:
        self._client = client
        self._request = client.transport.request
        self.keys = AsyncAgentKeysApi(client)

    @overload
    async def create(
        self, definition: LaunchAgentRequest, /, *, idempotency_key: str | None = None
    ) -> LaunchedAgent: ...
    @overload
    async def create(
        self, /, *, idempotency_key: str | None = None, **fields: Unpack[LaunchAgentArguments]
    ) -> LaunchedAgent: ...
    async def create(
        self,
        definition: LaunchAgentRequest | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> LaunchedAgent:
        """Creates an agent and deploys it; answers at once with QUEUED.

        Args:
            definition: the body as the API takes it, in place of keyword arguments.
            idempotency_key: the same key again answers what the first call answered. Left out: one is made.
            fields: the agent, such as `agent_name`, `character`, `resources`, `environment`.
        """
        body: dict[str, Any] = {**cast(dict[str, Any], definition or {}), **renamed(fields, op.LAUNCH_AGENT_ARGUMENTS)}
        call = op.LAUNCH_AGENT.call(body=body, idempotency_key=idempotency_key)
        return cast(LaunchedAgent, await self._request(call))

    async def list(self, **query: Unpack[ListAgentsQuery]) -> AgentList:
        """One page of agents, newest first. `iterate` gives all."""
        return cast(AgentList, await self._request(op.LIST_AGENTS.call(query=given(**query))))

    def iterate(
        self, *, status: KnownAgentStatus | None = None, platform: str | None = None
    ) -> AsyncIterator[AgentSummary]:
        """Every agent, newest first, page by page; none is skipped or repeated where others come or go meanwhile."""
        call = op.LIST_AGENTS.call(query=given(limit=PAGE, status=status, platform=platform))
        return self._client.transport.pages(call, "agents")

    async def get(self, agent_id: str) -> Agent:
        """The agent's definition and state; its secrets by name only."""
        return cast(Agent, await self._request(op.GET_AGENT.call(agent_id)))

    async def get_status(self, agent_id: str) -> AgentStatusReport:
        """The agent's phase, address and health."""
        return cast(AgentStatusReport, await self._request(op.GET_AGENT_STATUS.call(agent_id)))

    @overload
    async def update(self, agent_id: str, changes: UpdateAgentRequest, /) -> UpdatedAgent: ...
    @overload
    async def update(self, agent_id: str, /, **fields: Unpack[UpdateAgentArguments]) -> UpdatedAgent: ...
    async def update(self, agent_id: str, changes: UpdateAgentRequest | None = None, /, **fields: Any) -> UpdatedAgent:
        """Changes an agent: a field left out stays, None clears one; objects are merged part by part."""
        body = {**(changes or {}), **renamed(fields, op.UPDATE_AGENT_ARGUMENTS)}
        return cast(UpdatedAgent, await self._request(op.UPDATE_AGENT.call(agent_id, body=body)))

    async def delete(self, agent_id: str) -> DeletedAgent:
        """Deletes an agent. Repeated while it is being deleted, it answers the same."""
        return cast(DeletedAgent, await self._request(op.DELETE_AGENT.call(agent_id)))

    async def deploy(self, agent_id: str, *, idempotency_key: str | None = None) -> DeployedAgent:
        """Deploys a definition, or again after STOPPED or FAILED."""
        call = op.DEPLOY_AGENT.call(agent_id, idempotency_key=idempotency_key)
        return cast(DeployedAgent, await self._request(call))

    async def scale(
        self,
        agent_id: str,
        replicas: int,
        *,
        scaling_policy: ScalingPolicy | None = None,
        idempotency_key: str | None = None,
    ) -> ScaledAgent:
        """Sets the number of replicas and, where given, the scaling policy."""
        body = given(replicas=replicas, scaling_policy=scaling_policy)
        call = op.SCALE_AGENT.call(agent_id, body=body, idempotency_key=idempotency_key)
        return cast(ScaledAgent, await self._request(call))

    async def restart(self, agent_id: str, *, idempotency_key: str | None = None) -> RestartedAgent:
        """Replaces every replica, without a gap."""
        call = op.RESTART_AGENT.call(agent_id, idempotency_key=idempotency_key)
        return cast(RestartedAgent, await self._request(call))

    async def stop(self, agent_id: str, *, idempotency_key: str | None = None) -> InitiatedChange:
        """Stops every replica; `start` starts them again."""
        call = op.STOP_AGENT.call(agent_id, idempotency_key=idempotency_key)
        return cast(InitiatedChange, await self._request(call))

    async def stop_all(self, *, idempotency_key: str | None = None) -> StoppedAgents:
        """Stops every agent of the caller: the kill switch."""
        call = op.STOP_ALL_AGENTS.call(idempotency_key=idempotency_key)
        return cast(StoppedAgents, await self._request(call))

    async def start(self, agent_id: str, *, idempotency_key: str | None = None) -> InitiatedChange:
        """Starts a stopped agent."""
        call = op.START_AGENT.call(agent_id, idempotency_key=idempotency_key)
        return cast(InitiatedChange, await self._request(call))

    async def sleep(self, agent_id: str, *, idempotency_key: str | None = None) -> InitiatedChange:
        """Ends every replica until a request, a message or `wake` wakes the agent."""
        call = op.SLEEP_AGENT.call(agent_id, idempotency_key=idempotency_key)
        return cast(InitiatedChange, await self._request(call))

    async def wake(self, agent_id: str, *, idempotency_key: str | None = None) -> InitiatedChange:
        """Wakes an agent that is asleep."""
        call = op.WAKE_AGENT.call(agent_id, idempotency_key=idempotency_key)
        return cast(InitiatedChange, await self._request(call))

    async def rollback(
        self, agent_id: str, revision: int | None = None, *, idempotency_key: str | None = None
    ) -> RolledBackAgent:
        """Runs an earlier revision again, as a new one. Left out: the one before the present."""
        body = given(revision=revision)
        call = op.ROLLBACK_AGENT.call(agent_id, body=body, idempotency_key=idempotency_key)
        return cast(RolledBackAgent, await self._request(call))

    async def revisions(self, agent_id: str, **query: Unpack[PageQuery]) -> RevisionList:
        """One page of what the agent ran with, newest first."""
        call = op.LIST_AGENT_REVISIONS.call(agent_id, query=given(**query))
        return cast(RevisionList, await self._request(call))

    def iterate_revisions(self, agent_id: str) -> AsyncIterator[Revision]:
        """Every revision, newest first, page by page."""
        call = op.LIST_AGENT_REVISIONS.call(agent_id, query={"limit": PAGE})
        return self._client.transport.pages(call, "revisions")

    async def export(self, agent_id: str) -> AgentBundle:
        """The agent as one document: definition, revisions, conversations; secrets by name only."""
        return cast(AgentBundle, await self._request(op.EXPORT_AGENT.call(agent_id)))

    async def import_bundle(self, bundle: AgentBundle, *, idempotency_key: str | None = None) -> ImportedAgent:
        """Makes a new agent, not deployed, of what `export` gave."""
        call = op.IMPORT_AGENT.call(body=bundle, idempotency_key=idempotency_key)
        return cast(ImportedAgent, await self._request(call))

    async def get_metrics(self, agent_id: str, **query: Unpack[AgentMetricsQuery]) -> AgentMetrics:
        """The newest figures over all replicas; with `range` or `resolution` also what was."""
        call = op.GET_AGENT_METRICS.call(agent_id, query=given(**query))
        return cast(AgentMetrics, await self._request(call))

    async def get_logs(
        self,
        agent_id: str,
        *,
        lines: int | None = None,
        since: str | None = None,
        level: KnownLogLevel | None = None,
        text: str | None = None,
        after: str | None = None,
    ) -> AgentLogs:
        """The newest log lines, oldest first.

        Args:
            agent_id: the agent.
            lines: how many (1 to 1000; 100 where left out).
            since: only of this last span of time, such as `1h`.
            level: only of this level.
            text: only lines whose message has this text.
            after: `nextCursor` of the page before: the lines older than it.
        """
        query = given(lines=lines, since=since, level=level, text=text, after=after)
        return cast(AgentLogs, await self._request(op.GET_AGENT_LOGS.call(agent_id, query=query)))

    async def tail_logs(
        self,
        agent_id: str,
        *,
        lines: int | None = None,
        since: str | None = None,
        level: KnownLogLevel | None = None,
        text: str | None = None,
        on_connection: Callable[[ConnectionState], object] | None = None,
    ) -> AsyncIterator[LogEntry]:
        """The newest lines and then each new one, for as long as it is asked for and the agent is there.

        Args:
            agent_id: the agent.
            lines: how many of those there are (1 to 1000; 100 where left out).
            since: of those, only of this last span of time, such as `1h`.
            level: only of this level.
            text: only lines whose message has this text, in any case.
            on_connection: called with each state of the connection.
        """
        async with self._client.subscriptions.tail(agent_id, on_connection) as fresh:
            # The subscription has begun before what was is read: a line between the two comes twice, not never.
            before = (await self.get_logs(agent_id, lines=lines, since=since, level=level, text=text))["logs"]
            shown = set()
            for entry in before:
                shown.add(entry["id"])
                yield entry
            async for line in fresh:
                if line["id"] in shown or (level is not None and line["level"] != level.upper()):
                    continue
                if text is None or text.lower() in line["message"].lower():
                    yield log_entry(line)

    async def list_secrets(self, agent_id: str) -> builtins.list[Secret]:
        """Names and versions of an agent's secrets, by name.

        `update(agent_id, environment={…})` sets them, and removes those set to None.
        """
        segment(agent_id)
        call = Call("GET", "/agent_secrets", query=secrets_query(agent_id=f"eq.{agent_id}"), rest=True)
        return cast("builtins.list[Secret]", await self._request(call))

    @overload
    async def wait_until(  # type: ignore[overload-overlap]
        self,
        agent_id: str,
        until: Literal["DELETED"],
        *,
        timeout: float | None = 300.0,
        on_progress: Callable[[AgentUpdate], object] | None = None,
        after: int | None = None,
    ) -> None: ...
    @overload
    async def wait_until(
        self,
        agent_id: str,
        until: KnownAgentStatus | Callable[[AgentStatusReport], bool] = "DEPLOYED",
        *,
        timeout: float | None = 300.0,
        on_progress: Callable[[AgentUpdate], object] | None = None,
        after: int | None = None,
    ) -> AgentStatusReport: ...
    @overload
    async def wait_until(
        self,
        agent_id: str,
        until: Collection[KnownAgentStatus],
        *,
        timeout: float | None = 300.0,
        on_progress: Callable[[AgentUpdate], object] | None = None,
        after: int | None = None,
    ) -> AgentStatusReport | None: ...
    async def wait_until(
        self,
        agent_id: str,
        until: KnownAgentStatus | Collection[KnownAgentStatus] | Callable[[AgentStatusReport], bool] = "DEPLOYED",
        *,
        timeout: float | None = 300.0,
        on_progress: Callable[[AgentUpdate], object] | None = None,
        after: int | None = None,
    ) -> AgentStatusReport | None:
        """Waits until the agent has a status, or until a report satisfies a function.

        Reads the agent's row and its history, which is not counted as the API's requests are, and asks for a report at
        the end.

        Args:
            agent_id: the agent.
            until: a status, several, or a function of a report. `DELETED`: until it is gone.
            timeout: seconds; None: as long as it takes.
            on_progress: called with each status, event and interruption on the way, as `AgentUpdate`.
            after: events after this `seq` count and are told too: 0 for an agent just created. Left out: from now on.

        Returns:
            The report; None where the agent is gone and `DELETED` was waited for.

        Raises:
            LaunchpadTimeoutError: not in time.
            AgentLaunchpadError: `DEPLOYMENT_FAILED` with the reason; `AGENT_NOT_FOUND`.
        """
        if on_progress is not None:
            callback_of("on_progress", on_progress)
        waiting = Waiting(agent_id, until, after)
        end = None if timeout is None else now() + timeout
        pause = 0.1
        while True:
            report: AgentStatusReport | None = None
            updates: builtins.list[AgentUpdate] = []
            failed = False
            try:
                states, events = [await self._request(call) for call in waiting.calls()]
                updates = waiting.take(states, events)
                if callable(until) and not waiting.behind and waiting.outcome != "gone":
                    report = await self.get_status(agent_id)
            except AgentLaunchpadError as error:
                if not passes(error):
                    raise
                failed = True
                updates += waiting.trouble(error)
            if on_progress is not None:
                for update in updates:
                    await call_back(on_progress, update)
            if report is not None and callable(until) and until(report):
                return report
            if waiting.outcome is not None:
                return await self._waited(waiting)
            left = None if end is None else end - now()
            if left is not None and left <= 0:
                raise waiting.too_long(timeout or 0)
            if failed or not waiting.behind:
                await sleep(pause if left is None else min(pause, left))
                # A function asks the API for each report, and its limit is twenty requests a minute.
                pause = min(pause * 1.5, 4.0 if callable(until) else 1.0)

    async def _waited(self, waiting: Waiting) -> AgentStatusReport | None:
        if waiting.outcome == "gone":
            raise waiting.gone()
        if waiting.deleted:
            return None
        report = await self.get_status(waiting.agent_id)
        if waiting.outcome == "failed":
            raise waiting.failed(report)
        return report
