"""What both clients send, and what they make of the answers."""

from __future__ import annotations

import inspect
import json
import operator
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from supabase import AsyncClient, AuthApiError, AuthRetryableError, AuthUnknownError, Client

from agent_launchpad import (
    AccessDeniedError,
    AgentLaunchpadClient,
    AgentLaunchpadError,
    AnswerFailedError,
    AsyncAgentLaunchpadClient,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    LaunchpadTimeoutError,
    LimitError,
    NotFoundError,
    Retry,
    UnavailableError,
)
from agent_launchpad._async.conversations import AsyncHearing
from agent_launchpad._sync.conversations import Hearing

from ..conftest import done, some
from .fakes import KEY, TOKEN, URL, Api, client_of, failure

pytestmark = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("agent_launchpad._async.transport.sleep", pause)
    monkeypatch.setattr("agent_launchpad._sync.transport.sleep", waits.append)
    monkeypatch.setattr("agent_launchpad._async.agents.sleep", pause)
    monkeypatch.setattr("agent_launchpad._sync.agents.sleep", waits.append)
    return waits


@pytest.fixture
def waits(_no_waiting: list[float]) -> list[float]:
    return _no_waiting


async def test_create_sends_the_keyword_arguments_under_the_names_of_the_contract(kind: str) -> None:
    api = Api(httpx.Response(201, json={"agentId": "agent-1"}))
    client = client_of(kind, api)
    agent = await done(
        client.agents.create(
            agent_name="my-bot",
            description=None,
            scaling_policy={"min_replicas": 1},
            supabase_config={"project_ref": "ref", "real_time": {"enabled": True}},
        )
    )
    assert agent["agentId"] == "agent-1"
    [request] = api.requests
    assert (request.method, str(request.url)) == ("POST", "https://api.example.com/api/agents")
    assert json.loads(request.content) == {
        "agentName": "my-bot",
        "description": None,
        "scaling_policy": {"min_replicas": 1},
        "supabase_config": {"project_ref": "ref", "real_time": {"enabled": True}},
    }
    assert request.headers["apikey"] == KEY
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["x-client-info"].startswith("agent-launchpad-python/")
    assert len(request.headers["idempotency-key"]) == 36


async def test_a_definition_may_be_given_as_the_contract_has_it(kind: str) -> None:
    api = Api()
    await done(client_of(kind, api).agents.create({"agentName": "my-bot"}, idempotency_key="mine"))
    assert json.loads(api.requests[0].content) == {"agentName": "my-bot"}
    assert api.requests[0].headers["idempotency-key"] == "mine"


async def test_an_unknown_argument_is_named(kind: str) -> None:
    api = Api()
    with pytest.raises(TypeError, match=r"'agentname'.*agent_name"):
        await done(client_of(kind, api).agents.create(agentname="x"))
    assert api.requests == []


