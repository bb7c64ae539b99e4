"""Supabase Realtime's protocol (Phoenix, version 1.0.0) over one WebSocket, as far as a listener needs it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

logger = logging.getLogger("agent_launchpad")

HEARTBEAT_SECONDS = 20.0
ANSWER_SECONDS = 10.0
# The server ends a connection at frames beyond 5 MB; ours must not be the smaller limit.
MAX_FRAME = 8 * 1024 * 1024


class Lost(Exception):
    """The channel or its connection has ended."""


class Refused(Exception):
    """The server does not let the caller join."""


class Channel:
    """What arrives on one topic, in order."""

    def __init__(self, socket: Socket, topic: str) -> None:
        self.topic = topic
        self.ref: str | None = None
        self._socket = socket
        self._messages: asyncio.Queue[tuple[str, dict[str, Any]] | Lost] = asyncio.Queue()

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next message: its event and payload. Raises Lost after the last."""
        message = await self._messages.get()
        if isinstance(message, Lost):
            self._messages.put_nowait(message)
            raise message
        return message

    def take(self, event: str, payload: dict[str, Any]) -> None:
        """Puts a message in the queue; the server's word that the channel is over ends it."""
        over = event in ("phx_error", "phx_close")
        if over or (event == "system" and payload.get("status") == "error"):
            self.end(str(payload.get("message") or event))
        else:
            self._messages.put_nowait((event, payload))

    def end(self, reason: str) -> None:
        """Lets whoever listens know that nothing more comes."""
        self._messages.put_nowait(Lost(reason))

    async def join(self, config: Mapping[str, Any], token: str) -> None:
        """Joins the topic; from the server's answer on, everything arrives.

        Raises:
            Refused: the server says no, and why.
            Lost: there is no connection any more.
        """
        await self._socket.join(self, config, token)

    async def leave(self) -> None:
        """Leaves the topic, where the connection still is."""
        await self._socket.leave(self)


class Socket:
    """One connection and its channels."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._channels: dict[str, Channel] = {}
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._last_ref = 0
        self.open = True
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._beat())]

    @classmethod
    async def connect(cls, url: str, apikey: str) -> Socket:
        """Opens a connection.

        Args:
            url: the project's `/realtime/v1`, with ws or wss.
            apikey: the project's key.

        Raises:
            Lost: there is no connection.
        """
        query = urlencode({"apikey": apikey, "vsn": "1.0.0"})
        try:
            connection = await connect(
                f"{url.rstrip('/')}/websocket?{query}", open_timeout=ANSWER_SECONDS, max_size=MAX_FRAME
            )
        except (OSError, WebSocketException, TimeoutError, asyncio.TimeoutError) as error:
            # The address carries the key: it stays out of the message.
            raise Lost(f"{url} cannot be reached: {type(error).__name__}") from None
        return cls(connection)

    @property
    def idle(self) -> bool:
        """Whether it has no channels."""
        return not self._channels

    def has(self, topic: str) -> bool:
        """Whether it has a channel of the topic."""
        return f"realtime:{topic}" in self._channels

    def reserve(self, topic: str) -> Channel:
        """A channel of the topic, not yet joined."""
        channel = Channel(self, f"realtime:{topic}")
        self._channels[channel.topic] = channel
        return channel

    async def join(self, channel: Channel, config: Mapping[str, Any], token: str) -> None:
        """See `Channel.join`."""
        channel.ref = self._ref()
        payload = {"config": config, "access_token": token}
        answer = await self._ask(channel.topic, "phx_join", payload, channel.ref, channel.ref)
        if answer.get("status") != "ok":
            response = answer.get("response")
            raise Refused(str(response.get("reason") if isinstance(response, dict) else response))

    async def renew(self, token: str) -> None:
        """Gives every channel a new token, so that the server does not end them with the old one."""
        for channel in list(self._channels.values()):
            await self._send(channel.topic, "access_token", {"access_token": token}, None, channel.ref)

    async def leave(self, channel: Channel) -> None:
        """Leaves a channel's topic."""
        if self._channels.get(channel.topic) is channel:
            del self._channels[channel.topic]
            if channel.ref is None:
                return
            with suppress(Lost):
                await self._send(channel.topic, "phx_leave", {}, self._ref(), channel.ref)

    async def close(self) -> None:
        """Closes the connection."""
        self._end("closed")
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await self._connection.close()

    def _ref(self) -> str:
        self._last_ref += 1
        return str(self._last_ref)

    async def _send(
        self, topic: str, event: str, payload: Mapping[str, Any], ref: str | None, join_ref: str | None
    ) -> None:
        message = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
        try:
            await self._connection.send(json.dumps(message))
        except (OSError, WebSocketException) as error:
            raise Lost(type(error).__name__) from None

    async def _ask(
        self, topic: str, event: str, payload: Mapping[str, Any], ref: str, join_ref: str | None
    ) -> dict[str, Any]:
        """Sends a message and waits for its reply. Raises Lost where none comes in time."""
        if not self.open:
            raise Lost("closed")
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[ref] = answer
        try:
            await self._send(topic, event, payload, ref, join_ref)
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            raise Lost(f"no answer to {event} within {ANSWER_SECONDS:g} seconds") from None
        finally:
            self._answers.pop(ref, None)

    async def _read(self) -> None:
        reason = "the connection was closed"
        try:
            async for frame in self._connection:
                self._handle(frame)
        except (OSError, WebSocketException) as error:
            reason = f"the connection was lost ({type(error).__name__})"
        finally:
            self._end(reason)

    def _handle(self, frame: str | bytes) -> None:
        try:
            message = json.loads(frame)
            topic, event, payload = message["topic"], message["event"], message["payload"]
        except (ValueError, TypeError, KeyError):
            logger.warning("Realtime sent what is not a message; it is passed over")
            return
        if event == "phx_reply":
            answer = self._answers.get(message.get("ref") or "")
            if answer is not None and not answer.done():
                answer.set_result(payload)
        elif channel := self._channels.get(topic):
            channel.take(event, payload)

    async def _beat(self) -> None:
        """Keeps the connection alive, and finds out where it is not."""
        with suppress(Lost):
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                await self._ask("phoenix", "heartbeat", {}, self._ref(), None)
        await self.close()

    def _end(self, reason: str) -> None:
        self.open = False
        for channel in self._channels.values():
            channel.end(reason)
        self._channels.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Lost(reason))
