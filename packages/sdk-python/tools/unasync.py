"""The synchronous twin of an asynchronous module, by replacing words."""

from __future__ import annotations

import re

# In this order. What cannot be said by words stands in `_platform.py`, `subscribing.py` and
# `subscriptions.py`, written twice.
WORDS: tuple[tuple[str, str], ...] = (
    (r"\basync def\b", "def"),
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\baclosing\b", "closing"),
    (r"\basync_", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bAn asynchronous\b", "A synchronous"),
    (r"\basynchronous\b", "synchronous"),
)

NOTE = "# Generated from _async/{name} by tools/generate.py: do not edit.\n\n"


def synchronous(text: str, name: str) -> str:
    """Gives the twin of `text`, the module `name`."""
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    return NOTE.format(name=name) + text