CALLS: list[tuple[str, list[Any], dict[str, Any], str, str, Any]] = [
    ("agents.list", [], {"limit": 5, "status": "DEPLOYED"}, "GET", "/api/agents?limit=5&status=DEPLOYED", None),
    ("agents.get", ["a/b"], {}, "GET", "/api/agents/a%2Fb", None),
    ("agents.get_status", ["a"], {}, "GET", "/api/agents/a/status", None),
    (
        "agents.update",
        ["a"],
        {"agent_name": "b", "role": None},
        "PUT",
        "/api/agents/a",
        {"agentName": "b", "role": None},
    ),
    ("agents.delete", ["a"], {}, "DELETE", "/api/agents/a", None),
    ("agents.deploy", ["a"], {}, "POST", "/api/agents/a/deploy", None),
    ("agents.scale", ["a", 0], {}, "POST", "/api/agents/a/scale", {"replicas": 0}),
    ("agents.restart", ["a"], {}, "POST", "/api/agents/a/restart", None),
    ("agents.stop", ["a"], {}, "POST", "/api/agents/a/stop", None),
    ("agents.stop_all", [], {}, "POST", "/api/agents/stop-all", None),
    ("agents.start", ["a"], {}, "POST", "/api/agents/a/start", None),
    ("agents.sleep", ["a"], {}, "POST", "/api/agents/a/sleep", None),
    ("agents.wake", ["a"], {}, "POST", "/api/agents/a/wake", None),
    ("agents.rollback", ["a"], {}, "POST", "/api/agents/a/rollback", {}),
    ("agents.rollback", ["a", 2], {}, "POST", "/api/agents/a/rollback", {"revision": 2}),
    ("agents.revisions", ["a"], {"offset": 3}, "GET", "/api/agents/a/revisions?offset=3", None),
    ("agents.export", ["a"], {}, "GET", "/api/agents/a/export", None),
    ("agents.import_bundle", [{"format": "x"}], {}, "POST", "/api/agents/import", {"format": "x"}),
    ("agents.get_metrics", ["a"], {"range": "1h"}, "GET", "/api/agents/a/metrics?range=1h", None),
    ("agents.get_logs", ["a"], {"lines": 5, "text": "é"}, "GET", "/api/agents/a/logs?lines=5&text=%C3%A9", None),
    ("security.scan", ["a"], {}, "POST", "/api/security/scan/a", None),
    ("security.events", [], {"severity": "HIGH"}, "GET", "/api/security/events?severity=HIGH", None),
    ("health.get", [], {}, "GET", "/api/health", None),
    ("system.get_metrics", [], {}, "GET", "/api/system/metrics", None),
    ("users.get_profile", [], {}, "GET", "/api/users/profile", None),
    ("users.update_profile", [], {"username": "a"}, "PUT", "/api/users/profile", {"username": "a"}),
    ("users.export", [], {}, "GET", "/api/users/export", None),
    (
        "agents.keys.create",
        ["a", "site"],
        {"origins": ["https://a.example"], "expires_at": "2027-01-31T00:00:00Z"},
        "POST",
        "/api/agents/a/keys",
        {"name": "site", "origins": ["https://a.example"], "expiresAt": "2027-01-31T00:00:00Z"},
    ),
    ("agents.keys.list", ["a"], {"limit": 5}, "GET", "/api/agents/a/keys?limit=5", None),
    ("agents.keys.revoke", ["a", "k/1"], {}, "DELETE", "/api/agents/a/keys/k%2F1", None),
    ("usage.get", [], {}, "GET", "/api/usage", None),
    (
        "usage.get",
        [],
        {"group_by": ["day", "agent"], "from_day": "2026-01-01"},
        "GET",
        "/api/usage?groupBy=day%2Cagent&from=2026-01-01",
        None,
    ),
    ("budgets.list", [], {}, "GET", "/api/budgets", None),
    (
        "budgets.set",
        [],
        {"limit_micros": 5, "period": "day", "agent_id": "a", "warn_at": 0.5},
        "PUT",
        "/api/budgets",
        {"scope": "agent", "agentId": "a", "period": "day", "limitMicros": 5, "action": "pause", "warnAt": 0.5},
    ),
    ("budgets.delete", ["b"], {}, "DELETE", "/api/budgets/b", None),
    ("plugins.list", [], {"query": "a b", "limit": 5}, "GET", "/api/plugins?query=a+b&limit=5", None),
    ("users.delete_account", ["a@b.c"], {}, "DELETE", "/api/users/profile?confirm=a%40b.c", None),
]


