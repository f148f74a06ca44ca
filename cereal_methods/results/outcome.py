"""The outcome of a batch: what became of each of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..rows.reference import ModelReference

#: The only key of an outcome in the result backend.
OUTCOME: Final = "cereal_methods.outcome"


@dataclass(slots=True)
class Outcome:
    """What became of a batch's rows, by their positions.

    ``results`` has an entry for each row that has ended. ``failed``, ``missing``, ``ignored``
    and ``revoked`` have position, key (in wire form) and text of each row without a result.
    ``retried`` has the positions of rows that run again in messages of their own,
    ``raised`` positions and exceptions, as result backends encode them. ``rest`` is the first
    position that another message continues with, and that message's id.
    """

    rows: int
    results: list[Any] = field(default_factory=list)
    failed: list[list[Any]] = field(default_factory=list)
    missing: list[list[Any]] = field(default_factory=list)
    retried: list[int] = field(default_factory=list)
    ignored: list[list[Any]] = field(default_factory=list)
    revoked: list[list[Any]] = field(default_factory=list)
    raised: list[list[Any]] = field(default_factory=list)
    rest: list[Any] = field(default_factory=list)

    @property
    def ended(self) -> int:
        """How many rows, from the first on, have ended or run again in another message."""
        return len(self.results)

    def add_result(self, value: Any = None) -> None:
        """Add the next row, whose method has returned a value."""
        self.results.append(value)

    def add_ending(self, kind: str, key: Any, text: str, raised: Any = None) -> None:
        """Add the next row, which has no result; ``kind`` names one of the lists.

        ``key`` is in wire form, ``raised`` an exception as result backends encode it.
        """
        position = len(self.results)
        getattr(self, kind).append([position, key, text])
        if raised is not None:
            self.raised.append([position, raised])
        self.results.append(None)

    def add(self, kind: str, reference: ModelReference, text: str, raised: Any = None) -> None:
        """Add the next row, which has no result, by its reference."""
        self.add_ending(kind, reference.as_wire()[1], text, raised)

    def add_retried(self) -> None:
        """Add the next row, which runs again in another message."""
        self.retried.append(len(self.results))
        self.results.append(None)

    def without_result(self) -> set[int]:
        """Return the positions of the rows that have not returned anything."""
        endings = (self.failed, self.missing, self.ignored, self.revoked)
        return {*self.retried, *(position for ending in endings for position, _, _ in ending)}

    def as_result(self) -> dict[str, Any]:
        """Return what the batch's task returns, in a form that every serializer carries."""
        results = self.results if any(value is not None for value in self.results) else None
        parts = [self.rows, results, self.failed, self.missing, self.retried]
        optional = [self.ignored, self.revoked, self.raised, self.rest]
        while optional and not optional[-1]:  # earlier versions did not have these parts
            optional.pop()
        return {OUTCOME: parts + optional}


def outcome_from(result: Any) -> Outcome | None:
    """Return the outcome that ``as_result`` wrote, or None if ``result`` is not one."""
    if isinstance(result, dict) and len(result) == 1 and OUTCOME in result:
        outcome = Outcome(*result[OUTCOME])
        if outcome.results is None:
            ended = outcome.rest[0] if outcome.rest else outcome.rows
            outcome.results = [None] * ended
        return outcome
    return None
