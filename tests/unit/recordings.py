"""Recorders for tests, and what their messages look like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def shown(sent: Iterable[Any]) -> list[str]:
    """Return how messages are shown where an assertion fails."""
    return [message.describe() for message in sent]