@pytest.mark.parametrize(
    ("name", "args", "options", "method", "target", "body"), CALLS, ids=[f"{c[0]}-{c[4]}" for c in CALLS]
)
async def test_each_method_makes_its_request(
    kind: str, name: str, args: list[Any], options: dict[str, Any], method: str, target: str, body: Any
) -> None:
    api = Api()
    method_of_client = operator.attrgetter(name)(client_of(kind, api))
    returned = await done(method_of_client(*args, **options))
    assert returned == (None if name == "agents.keys.revoke" else {})
    [request] = api.requests
    assert (request.method, request.url.raw_path.decode()) == (method, target)
    assert (json.loads(request.content) if request.content else None) == body
    assert ("idempotency-key" in request.headers) == (method == "POST")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "VALIDATION_ERROR", InvalidRequestError),
        (401, "INVALID_JWT_TOKEN", AuthenticationError),
        (402, "BUDGET_EXHAUSTED", LimitError),
        (403, "AGENT_LIMIT_REACHED", AccessDeniedError),
        (403, "A_CODE_OF_TOMORROW", AccessDeniedError),
        (404, "AGENT_NOT_FOUND", NotFoundError),
        (409, "CONFLICT", ConflictError),
        (422, "SECURITY_SCAN_FAILED", InvalidRequestError),
        (429, "RESOURCE_LIMIT_EXCEEDED", LimitError),
        (500, "INTERNAL_ERROR", UnavailableError),
    ],
)
async def test_an_error_has_its_class_and_all_its_facts(
    kind: str, status: int, code: str, error: type[AgentLaunchpadError]
) -> None:
    supabase = {"rls_applied": True, "user_isolation": "active"}
    api = Api(failure(code, status, "Sorry", details={"field": "Must be right"}, supabase_details=supabase))
    with pytest.raises(error, match=f"{code}: Sorry \\(req-1\\)") as caught:
        await done(client_of(kind, api, max_retries=0).agents.get("a"))
    raised = caught.value
    assert type(raised) is error
    assert (raised.code, raised.status, raised.request_id, raised.message) == (code, status, "req-1", "Sorry")
    assert raised.details == {"field": "Must be right"}
    assert raised.supabase_details == supabase
    assert len(api.requests) == 1
    copied = pickle.loads(pickle.dumps(raised))
    assert (type(copied), copied.code, copied.details) == (error, code, raised.details)
    assert copied.supabase_details == supabase


async def test_postgrests_errors_become_ours(kind: str) -> None:
    body: Any = {
        "code": "VALIDATION_ERROR",
        "message": "Wrong",
        "details": '{"name": "Name is required"}',
        "hint": None,
    }
    api = Api(httpx.Response(400, json=body, headers={"x-request-id": "req-2"}))
    with pytest.raises(InvalidRequestError) as caught:
        await done(client_of(kind, api).swarms.create(""))
    assert caught.value.details == {"name": "Name is required"}
    assert caught.value.request_id == "req-2"
    assert str(api.requests[0].url) == f"{URL}/rest/v1/swarms"
    api = Api(httpx.Response(401, json={"code": "PGRST301", "message": "JWSError", "details": None}))
    with pytest.raises(AuthenticationError) as caught_too:
        await done(client_of(kind, api).swarms.list())
    assert caught_too.value.code == "INVALID_JWT_TOKEN"
    assert caught_too.value.details == {"upstream_code": "PGRST301"}
    for status, code in ((403, "PERMISSION_DENIED"), (405, "METHOD_NOT_ALLOWED"), (500, "INTERNAL_ERROR")):
        api = Api(httpx.Response(status, json={"message": "No"}))
        with pytest.raises(AgentLaunchpadError, match=f"^{code}: No$"):
            await done(client_of(kind, api).swarms.list())


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(404, text="nothing here")])
async def test_a_wrong_address_is_said_to_be_one(kind: str, answer: httpx.Response) -> None:
    with pytest.raises(AgentLaunchpadError) as caught:
        await done(client_of(kind, Api(answer)).agents.get("a"))
    assert caught.value.code == "INVALID_RESPONSE"
    assert "api.example.com" in caught.value.message


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(kind: str, waits: list[float]) -> None:
    api = Api(httpx.ReadError("cut"), httpx.Response(503, text="down"), httpx.Response(201, json={"agentId": "a"}))
    assert (await done(client_of(kind, api).agents.create(agent_name="x")))["agentId"] == "a"
    assert len({request.headers["idempotency-key"] for request in api.requests}) == 1
    assert len(api.requests) == 3
    assert len(waits) == 2
    assert waits[0] < waits[1]


async def test_what_cannot_be_repeated_is_not(kind: str) -> None:
    api = Api(httpx.ReadError("cut"), httpx.Response(201, json=[{"id": "1"}]))
    with pytest.raises(UnavailableError):
        await done(client_of(kind, api).messages.send("hello", agent_id="a"))
    assert len(api.requests) == 1
    # Where the server saw nothing of it, it is.
    api = Api(httpx.ConnectError("refused"), httpx.Response(201, json=[{"id": "1"}]))
    assert (await done(client_of(kind, api).messages.send("hello", agent_id="a")))["id"] == "1"


