"""The sockets that the subscriptions of a client share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from .socket import Channel, Socket

RENEW_SECONDS = 20.0


class SharedSocket:
    """Opens a socket for the first channel, replaces a lost one, closes it after its last channel.

    One socket is enough for one subscription of each agent; Phoenix has one channel of a topic on a socket, so a second
    subscription of the same agent gets a second socket.
    """

    def __init__(self, url: str, apikey: str, token: Callable[[], Awaitable[str]]) -> None:
        self._url = url
        self._apikey = apikey
        self._token = token
        self._sockets: list[Socket] = []
        self._opening = asyncio.Lock()
        self._sent: str | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def join(self, topic: str, config: Mapping[str, Any]) -> Channel:
        """Joins a topic as the signed-in user.

        Raises:
            Refused, Lost: as `Socket.join` does.
            AgentLaunchpadError: the session has ended.
        """
        token = await self._token()
        async with self._opening:
            await self._tidy()
            socket = next((each for each in self._sockets if not each.has(topic)), None)
            if socket is None:
                socket = await Socket.connect(self._url, self._apikey)
                self._sockets.append(socket)
            channel = socket.reserve(topic)
            if self._renewing is None:
                self._sent = token
                self._renewing = asyncio.create_task(self._renew())
        try:
            await channel.join(config, token)
        except BaseException:
            await self.leave(channel)
            raise
        return channel

    async def leave(self, channel: Channel) -> None:
        """Leaves a channel; a socket without channels is closed."""
        await channel.leave()
        async with self._opening:
            await self._tidy()

    async def _tidy(self) -> None:
        for socket in [each for each in self._sockets if not each.open or each.idle]:
            self._sockets.remove(socket)
            await socket.close()
        if not self._sockets and self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None

    async def _renew(self) -> None:
        """Tells the server a renewed token; a channel that ends with the old one would have to catch up."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with suppress(Exception):  # the session cannot be renewed now: the channel's end will tell
                token = await self._token()
                if token != self._sent:
                    for socket in list(self._sockets):
                        await socket.renew(token)
                    self._sent = token
