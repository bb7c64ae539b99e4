# Generated from _async/plugins.py by tools/generate.py: do not edit.

"""Which packages an agent may name as plugins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from typing_extensions import Unpack

from .. import _operations as op
from .._call import given
from ..models import Plugin, PluginList, PluginsQuery

if TYPE_CHECKING:
    from .client import AgentLaunchpadClient

PAGE = 100


class PluginsApi:
    """Plugins that come with the runtime or that an agent was launched with before.

    Any other package that the operator's rules allow may be named too.
    """

    def __init__(self, client: AgentLaunchpadClient) -> None:
        self._transport = client.transport
        self._request = client.transport.request

    def list(self, **query: Unpack[PluginsQuery]) -> PluginList:
        """One page of plugins by name, each with its version, engine and settings."""
        return cast(PluginList, self._request(op.LIST_PLUGINS.call(query=given(**query))))

    def iterate(self) -> Iterator[Plugin]:
        """Every plugin by name, page by page."""
        return self._transport.pages(op.LIST_PLUGINS.call(query={"limit": PAGE}), "plugins")

    def search(self, words: str) -> Iterator[Plugin]:
        """Those of which name or description hold every word, page by page."""
        return self._transport.pages(op.LIST_PLUGINS.call(query={"query": words, "limit": PAGE}), "plugins")
