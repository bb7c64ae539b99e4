"""Security, health, system and the caller's own account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

from typing_extensions import Unpack

from .. import _operations as op
from .._call import Call, given, renamed, secrets_query
from ..models import (
    AccountDeleted,
    Health,
    KnownSeverity,
    SecurityEvent,
    SecurityEvents,
    SecurityEventsQuery,
    SecurityScan,
    SystemMetrics,
    UpdateProfileArguments,
    UserExport,
    UserProfile,
)
from ..rows import RlsPolicies, Secret, StoredSecret, SupabaseHealth
from .subscribing import AsyncSecuritySubscribing

if TYPE_CHECKING:
    from .client import AsyncAgentLaunchpadClient


class AsyncSecurityApi(AsyncSecuritySubscribing):
    """Security events and scans."""

    def __init__(self, client: AsyncAgentLaunchpadClient) -> None:
        self._client = client
        self._request = client.transport.request

    async def scan(self, agent_id: str, *, idempotency_key: str | None = None) -> SecurityScan:
        """Scans an agent: posture, known vulnerabilities, the database's controls."""
        call = op.SCAN_AGENT.call(agent_id, idempotency_key=idempotency_key)
        return cast(SecurityScan, await self._request(call))

    async def events(self, **query: Unpack[SecurityEventsQuery]) -> SecurityEvents:
        """The caller's security events, newest first."""
        return cast(SecurityEvents, await self._request(op.LIST_SECURITY_EVENTS.call(query=given(**query))))

    def iterate_events(
        self, *, severity: KnownSeverity | None = None, event_type: str | None = None, since: str | None = None
    ) -> AsyncIterator[SecurityEvent]:
        """Every security event of the caller, newest first, page by page. The arguments are those of `events`."""
        query = given(severity=severity, event_type=event_type, since=since, limit=500)
        return self._client.transport.pages(op.LIST_SECURITY_EVENTS.call(query=query), "events")

    async def check_rls_policies(self) -> RlsPolicies:
        """Row-level security of every table, as the catalogue has it."""
        return cast(RlsPolicies, await self._request(Call("GET", "/rpc/check_rls_policies", rest=True)))


class AsyncHealthApi:
    """The health of every component."""

    def __init__(self, client: AsyncAgentLaunchpadClient) -> None:
        self._request = client.transport.request

    async def get(self) -> Health:
        """The health, measured now. A bad one is an answer, not an error."""
        return cast(Health, await self._request(op.GET_HEALTH.call()))

    async def supabase(self) -> SupabaseHealth:
        """What the database itself says of the platform's parts and of the caller's rights."""
        return cast(SupabaseHealth, await self._request(Call("GET", "/rpc/health_check", rest=True)))


class AsyncSystemApi:
    """The fleet."""

    def __init__(self, client: AsyncAgentLaunchpadClient) -> None:
        self._request = client.transport.request

    async def get_metrics(self) -> SystemMetrics:
        """The figures of the fleet and the capacity of its cluster."""
        return cast(SystemMetrics, await self._request(op.GET_SYSTEM_METRICS.call()))


class AsyncUsersApi:
    """The caller's account."""

    def __init__(self, client: AsyncAgentLaunchpadClient) -> None:
        self._request = client.transport.request

    async def get_profile(self) -> UserProfile:
        """Account and profile."""
        return cast(UserProfile, await self._request(op.GET_PROFILE.call()))

    async def update_profile(self, **fields: Unpack[UpdateProfileArguments]) -> UserProfile:
        """Changes the profile: a field left out stays, None clears one. Permissions can only be narrowed."""
        body = renamed(fields, op.UPDATE_PROFILE_ARGUMENTS)
        return cast(UserProfile, await self._request(op.UPDATE_PROFILE.call(body=body)))

    async def export(self) -> UserExport:
        """Everything that the caller owns; secrets by name only."""
        return cast(UserExport, await self._request(op.EXPORT_MY_DATA.call()))

    async def list_secrets(self) -> list[Secret]:
        """Names and versions of the account's secrets, by name: model keys of agents without a deployment."""
        return cast("list[Secret]", await self._request(Call("GET", "/user_secrets", query=secrets_query(), rest=True)))

    async def set_secret(self, name: str, value: str) -> StoredSecret:
        """Stores or replaces one of the account's secrets."""
        body = {"name": name, "value": value}
        return cast(StoredSecret, await self._request(Call("POST", "/rpc/set_user_secret", body=body, rest=True)))

    async def remove_secret(self, name: str) -> None:
        """Removes one of the account's secrets. Raises `NOT_FOUND` where there is none of this name."""
        await self._request(Call("POST", "/rpc/remove_user_secret", body={"name": name}, rest=True))

    async def delete_account(self, confirm: str) -> AccountDeleted:
        """Deletes the account and its personal data, for good.

        Args:
            confirm: the account's e-mail address.
        """
        return cast(AccountDeleted, await self._request(op.DELETE_ACCOUNT.call(query={"confirm": confirm})))
