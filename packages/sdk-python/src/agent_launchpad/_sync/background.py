"""A thread with an event loop, for what the synchronous client listens to."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._async.transport import AsyncTransport
from .._call import Call
from .._realtime.shared import SharedSocket

if TYPE_CHECKING:
    from supabase import AsyncClient

    from .transport import Transport

Result = TypeVar("Result")


class Background:
    """Starts its thread with the first coroutine."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._requests: AsyncTransport | None = None
        supabase = transport.supabase
        self.socket = SharedSocket(str(supabase.realtime_url), supabase.supabase_key, self._token)

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Runs a coroutine in the thread and gives its result."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("this waits for the thread that it is called in")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def end(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine that ends something: not at all where the thread has ended with it."""
        if self._loop is None:
            coroutine.close()
        elif threading.current_thread() is self._thread:  # a generator that was collected there
            asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        else:
            self.run(coroutine)

    async def request(self, call: Call) -> Any:
        """Makes a call from within the loop."""
        if self._requests is None:
            self._requests = _Requests(self._transport)
        return await self._requests.request(call)

    def close(self) -> None:
        """Ends the thread; a later coroutine starts another."""
        with self._starting:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    async def _token(self) -> str:
        # Renewing a session blocks this thread for one request. To hand it to yet another thread would take the loop's
        # executor, which refuses work once the program's main part has ended.
        return self._transport.token()

    async def _end(self) -> None:
        # What nobody ended: an iterator over a log that was never closed.
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        requests, self._requests = self._requests, None
        if requests is not None:
            await requests.aclose()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = loop = _Loop()
                self._thread = threading.Thread(target=_run, args=(loop,), name="agent_launchpad", daemon=True)
                self._thread.start()
            return self._loop


class _Requests(AsyncTransport):
    """Requests of the loop, as the user of the synchronous client."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(
            # Its addresses and key are read, which both kinds of client have.
            cast("AsyncClient", transport.supabase),
            api_url=transport.api_url,
            timeout=transport.timeout,
            total_timeout=transport.total_timeout,
            on_retry=transport.on_retry,
            max_retries=transport.max_retries,
            max_retry_wait=transport.max_retry_wait,
            http_client=None,
        )
        self._token = transport.token

    async def token(self) -> str:
        return self._token()


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up in its own thread: see Background._token."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
