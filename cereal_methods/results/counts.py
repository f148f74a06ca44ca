"""The numbers of a bulk: how many of its rows have ended, and in which way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Failure(NamedTuple):
    """A row without a result.

    ``key`` is its primary key, or None if it is unknown; ``error`` is the reason, in one line.
    """

    key: Any
    error: str


@dataclass(frozen=True, slots=True, repr=False)
class Counts:
    """The number of rows (``total``), and how many of them have ended in which way.

    The other attributes are numbers of rows too, with the meaning they have in ``BulkResult``.
    """

    total: int
    succeeded: int = 0
    failed: int = 0
    missing: int = 0
    ignored: int = 0
    revoked: int = 0
    expired: int = 0

    def __repr__(self) -> str:
        optional = ("ignored", "revoked", "expired")
        names = ["total", "succeeded", "failed", "missing"]
        names += [name for name in optional if getattr(self, name)]
        return f"Counts({', '.join(f'{name}={getattr(self, name)}' for name in names)})"

    @property
    def completed(self) -> int:
        """How many rows have ended for good."""
        return self.succeeded + self.without_result

    @property
    def without_result(self) -> int:
        """How many rows have ended without a result."""
        return self.failed + self.missing + self.ignored + self.revoked + self.expired

    @property
    def wrong(self) -> int:
        """How many rows have neither succeeded nor been ignored."""
        return self.failed + self.missing + self.revoked + self.expired
