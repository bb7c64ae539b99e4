"""Which rows of a table are new, and what to ask for after an interruption. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ..models import LogEntry
from ..rows import AgentLog

REMEMBERED_ROWS = 20_000
REMEMBERED_REPLICAS = 40
# How much later than younger ones a first line of an unknown replica may be stored.
OVERLAP = timedelta(minutes=2)
REMEMBERED_ROWS_WITH_ID = 5_000
# How much later than younger ones a row with an id may be committed.
LATE = timedelta(minutes=1)


class ReplicaRows:
    """Rows that are numbered by `sequence` within their `replica`: log lines and samples."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._last: OrderedDict[str, int] = OrderedDict()
        self._newest: str | None = None

    def take(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is new; then it is remembered."""
        key = (row["replica"], row["sequence"])
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_ROWS:
            self._seen.popitem(last=False)
        replica, sequence = key
        self._last[replica] = max(sequence, self._last.get(replica, sequence))
        self._last.move_to_end(replica)
        if len(self._last) > REMEMBERED_REPLICAS:
            self._last.popitem(last=False)
        if self._newest is None or moment(row["timestamp"]) > moment(self._newest):
            self._newest = row["timestamp"]
        return True

    def start(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Remembers rows that were there before."""
        for row in rows:
            self.take(row)

    def missed(self) -> str | None:
        """PostgREST's `or` for the rows after those known; None: every row is unknown."""
        if self._newest is None:
            return None
        since = (moment(self._newest) - OVERLAP).isoformat()
        known = [f"and(replica.eq.{quoted(name)},sequence.gt.{last})" for name, last in self._last.items()]
        names = ",".join(quoted(name) for name in self._last)
        return f"({','.join(known)},and(replica.not.in.({names}),timestamp.gte.{quoted(since)}))"


class RecentRows:
    """Rows with an `id` and a time, few enough to read the last minute again: security events and messages."""

    def __init__(self, time: str) -> None:
        self._time = time
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._newest: datetime | None = None

    def take(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is new; then it is remembered."""
        if row["id"] in self._seen:
            return False
        self._seen[row["id"]] = None
        if len(self._seen) > REMEMBERED_ROWS_WITH_ID:
            self._seen.popitem(last=False)
        at = moment(row[self._time])
        self._newest = at if self._newest is None else max(at, self._newest)
        return True

    def start(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Remembers rows that were there before; the newest last, which is forgotten last."""
        for row in rows:
            self.take(row)

    def newest(self, limit: int) -> dict[str, Any]:
        """The query of the rows there are before anything is missed."""
        return {"select": f"id,{self._time}", "order": f"{self._time}.desc", "limit": limit}

    def missed(self) -> dict[str, str]:
        """The query of the rows after those known, and of the minute before."""
        order = {"order": f"{self._time},id"}
        if self._newest is None:
            return order
        return {self._time: f"gte.{(self._newest - LATE).isoformat()}", **order}


def moment(text: str) -> datetime:
    """A time as Postgres or Realtime writes it; Python 3.10 reads fractions of three or six digits only."""
    text = text.replace("Z", "+00:00").replace(" ", "T")
    head, dot, tail = text.partition(".")
    if not dot:
        return datetime.fromisoformat(text)
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    return datetime.fromisoformat(f"{head}.{digits[:6].ljust(6, '0')}{tail[len(digits) :]}")


def quoted(value: str) -> str:
    """A value as PostgREST takes it whatever is in it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def log_entry(row: AgentLog) -> LogEntry:
    """A row as `get_logs` tells it."""
    timestamp = moment(row["timestamp"]).astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return {
        "id": row["id"],
        "timestamp": timestamp.replace("+00:00", "Z"),
        "level": row["level"],
        "message": row["message"],
        "source": row["source"],
        "metadata": {**row["metadata"], "pod": row["replica"]},
    }
