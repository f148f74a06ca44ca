"""The run of the current thread or greenlet."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from .deliveries import Delivery
    from .sending import PreparedTask
    from .taking import Taken


class CurrentRun(Protocol):
    """What sending needs to know about the running task: a retry belongs to the same record."""

    delivery: Delivery
    taken: Taken
    #: A retry, or a durable task that replaces this one; recorded when the method has ended.
    following: PreparedTask | None

    @property
    def is_unavailable(self) -> bool:
        """Whether the record's database is unavailable, so that messages go to the broker."""


current: Final[ContextVar[CurrentRun | None]] = ContextVar(
    "cereal_methods.records.run", default=None
)
