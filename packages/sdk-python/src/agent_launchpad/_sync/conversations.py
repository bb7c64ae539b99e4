# Generated from _async/conversations.py by tools/generate.py: do not edit.

"""Swarms and messages, through `/rest/v1`."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import Unpack

from .._call import Call, given
from ..errors import LaunchpadTimeoutError, error_of
from ..rows import Message, ReplyMode, Swarm, SwarmFields, SwarmMember
from ._platform import now, sleep

if TYPE_CHECKING:
    from .client import AgentLaunchpadClient

# An insert has no idempotency key: its answer lost, it is not known whether it was done, and it is not repeated.
RETURNING = {"prefer": "return=representation"}
PAGE = 100


def insert(table: str, row: dict[str, Any]) -> Call:
    """The call that writes a row and answers it."""
    return Call("POST", f"/{table}", body=row, headers=RETURNING, repeatable=False, rest=True)


def only(rows: Any, what: str) -> Any:
    """The one row of an answer. Raises `NOT_FOUND` where there is none."""
    if not rows:
        raise error_of(f"{what} not found or access denied", code="NOT_FOUND", status=404)
    return rows[0]


class SwarmsApi:
    """Groups of agents that talk with a person and with each other."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._request = client.transport.request

    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        reply_mode: ReplyMode | None = None,
        max_turns: int | None = None,
    ) -> Swarm:
        """Creates a swarm.

        Args:
            name: what people call it.
            description: what it is for.
            reply_mode: who answers: `all`, those `addressed` as @Name, or one after another in `rounds`.
            max_turns: how often each agent may speak in what follows from one message (1 to 20).
        """
        row = given(name=name, description=description, reply_mode=reply_mode, max_turns=max_turns)
        return cast(Swarm, only(self._request(insert("swarms", row)), "Swarm"))

    def list(self, *, limit: int = 20, offset: int = 0) -> builtins.list[Swarm]:
        """Swarms, newest first."""
        query = {"order": "created_at.desc,id", "limit": limit, "offset": offset}
        return cast("builtins.list[Swarm]", self._request(Call("GET", "/swarms", query=query, rest=True)))

    def get(self, swarm_id: str) -> Swarm:
        """One swarm."""
        call = Call("GET", "/swarms", query={"id": f"eq.{swarm_id}"}, rest=True)
        return cast(Swarm, only(self._request(call), "Swarm"))

    def update(self, swarm_id: str, **fields: Unpack[SwarmFields]) -> Swarm:
        """Changes a swarm: a field left out stays."""
        query = {"id": f"eq.{swarm_id}"}
        call = Call("PATCH", "/swarms", query=query, body=dict(fields), headers=RETURNING, rest=True)
        return cast(Swarm, only(self._request(call), "Swarm"))

    def delete(self, swarm_id: str) -> None:
        """Deletes a swarm and what was said in it; its agents stay."""
        query = {"id": f"eq.{swarm_id}", "select": "id"}
        call = Call("DELETE", "/swarms", query=query, headers=RETURNING, repeatable=False, rest=True)
        only(self._request(call), "Swarm")

    def agents(self, swarm_id: str) -> builtins.list[SwarmMember]:
        """The agents of a swarm, in the order in which they speak."""
        query = {"swarm_id": f"eq.{swarm_id}", "order": "position"}
        call = Call("GET", "/swarm_agents", query=query, rest=True)
        return cast("builtins.list[SwarmMember]", self._request(call))

    def add_agent(self, swarm_id: str, agent_id: str, *, position: int | None = None) -> SwarmMember:
        """Takes an agent into a swarm; left out, its place is the last."""
        row = given(swarm_id=swarm_id, agent_id=agent_id, position=position)
        return cast(SwarmMember, only(self._request(insert("swarm_agents", row)), "Swarm"))

    def remove_agent(self, swarm_id: str, agent_id: str) -> None:
        """Takes an agent out of a swarm."""
        query = {"swarm_id": f"eq.{swarm_id}", "agent_id": f"eq.{agent_id}", "select": "agent_id"}
        call = Call("DELETE", "/swarm_agents", query=query, headers=RETURNING, repeatable=False, rest=True)
        only(self._request(call), "Member")


class MessagesApi:
    """What people and agents say."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._request = client.transport.request

    def send(
        self,
        content: str,
        *,
        agent_id: str | None = None,
        swarm_id: str | None = None,
        conversation_id: str | None = None,
    ) -> Message:
        """Says something to an agent or a swarm.

        Args:
            content: the words.
            agent_id: the agent that is spoken to; or
            swarm_id: the swarm.
            conversation_id: of an earlier message to the agent, to go on with it.
        """
        row = given(content=content, to_agent_id=agent_id, swarm_id=swarm_id, conversation_id=conversation_id)
        return cast(Message, only(self._request(insert("messages", row)), "Message"))

    def ask(
        self,
        agent_id: str,
        content: str,
        *,
        conversation_id: str | None = None,
        timeout: float = 120.0,
    ) -> Message:
        """Says something to an agent and waits for its answer.

        Raises:
            AgentLaunchpadError: the agent's own error, with its code; `TIMEOUT` where no answer came.
        """
        sent = self.send(content, agent_id=agent_id, conversation_id=conversation_id)
        end = now() + timeout
        pause = 0.1
        query = {"reply_to": f"eq.{sent['id']}", "limit": 1}
        while True:
            rows = self._request(Call("GET", "/messages", query=query, rest=True))
            if rows:
                answer = cast(Message, rows[0])
                if answer["error"] is not None:
                    raise error_of(
                        answer["error"]["message"],
                        code=answer["error"]["code"],
                        status=500,
                        details={"messageId": answer["id"]},
                    )
                return answer
            if now() + pause > end:
                message = f"Agent {agent_id} did not answer within {timeout:g} seconds"
                raise LaunchpadTimeoutError(message, code="TIMEOUT", details={"messageId": sent["id"]})
            sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def list(
        self,
        *,
        swarm_id: str | None = None,
        conversation_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> builtins.list[Message]:
        """Messages, newest first, of a swarm, a conversation, or all."""
        query = {
            **{
                name: f"eq.{value}" for name, value in given(swarm_id=swarm_id, conversation_id=conversation_id).items()
            },
            "order": "created_at.desc,id",
            "limit": limit,
            "offset": offset,
        }
        call = Call("GET", "/messages", query=query, rest=True)
        return cast("builtins.list[Message]", self._request(call))

    def iterate(self, *, swarm_id: str | None = None, conversation_id: str | None = None) -> Iterator[Message]:
        """Every message, newest first, page by page."""
        seen: set[str] = set()
        offset = 0
        while True:
            page = self.list(swarm_id=swarm_id, conversation_id=conversation_id, limit=PAGE, offset=offset)
            for message in page:
                if message["id"] not in seen:
                    seen.add(message["id"])
                    yield message
            if len(page) < PAGE:
                return
            offset += PAGE

    def delete(self, message_id: str) -> None:
        """Deletes a message."""
        query = {"id": f"eq.{message_id}", "select": "id"}
        call = Call("DELETE", "/messages", query=query, headers=RETURNING, repeatable=False, rest=True)
        only(self._request(call), "Message")
