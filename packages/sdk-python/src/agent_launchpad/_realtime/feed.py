"""Everything that happens to one agent, in order and without a gap.

Events are numbered (`seq`): what was missed is read from `/rest/v1` after each join, before what arrived since.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, cast

from .._call import Call, segment
from ..errors import AgentLaunchpadError, SubscriptionError, UnavailableError, error_of
from ..models import AgentStatus
from ..rows import AgentUpdate, StatusUpdate, UpdateKind
from .cursor import Cursor
from .shared import SharedSocket
from .socket import Channel, Lost, Refused

logger = logging.getLogger("agent_launchpad")

KINDS: tuple[UpdateKind, ...] = ("status", "event", "log", "metrics")
TABLES: Mapping[str, UpdateKind] = {"agents": "status", "agent_logs": "log", "agent_metrics": "metrics"}
STATE = "id,status,updated_at"
PAGE = 1000
# Enough to know the replicas that are running.
BEFORE = 200

Request = Callable[[Call], Awaitable[Any]]


class Finished(Exception):
    """The agent is gone: nothing more can happen to it."""


class Feed:
    """One agent's updates. `deliver` takes each, `ended` is told once why there are no more (None: all is said)."""

    def __init__(
        self,
        agent_id: str,
        *,
        include: Collection[str],
        after: int | None,
        lines: int,
        socket: SharedSocket,
        request: Request,
        deliver: Callable[[AgentUpdate], None],
        ended: Callable[[AgentLaunchpadError | None], None],
    ) -> None:
        unknown = [kind for kind in include if kind not in KINDS]
        if unknown or not include:
            problem = f"Must name one or more of {', '.join(KINDS)}"
            raise error_of(f"include: {problem}", code="VALIDATION_ERROR", status=400, details={"include": problem})
        segment(agent_id, "agentId")
        self.agent_id = agent_id
        self._include = frozenset(include)
        self._seq = after
        self._lines = lines
        self._socket = socket
        self._request = request
        self._deliver = deliver
        self._ended = ended
        self._cursors = {table: Cursor() for table, kind in TABLES.items() if kind in include and kind != "status"}
        self._status: str | None = None
        self._channel: Channel | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when nothing that happens from now on can be missed.

        Raises:
            AgentLaunchpadError: the subscription cannot be made.
        """
        try:
            await self._look_up()
            await self._look_back()
            await self._join()
            await self._catch_up()
        except Lost as error:
            await self._leave()
            raise UnavailableError(f"Realtime: {error}", code="SUPABASE_CONNECTION_ERROR") from None
        except Refused as error:
            raise refused(error) from None
        except Finished:
            self._ended(None)
            return
        except BaseException:
            await self._leave()
            raise
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends the feed."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._leave()

    async def _run(self) -> None:
        failures = 0
        error: AgentLaunchpadError | None = None
        while True:
            try:
                if self._channel is None:
                    await self._look_up()
                    await self._join()
                    await self._catch_up()
                failures = 0
                await self._follow(self._channel)
            except Finished:
                break
            except AgentLaunchpadError as failure:
                if failure.status in (401, 403, 404):
                    error = failure
                    break
                self._trouble(failure)
            except Refused as refusal:
                self._trouble(refused(refusal))
            except Lost as loss:
                logger.info("agent %s: %s; the subscription tries again", self.agent_id, loss)
            except Exception:
                logger.exception("agent %s: the subscription tries again", self.agent_id)
            await self._leave()
            await asyncio.sleep(min(15.0, 0.2 * 2**failures) * (0.5 + random.random() / 2))  # noqa: S311
            failures = min(failures + 1, 10)
        await self._leave()
        if error is not None:
            self._deliver({"type": "error", "agentId": self.agent_id, "error": error, "final": True})
        self._ended(error)

    def _trouble(self, error: AgentLaunchpadError) -> None:
        logger.info("agent %s: %s; the subscription tries again", self.agent_id, error)
        self._deliver({"type": "error", "agentId": self.agent_id, "error": error, "final": False})

    async def _look_up(self) -> None:
        """The agent's row: its state, and whether it is the caller's. Raises AGENT_NOT_FOUND."""
        rows = await self._read("agents", {"id": f"eq.{self.agent_id}", "select": STATE})
        if not rows:
            if self._status is not None:  # it was there: what happened to it is in its events
                await self._catch_up_events()
            message = f"Agent with ID '{self.agent_id}' not found or access denied"
            raise error_of(message, code="AGENT_NOT_FOUND", status=404)
        self._take_state(rows[0])

    async def _look_back(self) -> None:
        """Where the tables are before anything is missed: only what comes later is new."""
        of_agent = {"agent_id": f"eq.{self.agent_id}"}
        if self._seq is None:
            newest = await self._read("agent_events", {**of_agent, "select": "seq", "order": "seq.desc", "limit": 1})
            self._seq = newest[0]["seq"] if newest else 0
        for table, cursor in self._cursors.items():
            limit = max(BEFORE, self._lines)
            order = {"order": "timestamp.desc,sequence.desc", "limit": limit}
            rows = await self._read(table, {**of_agent, **order})
            rows.reverse()
            cursor.start(rows)
            if table == "agent_logs" and self._lines:
                for row in rows[-self._lines :]:
                    self._give("log", row)

    async def _join(self) -> None:
        changes = [
            {
                "event": "UPDATE" if table == "agents" else "INSERT",
                "schema": "public",
                "table": table,
                "filter": f"{'id' if table == 'agents' else 'agent_id'}=eq.{self.agent_id}",
            }
            for table, kind in TABLES.items()
            if kind in self._include
        ]
        config = {
            "private": True,
            "broadcast": {"ack": False, "self": False},
            "presence": {"key": "", "enabled": False},
            "postgres_changes": changes,
        }
        self._channel = await self._socket.join(f"agent:{self.agent_id}", config)

    async def _leave(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            with suppress(Exception):
                await self._socket.leave(channel)

    async def _catch_up(self) -> None:
        """What happened since the last message; what arrives meanwhile waits in the channel."""
        if "status" in self._include:
            rows = await self._read("agents", {"id": f"eq.{self.agent_id}", "select": STATE})
            for row in rows:
                self._take_state(row)
        for table, cursor in self._cursors.items():
            missed = cursor.missed()
            query = {"agent_id": f"eq.{self.agent_id}", **({"or": missed} if missed else {})}
            await self._read_all(table, {**query, "order": "timestamp,sequence"}, self._take_row(table))
        await self._catch_up_events()

    async def _catch_up_events(self) -> None:
        query = {"agent_id": f"eq.{self.agent_id}", "seq": f"gt.{self._seq or 0}", "order": "seq"}
        await self._read_all("agent_events", query, self._take_event)

    async def _follow(self, channel: Channel | None) -> None:
        if channel is None:
            raise Lost("not joined")
        while True:
            event, payload = await channel.next()
            if event == "broadcast":
                await self._take_broadcast(payload.get("payload"))
            elif event == "postgres_changes":
                self._take_change(payload.get("data"))

    async def _take_broadcast(self, row: Any) -> None:
        # Owners may send broadcasts of their own on this topic: only rows of agent_events count.
        if not isinstance(row, dict) or row.get("agent_id") != self.agent_id or not isinstance(row.get("seq"), int):
            return
        if row["seq"] > (self._seq or 0) + 1:
            await self._catch_up_events()
        self._take_event(row)

    def _take_change(self, data: Any) -> None:
        if not isinstance(data, dict) or not isinstance(data.get("record"), dict):
            return
        if data.get("errors"):
            raise Lost(f"a change came incomplete: {data['errors']}")
        table = data.get("table")
        if table == "agents":
            self._take_state(data["record"])
        elif table in self._cursors:
            self._take_row(table)(data["record"])

    def _take_event(self, row: Mapping[str, Any]) -> None:
        if row["seq"] <= (self._seq or 0):
            return
        self._seq = row["seq"]
        self._give("event", row)
        if row["to_phase"] == "DELETED":
            raise Finished

    def _take_row(self, table: str) -> Callable[[Mapping[str, Any]], None]:
        def take(row: Mapping[str, Any]) -> None:
            if self._cursors[table].take(row):
                self._give(TABLES[table], row)

        return take

    def _take_state(self, row: Mapping[str, Any]) -> None:
        status = row["status"].upper()
        if status != self._status and "status" in self._include:
            self._deliver(
                StatusUpdate(
                    type="status",
                    agentId=self.agent_id,
                    status=cast(AgentStatus, status),
                    timestamp=row["updated_at"],
                )
            )
        self._status = status

    def _give(self, kind: UpdateKind, row: Any) -> None:
        if kind in self._include:
            self._deliver(cast(AgentUpdate, {"type": kind, "agentId": self.agent_id, kind: row}))

    async def _read(self, table: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = await self._request(Call("GET", f"/{table}", query=query, rest=True))
        return cast("list[dict[str, Any]]", rows)

    async def _read_all(self, table: str, query: Mapping[str, Any], take: Callable[[Mapping[str, Any]], None]) -> None:
        offset = 0
        while True:
            rows = await self._read(table, {**query, "limit": PAGE, "offset": offset})
            for row in rows:
                take(row)
            if len(rows) < PAGE:
                return
            offset += PAGE


def refused(error: Refused) -> SubscriptionError:
    """The error of a join that the server refuses."""
    message = f"Realtime refuses the subscription: {error}"
    return SubscriptionError(message, code="REAL_TIME_SUBSCRIPTION_FAILED", status=422)