async def test_a_rate_limit_is_waited_for_within_bounds(kind: str, waits: list[float]) -> None:
    limited = failure("RATE_LIMIT_EXCEEDED", 429, retry_after=42)
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "99", "x-ratelimit-reset": "1795311000"}
    api = Api(limited, httpx.Response(200, json={"agents": []}, headers=headers))
    client = client_of(kind, api)
    await done(client.agents.list())
    assert len(waits) == 1
    assert 42.0 <= waits[0] <= 42.25
    assert (client.rate_limit.limit, client.rate_limit.remaining) == (100, 99)
    with pytest.raises(LimitError) as caught:
        await done(client_of(kind, Api(limited), max_retry_wait=10).agents.list())
    assert caught.value.retry_after == 42.0
    api = Api(failure("RESOURCE_LIMIT_EXCEEDED", 429))
    with pytest.raises(LimitError):
        await done(client_of(kind, api).agents.start("a"))
    assert len(api.requests) == 1, "a quota does not grow by waiting"


async def test_no_answer_ends_in_one_sentence(kind: str, waits: list[float]) -> None:
    api = Api(httpx.ReadTimeout("slow"))
    with pytest.raises(LaunchpadTimeoutError, match=r"https://api\.example\.com did not answer within 30 s") as caught:
        await done(client_of(kind, api, max_retries=2).agents.get("a"))
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.code, caught.value.status) == ("TIMEOUT", 0)
    assert len(api.requests) == 3
    with pytest.raises(UnavailableError, match=r"Cannot reach https://api\.example\.com: .*refused"):
        await done(client_of(kind, Api(httpx.ConnectError("refused")), max_retries=0).agents.get("a"))


async def test_a_change_that_may_have_arrived_is_not_repeated(kind: str) -> None:
    for change in ("update", "delete"):
        api = Api(httpx.ReadError("cut"), httpx.Response(200, json={}))
        with pytest.raises(UnavailableError):
            await done(getattr(client_of(kind, api).agents, change)("a"))
        assert len(api.requests) == 1


async def test_each_repeat_is_told(kind: str, waits: list[float]) -> None:
    told: list[Retry] = []
    api = Api(httpx.ReadError("cut"), failure("INTERNAL_ERROR", 500), httpx.Response(200, json={}))
    await done(client_of(kind, api, on_retry=told.append).agents.get("a"))
    assert [(retry.method, retry.path, retry.attempt, retry.error.code) for retry in told] == [
        ("GET", "/api/agents/a", 1, "SUPABASE_CONNECTION_ERROR"),
        ("GET", "/api/agents/a", 2, "INTERNAL_ERROR"),
    ]
    assert [retry.wait for retry in told] == waits


async def test_deleting_each_item_of_a_walk_leaves_none(kind: str) -> None:
    agents = [f"agent-{n:03}" for n in range(250)]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            agents.remove(request.url.path.rsplit("/", 1)[1])
            return httpx.Response(200, json={})
        rest = [name for name in agents if name > request.url.params.get("after", "")]
        page = rest[: int(request.url.params["limit"])]
        following = page[-1] if len(rest) > len(page) else None
        return httpx.Response(200, json={"agents": [{"agentId": name} for name in page], "nextCursor": following})

    client = client_of(kind, Api(answer))
    found = []
    if kind == "sync":
        for agent in client.agents.iterate():
            found.append(agent["agentId"])
            client.agents.delete(agent["agentId"])
    else:
        async for agent in client.agents.iterate():
            found.append(agent["agentId"])
            await client.agents.delete(agent["agentId"])
    assert len(found) == 250
    assert agents == []


