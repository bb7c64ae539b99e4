"""Whether what was waited for has come. Pure decisions."""

from __future__ import annotations

from collections.abc import Callable, Collection

from .errors import error_of
from .models import AgentStatus, AgentStatusReport

Until = AgentStatus | Collection[AgentStatus] | Callable[[AgentStatusReport], bool]


def wanted_statuses(until: AgentStatus | Collection[AgentStatus]) -> frozenset[str]:
    """The statuses that are waited for, in upper case."""
    return frozenset(status.upper() for status in ([until] if isinstance(until, str) else until))


def outcome(agent_id: str, status: str, report: AgentStatusReport | None, until: Until) -> bool:
    """Whether to stop waiting.

    Args:
        agent_id: the agent.
        status: of its row, in upper case; DELETED where there is none.
        report: the report, where one was asked for.
        until: what is waited for.

    Raises:
        AgentLaunchpadError: what is waited for cannot come any more: `DEPLOYMENT_FAILED`, `AGENT_NOT_FOUND`.
    """
    wanted = frozenset[str]() if callable(until) else wanted_statuses(until)
    if report is not None:
        if callable(until):
            if until(report):
                return True
        elif report["status"] in wanted:
            return True
        if report["status"] == "FAILED":
            reason = report["message"] or report["reason"] or "no reason was given"
            raise error_of(
                f"Agent {agent_id} failed: {reason}",
                code="DEPLOYMENT_FAILED",
                status=500,
                details={"reason": report["reason"], "message": report["message"], "status": "FAILED"},
            )
    if status == "DELETED" and "DELETED" in wanted:
        return True
    if status == "DELETED" or (status == "DELETING" and not wanted & {"DELETED", "DELETING"}):
        raise error_of(f"Agent with ID '{agent_id}' not found or access denied", code="AGENT_NOT_FOUND", status=404)
    return False
