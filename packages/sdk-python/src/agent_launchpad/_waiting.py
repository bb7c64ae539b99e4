"""Waiting for a status: what to read, what that tells, whether it has come. Pure decisions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, cast

from ._call import Call, agent_not_found, segment
from ._realtime.agent import STATE, is_end
from .errors import AgentLaunchpadError, LaunchpadTimeoutError, error_of
from .models import AgentStatus, AgentStatusReport, KnownAgentStatus
from .rows import AgentUpdate, ErrorUpdate, EventUpdate, StatusUpdate

Until = KnownAgentStatus | Collection[KnownAgentStatus] | Callable[[AgentStatusReport], bool]
Outcome = Literal["reached", "failed", "gone"] | None
PAGE = 1000


def outcome_of(status: str | None, wanted: Collection[str]) -> Outcome:
    """What a status means to someone who waits for others."""
    if status in wanted:
        return "reached"
    if status == "FAILED":
        return "failed"
    return "gone" if status == "DELETED" or (status == "DELETING" and "DELETED" not in wanted) else None


class Waiting:
    """What is known of an agent that is waited for.

    A phase that came and went between two looks at the agent's status is in its history, so both are read. Neither
    costs anything of the caller's limit.
    """

    def __init__(self, agent_id: str, until: Until, after: int | None) -> None:
        """Nothing is known yet.

        Args:
            agent_id: the agent.
            until: what is waited for: a status, several, or a function of a report.
            after: the `seq` after which events count. None: from now on.

        Raises:
            AgentLaunchpadError: `VALIDATION_ERROR` for an id that cannot be one.
        """
        segment(agent_id)
        self.agent_id = agent_id
        self.wanted = (
            frozenset[str]()
            if callable(until)
            else frozenset(status.upper() for status in ([until] if isinstance(until, str) else until))
        )
        self.status: str | None = None
        self.outcome: Outcome = None
        # The status that decided, which may have passed already.
        self.decisive: str | None = None
        # Whether there is history to be read before the present status counts.
        self.behind = False
        self._seq = after
        self._begun = False
        self._told: tuple[str, str] | None = None

    def calls(self) -> list[Call]:
        """What to read next, in this order; the rows are given to `take`."""
        of_agent = {"agent_id": f"eq.{self.agent_id}"}
        if self._begun:
            since = {"seq": f"gt.{self._seq or 0}", "order": "seq", "limit": PAGE}
        else:
            since = {"order": "seq.desc", "limit": 1}
        state = Call("GET", "/agents", query={"id": f"eq.{self.agent_id}", "select": STATE}, rest=True)
        return [state, Call("GET", "/agent_events", query={**of_agent, **since}, rest=True)]

    def take(self, states: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> list[AgentUpdate]:
        """What the rows tell, in order. Sets `outcome` where the waiting has come to its end.

        Raises:
            AgentLaunchpadError: `AGENT_NOT_FOUND` for an agent that is not among the caller's.
        """
        updates = []
        self._told = None
        for state in states:
            if self.status != state["status"].upper():
                self.status = state["status"].upper()
                updates.append(self._status_update(state["updated_at"]))
        if self._begun:
            for event in events:
                updates += self._take_event(event)
            self.behind = len(events) == PAGE
        else:
            updates += self._begin(events)
        if not self.behind:
            self._judge(self.status)
        return updates

    def _begin(self, newest: Sequence[Mapping[str, Any]]) -> list[AgentUpdate]:
        # Every agent has a first event, and events outlive their agent.
        if not newest:
            raise agent_not_found(self.agent_id)
        self._begun = True
        last = newest[0]["seq"]
        self._seq = last if self._seq is None else self._seq
        self.behind = self._seq < last
        return [] if self.behind or not is_end(newest[0]) else self._end(newest[0])

    def _take_event(self, event: Mapping[str, Any]) -> list[AgentUpdate]:
        self._seq = event["seq"]
        self._judge(event["to_phase"])
        told = cast(EventUpdate, {"type": "event", "agentId": self.agent_id, "event": event})
        return [told, *(self._end(event) if is_end(event) else [])]

    def _judge(self, status: str | None) -> None:
        if self.outcome is None:
            self.outcome, self.decisive = outcome_of(status, self.wanted), status

    def _end(self, event: Mapping[str, Any]) -> list[AgentUpdate]:
        self.status = "DELETED"
        self._judge("DELETED")
        return [self._status_update(event["timestamp"])]

    def _status_update(self, timestamp: str) -> AgentUpdate:
        status = cast(AgentStatus, self.status)
        return StatusUpdate(type="status", agentId=self.agent_id, status=status, timestamp=timestamp)

    def trouble(self, error: AgentLaunchpadError) -> list[AgentUpdate]:
        """What a failure that passes tells: each once, until something can be read again."""
        if self._told == (error.code, error.message):
            return []
        self._told = (error.code, error.message)
        return [ErrorUpdate(type="error", agentId=self.agent_id, error=error, final=False)]

    @property
    def deleted(self) -> bool:
        """Whether that it is gone is what was waited for."""
        return self.outcome == "reached" and self.decisive == "DELETED"

    def _sought(self) -> str:
        return " or ".join(sorted(self.wanted)) or "what was waited for"

    def gone(self) -> AgentLaunchpadError:
        """The error of an agent that is deleted meanwhile."""
        message = f"Agent '{self.agent_id}' was deleted before it was {self._sought()}"
        return error_of(message, code="AGENT_NOT_FOUND", status=404)

    def failed(self, report: AgentStatusReport) -> AgentLaunchpadError:
        """The error of an agent that fails meanwhile."""
        return error_of(
            report["message"] or f"The deployment of agent '{self.agent_id}' failed",
            code="DEPLOYMENT_FAILED",
            status=500,
            details={"agentId": self.agent_id, "reason": report["reason"]},
        )

    def too_long(self, timeout: float) -> AgentLaunchpadError:
        """The error of an agent that takes its time."""
        message = f"Agent '{self.agent_id}' was not {self._sought()} within {timeout:g} s"
        return LaunchpadTimeoutError(message, code="TIMEOUT", details={"status": self.status})
