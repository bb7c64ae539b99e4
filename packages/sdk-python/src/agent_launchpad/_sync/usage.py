# Generated from _async/usage.py by tools/generate.py: do not edit.

"""Who may call an agent, what that costs, and what it may cost: keys, usage, budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from typing_extensions import Unpack

from .. import _operations as op
from .._call import given
from ..models import (
    AgentKey,
    AgentKeyList,
    Budget,
    BudgetDeleted,
    BudgetList,
    CreateAgentKeyRequest,
    CreatedAgentKey,
    PageQuery,
    PutBudgetRequest,
    UsageReport,
    UsageReportItem,
)

if TYPE_CHECKING:
    from .client import AgentLaunchpadClient

UsageGroup = Literal["day", "agent", "model", "source"]


PAGE = 100


def usage_query(
    from_day: str | None, to_day: str | None, group_by: UsageGroup | Sequence[UsageGroup] | None
) -> dict[str, str]:
    """The query that says which usage, and how it is grouped."""
    groups = group_by if group_by is None or isinstance(group_by, str) else ",".join(group_by)
    return {**given(to=to_day, groupBy=groups), **given(**{"from": from_day})}


class AgentKeysApi:
    """Keys that call an agent at its address."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._transport = client.transport
        self._request = client.transport.request

    def create(
        self,
        agent_id: str,
        name: str,
        *,
        scopes: Sequence[Literal["invoke", "read"]] | None = None,
        origins: Sequence[str] | None = None,
        expires_at: str | None = None,
    ) -> CreatedAgentKey:
        """Creates a key. It is in this answer and nowhere else.

        The call is not repeated after a lost connection: list the keys, and revoke the one nobody holds.

        Args:
            agent_id: the agent.
            name: what the key is for.
            scopes: `invoke` (send messages, the default), `read` (its health), or both.
            origins: web pages that may use it, such as `https://app.example.com`.
            expires_at: when it ends, as an ISO 8601 time; left out: never.

        Raises:
            InvalidRequestError: a field is wrong.
            NotFoundError: the caller has no such agent.
            LimitError: the agent has 20 keys.
        """
        body = given(
            name=name,
            scopes=None if scopes is None else list(scopes),
            origins=None if origins is None else list(origins),
            expiresAt=expires_at,
        )
        call = op.CREATE_AGENT_KEY.call(agent_id, body=cast(CreateAgentKeyRequest, body))
        return cast(CreatedAgentKey, self._request(replace(call, repeatable=False)))

    def list(self, agent_id: str, **query: Unpack[PageQuery]) -> AgentKeyList:
        """One page of an agent's keys, newest first, without the keys themselves."""
        return cast(AgentKeyList, self._request(op.LIST_AGENT_KEYS.call(agent_id, query=given(**query))))

    def iterate(self, agent_id: str) -> Iterator[AgentKey]:
        """Every key of an agent, newest first, page by page."""
        call = op.LIST_AGENT_KEYS.call(agent_id, query={"limit": PAGE})
        return self._transport.pages(call, "keys")

    def revoke(self, agent_id: str, key_id: str) -> None:
        """Revokes a key: every replica refuses it within 5 seconds."""
        self._request(op.REVOKE_AGENT_KEY.call(agent_id, key_id))


class UsageApi:
    """What the caller's agents use."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._transport = client.transport
        self._request = client.transport.request

    def get(
        self,
        *,
        from_day: str | None = None,
        to_day: str | None = None,
        group_by: UsageGroup | Sequence[UsageGroup] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
    ) -> UsageReport:
        """Answers, tokens and cost (millionths of a US dollar) by group, and over all groups in `total`.

        Args:
            from_day: first day (UTC), such as `2026-01-31`; left out: 29 days before `to_day`.
            to_day: last day (UTC); left out: today.
            group_by: one or more of day, agent, model, source; left out: one group of everything.
            limit: groups of this page, 1 to 1000.
            offset: groups to skip.
            after: `nextCursor` of the page before.
        """
        query = {**usage_query(from_day, to_day, group_by), **given(limit=limit, offset=offset, after=after)}
        return cast(UsageReport, self._request(op.GET_USAGE.call(query=query)))

    def iterate(
        self,
        *,
        from_day: str | None = None,
        to_day: str | None = None,
        group_by: UsageGroup | Sequence[UsageGroup] | None = None,
    ) -> Iterator[UsageReportItem]:
        """Every group, newest day first, page by page. The arguments are those of `get`."""
        call = op.GET_USAGE.call(query={**usage_query(from_day, to_day, group_by), "limit": 1000})
        return self._transport.pages(call, "items")


class BudgetsApi:
    """What the caller's agents may cost."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._transport = client.transport
        self._request = client.transport.request

    def list(self, **query: Unpack[PageQuery]) -> BudgetList:
        """The caller's budgets, each with what is spent and reserved."""
        return cast(BudgetList, self._request(op.LIST_BUDGETS.call(query=given(**query))))

    def iterate(self) -> Iterator[Budget]:
        """Every budget of the caller, oldest first, page by page."""
        return self._transport.pages(op.LIST_BUDGETS.call(query={"limit": PAGE}), "budgets")

    def set(
        self,
        *,
        limit_micros: int,
        period: Literal["day", "month"],
        action: Literal["pause", "notify"] = "pause",
        agent_id: str | None = None,
        warn_at: float | None = None,
    ) -> Budget:
        """Sets a budget; the same scope and period again changes it.

        Args:
            limit_micros: the limit in millionths of a US dollar.
            period: `day` or `month` (UTC).
            action: `pause` holds answers back once it is used up, `notify` only writes events.
            agent_id: of one agent; left out: of all the caller's agents together.
            warn_at: the part of the limit at which BUDGET_WARNING comes; 0.8 when left out.

        Raises:
            InvalidRequestError: a field is wrong, or a model has no price (MODEL_PRICE_MISSING).
            NotFoundError: the caller has no such agent.
        """
        body = given(
            scope="user" if agent_id is None else "agent",
            agentId=agent_id,
            period=period,
            limitMicros=limit_micros,
            action=action,
            warnAt=warn_at,
        )
        return cast(Budget, self._request(op.PUT_BUDGET.call(body=cast(PutBudgetRequest, body))))

    def delete(self, budget_id: str) -> BudgetDeleted:
        """Deletes a budget: what it held back goes on."""
        return cast(BudgetDeleted, self._request(op.DELETE_BUDGET.call(budget_id)))
