# Generated from _async/account.py by tools/generate.py: do not edit.

"""Security, health, system and the caller's own account."""

from __future__ import annotations

from collections.abc import Iterator
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
from .subscribing import SecuritySubscribing

if TYPE_CHECKING:
    from .client import AgentLaunchpadClient


class SecurityApi(SecuritySubscribing):
    """Security events and scans."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._client = client
        self._request = client.transport.request

    def scan(self, agent_id: str, *, idempotency_key: str | None = None) -> SecurityScan:
        """Scans an agent: posture, known vulnerabilities, the database's controls."""
        call = op.SCAN_AGENT.call(agent_id, idempotency_key=idempotency_key)
        return cast(SecurityScan, self._request(call))

    def events(self, **query: Unpack[SecurityEventsQuery]) -> SecurityEvents:
        """The caller's security events, newest first."""
        return cast(SecurityEvents, self._request(op.LIST_SECURITY_EVENTS.call(query=given(**query))))

    def iterate_events(
        self, *, severity: KnownSeverity | None = None, event_type: str | None = None, since: str | None = None
    ) -> Iterator[SecurityEvent]:
        """Every security event of the caller, newest first, page by page. The arguments are those of `events`."""
        query = given(severity=severity, event_type=event_type, since=since, limit=500)
        return self._client.transport.pages(op.LIST_SECURITY_EVENTS.call(query=query), "events")

    def check_rls_policies(self) -> RlsPolicies:
        """Row-level security of every table, as the catalogue has it."""
        return cast(RlsPolicies, self._request(Call("GET", "/rpc/check_rls_policies", rest=True)))


class HealthApi:
    """The health of every component."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._request = client.transport.request

    def get(self) -> Health:
        """The health, measured now. A bad one is an answer, not an error."""
        return cast(Health, self._request(op.GET_HEALTH.call()))

    def supabase(self) -> SupabaseHealth:
        """What the database itself says of the platform's parts and of the caller's rights."""
        return cast(SupabaseHealth, self._request(Call("GET", "/rpc/health_check", rest=True)))


class SystemApi:
    """The fleet."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._request = client.transport.request

    def get_metrics(self) -> SystemMetrics:
        """The figures of the fleet and the capacity of its cluster."""
        return cast(SystemMetrics, self._request(op.GET_SYSTEM_METRICS.call()))


class UsersApi:
    """The caller's account."""

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._request = client.transport.request

    def get_profile(self) -> UserProfile:
        """Account and profile."""
        return cast(UserProfile, self._request(op.GET_PROFILE.call()))

    def update_profile(self, **fields: Unpack[UpdateProfileArguments]) -> UserProfile:
        """Changes the profile: a field left out stays, None clears one. Permissions can only be narrowed."""
        body = renamed(fields, op.UPDATE_PROFILE_ARGUMENTS)
        return cast(UserProfile, self._request(op.UPDATE_PROFILE.call(body=body)))

    def export(self) -> UserExport:
        """Everything that the caller owns; secrets by name only."""
        return cast(UserExport, self._request(op.EXPORT_MY_DATA.call()))

    def list_secrets(self) -> list[Secret]:
        """Names and versions of the account's secrets, by name: model keys of agents without a deployment."""
        return cast("list[Secret]", self._request(Call("GET", "/user_secrets", query=secrets_query(), rest=True)))

    def set_secret(self, name: str, value: str) -> StoredSecret:
        """Stores or replaces one of the account's secrets."""
        body = {"name": name, "value": value}
        return cast(StoredSecret, self._request(Call("POST", "/rpc/set_user_secret", body=body, rest=True)))

    def remove_secret(self, name: str) -> None:
        """Removes one of the account's secrets. Raises `NOT_FOUND` where there is none of this name."""
        self._request(Call("POST", "/rpc/remove_user_secret", body={"name": name}, rest=True))

    def delete_account(self, confirm: str) -> AccountDeleted:
        """Deletes the account and its personal data, for good.

        Args:
            confirm: the account's e-mail address.
        """
        return cast(AccountDeleted, self._request(op.DELETE_ACCOUNT.call(query={"confirm": confirm})))
