"""What all tests share: tests for both clients written once, and a report that other programs can read."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import certifi
import pytest

Value = TypeVar("Value")


async def done(result: Awaitable[Value] | Value) -> Value:
    """The result of a call of either client."""
    return await result if inspect.isawaitable(result) else result


async def some(items: AsyncIterator[Value] | Iterable[Value], most: int = 1000) -> list[Value]:
    """The first items of an iterator of either client."""
    found: list[Value] = []
    if isinstance(items, AsyncIterator):
        async for item in items:
            found.append(item)
            if len(found) == most:
                break
        await cast(Any, items).aclose()
    else:
        for item in items:
            found.append(item)
            if len(found) == most:
                break
        cast(Any, items).close()
    return found


async def eventually(enough: Callable[[], bool], instead: Callable[[], str], seconds: float = 20.0) -> None:
    """Returns when it is so, in whichever thread it comes about; fails in time with what there is instead."""
    end = time.monotonic() + seconds
    while not enough():
        assert time.monotonic() < end, f"not in time; there is: {instead()[:3000]}"
        await asyncio.sleep(0.005)


def pytest_configure(config: pytest.Config) -> None:
    """Lets clients trust one authority: each reads all of them, for 20 ms of a core, and no test asks over TLS."""
    end = "-----END CERTIFICATE-----"
    first = Path(certifi.where()).read_text("utf8").split(end)[0] + end
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(first + "\n")
    os.environ["SSL_CERT_FILE"] = file.name
    config.add_cleanup(lambda: Path(file.name).unlink())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Writes each outcome as a line of JSON to the file that LAUNCHPAD_PYTEST_REPORT names."""
    path = os.environ.get("LAUNCHPAD_PYTEST_REPORT")
    if path is None or (report.when != "call" and report.passed):
        return
    line = {
        "name": report.nodeid,
        "outcome": report.outcome,
        "seconds": report.duration,
        "text": report.longreprtext,
    }
    with Path(path).open("a", encoding="utf8") as file:
        file.write(json.dumps(line) + "\n")
