# Generated from _async/conversations.py by tools/generate.py: do not edit.

"""Swarms and messages, through `/rest/v1`."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import Unpack

from .._call import Call, callback_of, conversation_rows, given, id_filter, not_found, segment
from ..errors import AnswerFailedError, LaunchpadTimeoutError
from ..rows import AnswerStep, Message, ReplyMode, Swarm, SwarmFields, SwarmMember
from ._platform import call_back, now, sleep
from .subscribing import MessagesSubscribing

if TYPE_CHECKING:
    from .client import AgentLaunchpadClient
    from .subscriptions import Replies

# An insert has no idempotency key: its answer lost, it is not known whether it was done, and it is not repeated.
RETURNING = {"prefer": "return=representation"}
PAGE = 100
# Between looks at the table, for an answer whose broadcast was lost.
LOOK = 2.0
# The database keeps no more of one answer.
MOST_STEPS = 200


def insert(table: str, row: dict[str, Any]) -> Call:
    """The call that writes a row and answers it."""
    return Call("POST", f"/{table}", body=row, headers=RETURNING, rest=True)


def only(rows: Any, what: str) -> Any:
    """The one row of an answer. Raises `NOT_FOUND` where there is none."""
    if not rows:
        raise not_found(what)
    return rows[0]


class SwarmsApi:
    """Groups of agents that talk with a person and with each other."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._transport = client.transport
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

    def iterate(self) -> Iterator[Swarm]:
        """Every swarm, newest first, page by page; none is skipped or repeated where others come or go meanwhile."""
        return self._transport.rows(Call("GET", "/swarms", query={"limit": PAGE}, rest=True))

    def get(self, swarm_id: str) -> Swarm:
        """One swarm."""
        call = Call("GET", "/swarms", query={"id": id_filter("swarm_id", swarm_id)}, rest=True)
        return cast(Swarm, only(self._request(call), "Swarm"))

    def update(self, swarm_id: str, **fields: Unpack[SwarmFields]) -> Swarm:
        """Changes a swarm: a field left out stays."""
        query = {"id": id_filter("swarm_id", swarm_id)}
        call = Call("PATCH", "/swarms", query=query, body=dict(fields), headers=RETURNING, rest=True)
        return cast(Swarm, only(self._request(call), "Swarm"))

    def delete(self, swarm_id: str) -> None:
        """Deletes a swarm and what was said in it; its agents stay."""
        query = {"id": id_filter("swarm_id", swarm_id), "select": "id"}
        call = Call("DELETE", "/swarms", query=query, headers=RETURNING, rest=True)
        only(self._request(call), "Swarm")

    def agents(self, swarm_id: str) -> builtins.list[SwarmMember]:
        """The agents of a swarm, in the order in which they speak."""
        query = {"swarm_id": id_filter("swarm_id", swarm_id), "order": "position"}
        call = Call("GET", "/swarm_agents", query=query, rest=True)
        return cast("builtins.list[SwarmMember]", self._request(call))

    def add_agent(self, swarm_id: str, agent_id: str, *, position: int | None = None) -> SwarmMember:
        """Takes an agent into a swarm; left out, its place is the last."""
        id_filter("swarm_id", swarm_id)
        id_filter("agent_id", agent_id)
        row = given(swarm_id=swarm_id, agent_id=agent_id, position=position)
        return cast(SwarmMember, only(self._request(insert("swarm_agents", row)), "Swarm"))

    def remove_agent(self, swarm_id: str, agent_id: str) -> None:
        """Takes an agent out of a swarm."""
        query = {
            "swarm_id": id_filter("swarm_id", swarm_id),
            "agent_id": id_filter("agent_id", agent_id),
            "select": "agent_id",
        }
        call = Call("DELETE", "/swarm_agents", query=query, headers=RETURNING, rest=True)
        only(self._request(call), "Member")