@pytest.mark.parametrize(
    ("error", "code", "sent_again"),
    [
        (AuthRetryableError("connection refused", 0), "SUPABASE_CONNECTION_ERROR", True),
        (AuthRetryableError("bad gateway", 502), "SUPABASE_CONNECTION_ERROR", True),
        (AuthUnknownError("not JSON", ValueError()), "SUPABASE_CONNECTION_ERROR", True),
        (AuthApiError("failed", 500, None), "SUPABASE_CONNECTION_ERROR", True),
        (httpx.ConnectError("refused"), "SUPABASE_CONNECTION_ERROR", True),
        (AuthApiError("slow down", 429, "over_request_rate_limit"), "RATE_LIMIT_EXCEEDED", True),
        (AuthApiError("Invalid Refresh Token", 400, "session_not_found"), "INVALID_JWT_TOKEN", False),
    ],
)
async def test_auth_that_is_down_is_not_a_session_that_has_ended(
    kind: str, waits: list[float], error: Exception, code: str, sent_again: bool
) -> None:
    api = Api(httpx.Response(201, json=[{"id": "1"}]))
    client = client_of(kind, api, token=None, max_retries=1)
    failures = [error, error]
    session = SimpleNamespace(access_token="renewed")

    def renew() -> Any:
        if failures:
            raise failures.pop()
        return session

    async def renew_later() -> Any:
        return renew()

    client.transport.supabase.auth.get_session = renew if kind == "sync" else renew_later
    with pytest.raises(AgentLaunchpadError) as caught:
        await done(client.messages.send("hello", agent_id="a"))
    assert caught.value.code == code
    assert len(waits) == (1 if sent_again else 0)
    failures[1:] = []
    if sent_again:
        # Nothing had left, so that an insert is made again too.
        failures.append(error)
        assert (await done(client.messages.send("hello", agent_id="a")))["id"] == "1"


class Agent:
    """Answers what is asked of an agent: each look at its row takes the next state of its life."""

    def __init__(self, *phases: str, reason: str | None = None, message: str | None = None) -> None:
        self.report = {"status": phases[-1], "reason": reason, "message": message}
        self._left = list(phases)
        self.events: list[dict[str, Any]] = []
        self.api = Api(self.answer)
        self.phase = ""
        self._step()

    def _step(self) -> None:
        if self._left:
            self.phase = self._left.pop(0)
            row = {"seq": len(self.events) + 1, "event_type": "X", "to_phase": self.phase, "timestamp": "then"}
            self.events.append(row)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, query = request.url.path, request.url.params
        if path.startswith("/api/"):
            return httpx.Response(200, json=self.report)
        if path == "/rest/v1/agents":
            gone = self.phase == "DELETED"
            rows = [] if gone else [{"id": "a", "status": self.phase.lower(), "updated_at": "now"}]
            self._step()
            return httpx.Response(200, json=rows)
        after = int(query["seq"].removeprefix("gt.")) if "seq" in query else None
        newest = self.events[-1:]
        return httpx.Response(200, json=newest if after is None else [e for e in self.events if e["seq"] > after])


async def test_waiting_ends_with_the_reason_of_a_failure(kind: str) -> None:
    agent = Agent("DEPLOYING", "FAILED", reason="PLUGIN_NOT_FOUND", message="Plugin x is missing")
    with pytest.raises(UnavailableError, match="Plugin x is missing") as caught:
        await done(client_of(kind, agent.api).agents.wait_until("a"))
    assert (caught.value.code, caught.value.status) == ("DEPLOYMENT_FAILED", 500)
    assert caught.value.details == {"agentId": "a", "reason": "PLUGIN_NOT_FOUND"}


async def test_waiting_ends_where_the_agent_is_gone(kind: str) -> None:
    for life in (["DELETED"], ["DEPLOYED", "DELETING", "DELETED"]):
        assert await done(client_of(kind, Agent(*life).api).agents.wait_until("a", "DELETED")) is None
    for life in (["DELETED"], ["DEPLOYING", "DELETING"]):
        with pytest.raises(NotFoundError, match="Agent 'a' was deleted before it was DEPLOYED"):
            await done(client_of(kind, Agent(*life).api).agents.wait_until("a"))
    stranger = Api(httpx.Response(200, json=[]))
    with pytest.raises(NotFoundError, match="Agent with ID 'a' not found or access denied"):
        await done(client_of(kind, stranger).agents.wait_until("a"))


async def test_waiting_ends_after_its_time(kind: str) -> None:
    for until, sought in (("DEPLOYED", "DEPLOYED"), (["STOPPED", "IDLE"], "IDLE or STOPPED")):
        with pytest.raises(LaunchpadTimeoutError, match=f"^TIMEOUT: Agent 'a' was not {sought} within 0 s$"):
            await done(client_of(kind, Agent("DEPLOYING").api).agents.wait_until("a", until, timeout=0))


