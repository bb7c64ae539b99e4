"""Everything that happens to one agent, in order and without a gap.

Events are numbered (`seq`): what was missed is read from `/rest/v1` after each join, before what arrived since.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from .._call import agent_not_found, segment
from ..errors import AgentLaunchpadError, invalid
from ..rows import AgentUpdate, StatusUpdate, UpdateKind
from .cursor import ReplicaRows, moment
from .feed import Feed, Finished, Sink, Source, change

KINDS: tuple[UpdateKind, ...] = ("status", "event", "log", "metrics")
TABLES: Mapping[str, UpdateKind] = {"agents": "status", "agent_logs": "log", "agent_metrics": "metrics"}
STATE = "id,status,updated_at"
# Enough to know the replicas that are running.
BEFORE = 200


def is_end(event: Mapping[str, Any]) -> bool:
    """Whether an entry of the history is the last: the agent is deleted."""
    return event.get("event_type") == "DELETED" or event["to_phase"] == "DELETED"


def by_time(row: Mapping[str, Any]) -> tuple[datetime, int]:
    """The order in which rows of several replicas are shown."""
    return moment(row["timestamp"]), row["sequence"]


class AgentFeed(Feed):
    """One agent's updates."""

    def __init__(
        self, agent_id: str, *, include: Collection[str], after: int | None, source: Source, sink: Sink
    ) -> None:
        """Makes a feed that has not begun.

        Raises:
            AgentLaunchpadError: `VALIDATION_ERROR` for an id that cannot be one, or a kind that there is not.
        """
        segment(agent_id)
        if not include or any(kind not in KINDS for kind in include):
            raise invalid("include", f"Must name one or more of {', '.join(KINDS)}")
        super().__init__(f"agent {agent_id}", f"agent:{agent_id}", private=True, source=source, sink=sink)
        self.agent_id = agent_id
        self._include = frozenset(include)
        self._seq = after
        self._cursors = {table: ReplicaRows() for table, kind in TABLES.items() if kind in include and kind != "status"}
        self._status: str | None = None
        self._status_at: datetime | None = None

    def _failure(self, error: AgentLaunchpadError, *, final: bool) -> Mapping[str, Any]:
        return {"agentId": self.agent_id, **super()._failure(error, final=final)}

    async def _look_up(self) -> None:
        """Takes the agent's state. Raises Finished where it is gone, and `AGENT_NOT_FOUND`."""
        rows = await self._read("agents", {"id": f"eq.{self.agent_id}", "select": STATE})
        if rows:
            self._take_row("agents", rows[0])
            return
        # Events outlive their agent: what happened to it is there.
        if self._seq is not None:
            await self._catch_up_events()
        newest = await self._newest_event()
        if newest is None or not is_end(newest):
            raise agent_not_found(self.agent_id)
        self._end(newest)

    async def _look_back(self) -> None:
        if self._seq is None:
            newest = await self._newest_event()
            self._seq = newest["seq"] if newest else 0
        for table, cursor in self._cursors.items():
            query = {"agent_id": f"eq.{self.agent_id}", "order": "timestamp.desc,sequence.desc", "limit": BEFORE}
            cursor.start(reversed(await self._read(table, {**query, "select": "replica,sequence,timestamp"})))

    async def _newest_event(self) -> Mapping[str, Any] | None:
        query = {"agent_id": f"eq.{self.agent_id}", "order": "seq.desc", "limit": 1}
        rows = await self._read("agent_events", query)
        return rows[0] if rows else None

    def _changes(self) -> Sequence[Mapping[str, str]]:
        return [
            change("UPDATE", table, f"id=eq.{self.agent_id}")
            if kind == "status"
            else change("INSERT", table, f"agent_id=eq.{self.agent_id}")
            for table, kind in TABLES.items()
            if kind in self._include
        ]

    async def _catch_up(self) -> None:
        if "status" in self._include:
            for row in await self._read("agents", {"id": f"eq.{self.agent_id}", "select": STATE}):
                self._take_row("agents", row)
        for table, cursor in self._cursors.items():
            missed = cursor.missed()
            query = {"agent_id": f"eq.{self.agent_id}", **({"or": missed} if missed else {})}
            # By number: where the next page fails, no later row of a replica may have come before an earlier one.
            await self._read_all(table, {**query, "order": "replica,sequence"}, shown=by_time)
        await self._catch_up_events()

    async def _catch_up_events(self) -> None:
        query = {"agent_id": f"eq.{self.agent_id}", "seq": f"gt.{self._seq or 0}", "order": "seq"}
        await self._read_all("agent_events", query)

    async def _take_broadcast(self, broadcast: Mapping[str, Any]) -> None:
        row = broadcast.get("payload")
        # Owners may send broadcasts of their own on this topic: only rows of agent_events count.
        if not isinstance(row, dict) or row.get("agent_id") != self.agent_id or not isinstance(row.get("seq"), int):
            return
        if row["seq"] > (self._seq or 0) + 1:
            await self._catch_up_events()
        self._take_row("agent_events", row)

    def _take_row(self, table: str, row: Mapping[str, Any]) -> None:
        if table == "agent_events":
            self._take_event(row)
        elif table == "agents":
            self._take_state(row["status"].upper(), row["updated_at"])
        elif table in self._cursors and self._cursors[table].take(row):
            self._give(TABLES[table], row)

    def _take_state(self, status: str, timestamp: str) -> None:
        # What was delivered before the row was read may come after it.
        at = moment(timestamp)
        if status == self._status or (self._status_at is not None and at < self._status_at):
            return
        self._status, self._status_at = status, at
        self._give_status(status, timestamp)

    def _take_event(self, row: Mapping[str, Any]) -> None:
        if row["seq"] <= (self._seq or 0):
            return
        self._seq = row["seq"]
        self._give("event", row)
        if is_end(row):
            self._end(row)

    def _end(self, event: Mapping[str, Any]) -> None:
        self._give_status("DELETED", event["timestamp"])
        raise Finished

    def _give_status(self, status: str, timestamp: str) -> None:
        if "status" in self._include:
            update = StatusUpdate(type="status", agentId=self.agent_id, status=status, timestamp=timestamp)
            self._sink.update(update)

    def _give(self, kind: UpdateKind, row: Any) -> None:
        if kind in self._include:
            self._sink.update(cast(AgentUpdate, {"type": kind, "agentId": self.agent_id, kind: row}))