class MessagesApi(MessagesSubscribing):
    """What people and agents say."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._client = client
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
        on_text: Callable[[str, bool], object] | None = None,
        timeout: float = 180.0,
    ) -> Message:
        """Says something to an agent and waits for its answer.

        Args:
            agent_id: the agent.
            content: the words.
            conversation_id: continues a conversation; left out: a new one begins.
            on_text: called with each piece of the answer as it is written, and whether the pieces before are void
                because the agent has begun anew.
            timeout: seconds to wait for the answer.

        Returns:
            The answer; its `conversation_id` continues the conversation.

        Raises:
            AnswerFailedError: the agent could not answer; `details["code"]` says why.
            LaunchpadTimeoutError: no answer came.
        """
        segment(agent_id)
        if on_text is None:
            return self._ask(agent_id, content, conversation_id, timeout, None)
        callback_of("on_text", on_text)
        with self._client.subscriptions.replies(agent_id) as replies:
            hearing = Hearing(replies, on_text)
            return self._ask(agent_id, content, conversation_id, timeout, hearing)

    def _ask(
        self, agent_id: str, content: str, conversation_id: str | None, timeout: float, hearing: Hearing | None
    ) -> Message:
        end = now() + timeout
        sent = self.send(content, agent_id=agent_id, conversation_id=conversation_id)
        pause = 0.1
        while True:
            left = end - now()
            if left <= 0:
                message = f"Agent '{agent_id}' did not answer within {timeout:g} s"
                raise LaunchpadTimeoutError(message, code="TIMEOUT", details={"messageId": sent["id"]})
            if hearing is None:
                sleep(min(pause, left))
                pause = min(pause * 1.5, 1.0)
            else:
                hearing.until_end(sent["id"], min(LOOK, left))
            if (answer := self._answer_to(sent["id"])) is not None:
                return answer

    def _answer_to(self, message_id: str) -> Message | None:
        query = {"reply_to": f"eq.{message_id}", "sender_kind": "eq.agent", "limit": 1}
        rows = self._request(Call("GET", "/messages", query=query, rest=True))
        if not rows:
            return None
        answer = cast(Message, rows[0])
        if answer["status"] == "error":
            error = answer["error"] or {"code": "INTERNAL_ERROR", "message": "The agent could not answer"}
            details = {"code": error["code"], "messageId": answer["id"]}
            raise AnswerFailedError(error["message"], code="ANSWER_FAILED", details=details)
        return answer

    def list(
        self,
        *,
        agent_id: str | None = None,
        swarm_id: str | None = None,
        conversation_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> builtins.list[Message]:
        """Messages, newest first: with an agent, of a swarm, of one conversation, or all."""
        conversation = given(agent_id=agent_id, swarm_id=swarm_id, conversation_id=conversation_id)
        rows = conversation_rows(conversation) if conversation else {}
        query = {**rows, "order": "created_at.desc,id", "limit": limit, "offset": offset}
        call = Call("GET", "/messages", query=query, rest=True)
        return cast("builtins.list[Message]", self._request(call))

    def steps(self, message_id: str) -> builtins.list[AnswerStep]:
        """What an answer was made of: calls of models and tools with times, tokens and errors, oldest first.

        Args:
            message_id: the answer's id, or its question's (then the steps of all answers to it).
        """
        own = self._steps(id_filter("message_id", message_id))
        if own:
            return own
        query = {"reply_to": f"eq.{message_id}", "sender_kind": "eq.agent", "select": "id", "limit": 100}
        answers = self._request(Call("GET", "/messages", query=query, rest=True))
        return self._steps(f"in.({','.join(row['id'] for row in answers)})") if answers else []

    def _steps(self, message_filter: str) -> builtins.list[AnswerStep]:
        query = {"message_id": message_filter, "order": "started_at,index", "limit": MOST_STEPS}
        call = Call("GET", "/answer_steps", query=query, rest=True)
        return cast("builtins.list[AnswerStep]", self._request(call))

    def iterate(
        self, *, agent_id: str | None = None, swarm_id: str | None = None, conversation_id: str | None = None
    ) -> Iterator[Message]:
        """Every message, newest first, page by page; none is skipped or repeated where others come or go meanwhile."""
        conversation = given(agent_id=agent_id, swarm_id=swarm_id, conversation_id=conversation_id)
        rows = conversation_rows(conversation) if conversation else {}
        return self._client.transport.rows(Call("GET", "/messages", query={**rows, "limit": PAGE}, rest=True))

    def delete(self, message_id: str) -> None:
        """Deletes a message."""
        query = {"id": id_filter("message_id", message_id), "select": "id"}
        call = Call("DELETE", "/messages", query=query, headers=RETURNING, rest=True)
        only(self._request(call), "Message")


class Hearing:
    """Passes on the pieces of an answer while it is written."""

    def __init__(self, replies: Replies, on_text: Callable[[str, bool], object]) -> None:
        self._replies = replies
        self._on_text = on_text
        self._restarted = False

    def until_end(self, question_id: str, seconds: float) -> None:
        """Returns when the answer to a question has come to its end, or after so long."""
        end = now() + seconds
        while (left := end - now()) > 0:
            reply = self._replies.next(left)
            if reply is None:
                return
            if reply.get("replyTo") != question_id:
                continue
            if reply["event"] in ("finished", "failed"):
                return
            if reply["event"] == "retried":
                self._restarted = True
            elif reply["event"] == "delta":
                restarted, self._restarted = self._restarted, False
                call_back(self._on_text, reply.get("text", ""), restarted)