async def test_a_phase_that_came_and_went_was_reached(kind: str) -> None:
    agent = Agent("DEPLOYING", "DEPLOYED", "SCALING", "SCALING")
    agent._step()
    agent._step()
    updates: list[Any] = []
    report = await done(client_of(kind, agent.api).agents.wait_until("a", on_progress=updates.append, after=1))
    assert report == agent.report
    told = [update["event"]["to_phase"] if update["type"] == "event" else update["status"] for update in updates]
    assert told[:3] == ["SCALING", "DEPLOYED", "SCALING"], "the present status, then the history after the first event"


async def test_history_is_told_though_the_status_is_there_already(kind: str) -> None:
    agent = Agent("QUEUED", "DEPLOYED")
    agent._step()
    updates: list[Any] = []
    await done(client_of(kind, agent.api).agents.wait_until("a", after=0, on_progress=updates.append))
    assert [update["event"]["seq"] for update in updates if update["type"] == "event"] == [1, 2]


async def test_progress_tells_the_whole_launch_and_each_trouble_once(kind: str, waits: list[float]) -> None:
    agent = Agent("QUEUED", "DEPLOYING", "DEPLOYED")
    troubles = [failure("INTERNAL_ERROR", 500)] * 2
    updates: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/rest/v1/agent_events" and "seq" in request.url.params and troubles:
            return troubles.pop()
        return agent.answer(request)

    async def later(update: Any) -> None:
        updates.append(update)

    on_progress = updates.append if kind == "sync" else later
    client = client_of(kind, Api(answer), max_retries=0)
    await done(client.agents.wait_until("a", after=0, on_progress=on_progress))
    assert [update["event"]["seq"] for update in updates if update["type"] == "event"] == [1, 2, 3]
    statuses = [update["status"] for update in updates if update["type"] == "status"]
    assert (statuses[0], statuses[-1]) == ("QUEUED", "DEPLOYED")
    assert len(waits) == 2, "after each trouble a pause, though there was history to be read"
    [trouble] = [update for update in updates if update["type"] == "error"]
    assert (trouble["error"].code, trouble["final"], trouble["agentId"]) == ("INTERNAL_ERROR", False, "a")


async def test_a_function_of_a_report_may_be_waited_for(kind: str) -> None:
    agent = Agent("DEPLOYED")
    seen: list[Any] = []

    def enough(report: Any) -> bool:
        seen.append(report)
        return len(seen) == 2

    assert await done(client_of(kind, agent.api).agents.wait_until("a", enough)) == agent.report
    failed = Agent("FAILED")
    report = await done(client_of(kind, failed.api).agents.wait_until("a", lambda report: report["status"] == "FAILED"))
    assert report == failed.report


async def test_an_answer_that_failed_says_why(kind: str) -> None:
    error = {"code": "MODEL_KEY_MISSING", "message": "The agent has no key"}
    answer = {"id": "m-2", "status": "error", "error": error}
    api = Api(
        httpx.Response(201, json=[{"id": "m-1"}]), httpx.Response(200, json=[]), httpx.Response(200, json=[answer])
    )
    with pytest.raises(AnswerFailedError, match="The agent has no key") as caught:
        await done(client_of(kind, api).messages.ask("a", "Hello"))
    assert (caught.value.code, caught.value.status) == ("ANSWER_FAILED", 0)
    assert caught.value.details == {"code": "MODEL_KEY_MISSING", "messageId": "m-2"}
    assert api.requests[-1].url.params["reply_to"] == "eq.m-1"
    nothing = Api(httpx.Response(201, json=[{"id": "m-1"}]), httpx.Response(200, json=[]))
    with pytest.raises(LaunchpadTimeoutError, match=r"Agent 'a' did not answer within 0\.01 s"):
        await done(client_of(kind, nothing).messages.ask("a", "Hello", timeout=0.01))


class Told:
    """Replies to a question, as they come."""

    def __init__(self, kind: str, *replies: dict[str, Any]) -> None:
        self._kind = kind
        self._left = list(replies)

    def next(self, timeout: float) -> Any:
        reply = self._left.pop(0) if self._left else None

        async def later() -> Any:
            return reply

        return reply if self._kind == "sync" else later()


