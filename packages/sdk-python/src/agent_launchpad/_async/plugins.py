"""Which packages an agent may name as plugins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

from typing_extensions import Unpack

from .. import _operations as op
from .._call import given
from ..models import Plugin, PluginList, PluginsQuery

if TYPE_CHECKING:
    from .client import AsyncAgentLaunchpadClient

PAGE = 100


class AsyncPluginsApi:
    """Plugins that come with the runtime or that an agent was launched with before.

    Any other package that the operator's rules allow may be named too.
    """

    def __init__(self, client: AsyncAgentLaunchpadClient) -> None:
        self._transport = client.transport
        self._request = client.transport.request

    async def list(self, **query: Unpack[PluginsQuery]) -> PluginList:
        """One page of plugins by name, each with its version, engine and settings."""
        return cast(PluginList, await self._request(op.LIST_PLUGINS.call(query=given(**query))))

    def iterate(self) -> AsyncIterator[Plugin]:
        """Every plugin by name, page by page."""
        return self._transport.pages(op.LIST_PLUGINS.call(query={"limit": PAGE}), "plugins")

    def search(self, words: str) -> AsyncIterator[Plugin]:
        """Those of which name or description hold every word, page by page."""
        return self._transport.pages(op.LIST_PLUGINS.call(query={"query": words, "limit": PAGE}), "plugins")
