"""The pure parts: when to try again, which rows are new, what is generated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import agent_launchpad
from agent_launchpad._call import pause_before_retry
from agent_launchpad._operations import ERROR_STATUS
from agent_launchpad._realtime.cursor import RecentRows, ReplicaRows, moment
from agent_launchpad.errors import error_of

PACKAGE = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("code", sorted(ERROR_STATUS))
def test_only_what_the_server_did_not_do_or_may_do_twice_is_repeated(code: str) -> None:
    error = error_of("x", code=code, status=ERROR_STATUS[code])

    def repeats(*, repeatable: bool) -> bool:
        pause = pause_before_retry(error, attempt=1, max_retries=3, max_wait=65, repeatable=repeatable)
        return pause is not None

    assert repeats(repeatable=False) == (code == "RATE_LIMIT_EXCEEDED")
    passing = ("RATE_LIMIT_EXCEEDED", "SUPABASE_CONNECTION_ERROR", "INTERNAL_ERROR")
    assert repeats(repeatable=True) == (code in passing)


def test_pauses_grow_and_end() -> None:
    error = error_of("x", code="SUPABASE_CONNECTION_ERROR")
    pauses = [
        pause_before_retry(error, attempt=n, max_retries=9, max_wait=65, repeatable=True, chance=lambda: 1.0)
        for n in range(1, 11)
    ]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, None]


def row(replica: str, sequence: int, timestamp: str = "2026-01-15T10:30:00+00:00") -> dict[str, object]:
    return {"replica": replica, "sequence": sequence, "timestamp": timestamp}


def test_a_row_is_new_once() -> None:
    cursor = ReplicaRows()
    assert [cursor.take(row("r", n)) for n in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert cursor.take(row("other", 1))


def test_what_was_missed_is_asked_for_by_replica() -> None:
    cursor = ReplicaRows()
    assert cursor.missed() is None
    cursor.start([row("r-1", 4), row('r"2', 7, "2026-01-15T10:31:00.5+00:00"), row("r-1", 3)])
    assert cursor.missed() == (
        '(and(replica.eq."r\\"2",sequence.gt.7),and(replica.eq."r-1",sequence.gt.4),'
        'and(replica.not.in.("r\\"2","r-1"),timestamp.gte."2026-01-15T10:29:00.500000+00:00"))'
    )


def test_replicas_long_gone_are_forgotten() -> None:
    cursor = ReplicaRows()
    for n in range(200):
        cursor.take(row(f"r-{n}", 1))
    missed = cursor.missed() or ""
    assert missed.count("replica.eq") == 40
    assert '"r-199"' in missed
    assert '"r-0"' not in missed


def test_a_row_with_an_id_is_new_once_and_the_last_minute_is_read_again() -> None:
    cursor = RecentRows("created_at")
    assert cursor.missed() == {"order": "created_at,id"}, "nothing was there: everything is new"
    cursor.start([{"id": "a", "created_at": "2026-01-15T10:30:00+00:00"}])
    late = {"id": "b", "created_at": "2026-01-15T10:29:30.25+00:00"}
    assert [cursor.take(row) for row in (late, late)] == [True, False]
    assert cursor.missed() == {"created_at": "gte.2026-01-15T10:29:00+00:00", "order": "created_at,id"}
    for n in range(6000):
        cursor.take({"id": f"row-{n}", "created_at": "2026-01-15T10:31:00+00:00"})
    assert not cursor.take({"id": "row-5999", "created_at": "2026-01-15T10:31:00+00:00"})


@pytest.mark.parametrize(
    "text",
    ["2026-01-15T10:30:00.5+00:00", "2026-01-15 10:30:00.5Z", "2026-01-15T10:30:00.500000000+00:00"],
)
def test_times_are_read_however_they_are_written(text: str) -> None:
    assert moment(text).isoformat() == "2026-01-15T10:30:00.500000+00:00"


def test_the_version_is_one() -> None:
    assert f'version = "{agent_launchpad.__version__}"' in (PACKAGE / "pyproject.toml").read_text("utf8")


def test_everything_generated_is_current() -> None:
    pytest.importorskip("ruff", reason="ruff formats what is generated")
    checked = subprocess.run(
        [sys.executable, PACKAGE / "tools" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