async def test_the_pieces_of_an_answer_and_that_it_began_anew_are_passed_on(kind: str) -> None:
    mine = {"replyTo": "q", "messageId": "m"}
    told: Any = Told(
        kind,
        {**mine, "event": "started"},
        {**mine, "event": "delta", "text": "Goo"},
        {"replyTo": "another", "event": "delta", "text": "Not mine"},
        {"event": "step", "messageId": "m", "kind": "model"},
        {**mine, "event": "pondering"},
        {**mine, "event": "retried"},
        {**mine, "event": "started"},
        {**mine, "event": "delta", "text": "Good "},
        {**mine, "event": "delta", "text": "day"},
        {**mine, "event": "finished"},
        {**mine, "event": "delta", "text": "Too late"},
    )
    pieces: list[tuple[str, bool]] = []

    def note(piece: str, restarted: bool) -> None:
        pieces.append((piece, restarted))

    hearing: Any = (Hearing if kind == "sync" else AsyncHearing)(told, note)
    await done(hearing.until_end("q", 60))
    assert pieces == [("Goo", False), ("Good ", True), ("day", False)]


async def test_options_of_some_calls(kind: str, waits: list[float]) -> None:
    down = Api(httpx.ReadTimeout("slow"))
    client = client_of(kind, down)
    hasty = client.with_options(timeout=2, max_retries=0)
    with pytest.raises(LaunchpadTimeoutError, match="within 2 s"):
        await done(hasty.agents.get("a"))
    assert len(down.requests) == 1
    assert down.requests[0].extensions["timeout"]["read"] == 2
    assert client.transport.max_retries == 3
    assert hasty.transport.max_retry_wait == 65.0
    assert hasty.subscriptions is client.subscriptions
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "1795311000"}
    up = Api(httpx.Response(200, json={}, headers=headers))
    client = client_of(kind, up)
    await done(client.with_options(timeout=None).agents.get("a"))
    assert up.requests[0].extensions["timeout"]["read"] is None
    assert client.rate_limit.remaining == 9


async def test_nobody_signed_in_is_told_before_any_request(kind: str, waits: list[float]) -> None:
    api = Api()
    client = client_of(kind, api, token=None)
    with pytest.raises(AuthenticationError, match=r"No user is signed in: .*sign_in_with_password\(\)") as caught:
        await done(client.agents.list())
    assert (caught.value.code, caught.value.status) == ("INVALID_JWT_TOKEN", 0)
    assert api.requests == []
    assert waits == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"x-ratelimit-limit": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, 0.0),
        ({"x-ratelimit-limit": "5", "x-ratelimit-remaining": "1", "x-ratelimit-reset": "1"}, None),
        ({}, None),
    ],
)
async def test_when_to_come_again_is_read_from_the_headers(
    kind: str, headers: dict[str, str], seconds: float | None
) -> None:
    limited = httpx.Response(429, json={"error": {"code": "RATE_LIMIT_EXCEEDED", "message": "x"}}, headers=headers)
    with pytest.raises(LimitError) as caught:
        await done(client_of(kind, Api(limited), max_retries=0).agents.list())
    assert caught.value.retry_after == seconds


async def test_the_other_kind_of_supabase_client_is_refused_at_once(kind: str) -> None:
    mine, other = (AgentLaunchpadClient, AsyncClient) if kind == "sync" else (AsyncAgentLaunchpadClient, Client)
    wrong: Any = other(URL, KEY)
    with pytest.raises(TypeError, match="use A"):
        mine(wrong)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (None, f"{URL}/functions/v1/api/health"),
        ("http://localhost:1/", "http://localhost:1/api/health"),
        ("https://x.example.com/api", "https://x.example.com/api/health"),
    ],
)
async def test_where_the_api_is(kind: str, given: str | None, asked: str) -> None:
    api = Api()
    await done(client_of(kind, api, base_url=given).health.get())
    assert str(api.requests[0].url) == asked


BAD: list[tuple[str, Callable[[Any], Any]]] = [
    ("agent_id: Must be the id of an agent", lambda client: client.agents.get("")),
    ("agent_id: Must be the id of an agent", lambda client: client.agents.get("..")),
    ("agent_id: Must be the id of an agent", lambda client: client.agents.stop(None)),
    ("agent_id: Must be the id of an agent", lambda client: client.agents.list_secrets(5)),
    ("agent_id: Must be the id of an agent", lambda client: client.agents.wait_until("")),
    ("agent_id: Must be the id of an agent", lambda client: some(client.agents.tail_logs(""))),
    ("agent_id: Must be the id of an agent", lambda client: client.security.scan("")),
    ("agent_id: Must be the id of an agent", lambda client: client.messages.ask("", "Hello")),
    ("agent_id: Must be the id of an agent", lambda client: client.messages.list(agent_id="a,b")),
    ("agent_id: Must be the id of an agent", lambda client: client.messages.subscribe({"agent_id": "A)"}, print)),
    ("agent_id: Must be the id of an agent", lambda client: client.subscribe_to_agent("", print)),
    ("agent_id: Must be an id", lambda client: client.swarms.add_agent("s", "")),
    ("swarm_id: Must be an id", lambda client: client.swarms.delete("")),
    ("swarm_id: Must be an id", lambda client: client.messages.subscribe({"swarm_id": ""}, print)),
    ("message_id: Must be an id", lambda client: client.messages.delete("")),
    ("conversation: Must have agent_id or swarm_id", lambda client: client.messages.subscribe("a", print)),
    ("conversation: Must have agent_id or swarm_id", lambda client: client.messages.subscribe({}, print)),
    (
        "conversation: Must have agent_id or swarm_id",
        lambda client: client.messages.subscribe({"conversation_id": "c"}, print),
    ),
    (
        "conversation: Must be one of agent_id, swarm_id and conversation_id",
        lambda client: client.messages.list(agent_id="a", swarm_id="s"),
    ),
    ("handler: Must be a function", lambda client: client.subscribe_to_agent("a", None)),
    ("handler: Must be a function", lambda client: client.security.subscribe("print")),
    ("handler: Must be a function", lambda client: client.messages.subscribe({"agent_id": "a"}, {})),
    ("on_connection: Must be a function", lambda client: client.security.subscribe(print, on_connection=1)),
    ("on_progress: Must be a function", lambda client: client.agents.wait_until("a", on_progress=1)),
    ("on_text: Must be a function", lambda client: client.messages.ask("a", "Hello", on_text=1)),
    (
        "include: Must name one or more of status, event, log, metrics",
        lambda client: client.subscribe_to_agent("a", print, include=["logs"]),
    ),
    (
        "idempotency_key: Must be 1 to 255 visible ASCII characters",
        lambda client: client.agents.restart("a", idempotency_key=""),
    ),
    (
        "idempotency_key: Must be 1 to 255 visible ASCII characters",
        lambda client: client.agents.create(agent_name="a", idempotency_key="naïve"),
    ),
]


@pytest.mark.parametrize(("message", "call"), BAD)
async def test_bad_arguments_are_refused_before_any_request(
    kind: str, message: str, call: Callable[[Any], Any]
) -> None:
    api = Api()
    with pytest.raises(InvalidRequestError) as caught:
        await done(call(client_of(kind, api)))
    field, problem = message.split(": ", 1)
    error = caught.value
    assert (error.message, error.code, error.status) == (message, "VALIDATION_ERROR", 0)
    assert error.details == {field: problem}
    assert api.requests == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("api.example.com", "Must be a URL such as https://api.example.com"),
        ("http://", "Must be a URL such as https://api.example.com"),
        ("ftp://api.example.com", "Must begin with https:// or http://"),
    ],
)
async def test_an_address_that_cannot_be_one_is_refused(kind: str, address: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem) as caught:
        client_of(kind, Api(), base_url=address)
    assert (caught.value.status, caught.value.details) == (0, {"base_url": problem})


async def test_both_clients_offer_the_same(kind: str) -> None:
    """A method of one client has its twin with the same arguments in the other."""
    mine, other = client_of(kind, Api()), client_of("async" if kind == "sync" else "sync", Api())
    for group in ("agents", "security", "health", "system", "users", "swarms", "messages"):
        for name, method in inspect.getmembers(getattr(mine, group), inspect.ismethod):
            twin = getattr(getattr(other, group), name)
            mine_has, other_has = (
                [argument for argument in inspect.signature(each).parameters if argument != "daemon"]
                for each in (method, twin)
            )
            assert mine_has == other_has
