"""How many rows of a bulk have come to what, counted from the records of its messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from celery.states import IGNORED, REVOKED, SUCCESS

from .keys import key_from_wire
from .outcomes import (
    EXPIRED,
    FAILED,
    IGNORED_ROW,
    MISSING,
    REVOKED_ROW,
    Outcome,
    kind_of,
    outcome_of,
    reason_of,
    row_id,
    text_of,
)

#: What a row may have come to without a result, as ``Counts`` names it.
_KINDS: Final = (FAILED, MISSING, IGNORED_ROW, REVOKED_ROW, EXPIRED)


class Failure(NamedTuple):
    """A row without a result.

    ``key`` is its primary key (None if nothing told it), ``error`` says why, in one line.
    """

    key: Any
    error: str


@dataclass(frozen=True, slots=True, repr=False)
class Counts:
    """How many rows there are (``total``), and what became of them so far.

    The others are numbers of rows too, as in ``BulkResult``.
    """

    total: int
    succeeded: int = 0
    failed: int = 0
    missing: int = 0
    ignored: int = 0
    revoked: int = 0
    expired: int = 0

    def __repr__(self) -> str:
        more = ("ignored", "revoked", "expired")
        told = ["total", "succeeded", "failed", "missing", *filter(self.__getattribute__, more)]
        return f"Counts({', '.join(f'{name}={getattr(self, name)}' for name in told)})"

    @property
    def completed(self) -> int:
        """How many rows will not change any more."""
        return self.succeeded + self.without_result

    @property
    def without_result(self) -> int:
        """How many rows have ended without a result."""
        return self.failed + self.missing + self.ignored + self.revoked + self.expired

    @property
    def wrong(self) -> int:
        """How many rows have ended in another way than their method or its task meant to."""
        return self.failed + self.missing + self.revoked + self.expired


@dataclass(slots=True)
class Tally:
    """What is known of a bulk's rows. One that is being read is another, until all is read."""

    numbers: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    #: Task ids that have not ended, and their rows; and of how many of these there is no record.
    open: dict[str, int] = field(default_factory=dict)
    unrecorded: int = 0

    def add(self, kind: str, rows: int) -> None:
        """Count rows."""
        if rows:
            self.numbers[kind] = self.numbers.get(kind, 0) + rows

    def add_rows(self, kind: str, keys: Iterable[Any], text: str) -> None:
        """Enter rows without a result; keys are in wire form, or None if nothing told them."""
        known = [None if key is None else key_from_wire(key) for key in keys]
        self.add(kind, len(known))
        if kind != IGNORED_ROW:
            self.failures.extend(Failure(key, text) for key in known)

    def add_tally(self, other: Tally) -> None:
        """Count what another read has found, of rows that were open before it."""
        for kind, rows in other.numbers.items():
            self.add(kind, rows)
        self.failures.extend(other.failures)
        self.open, self.unrecorded = other.open, other.unrecorded


def noted(meta: Any) -> Any:
    """Return what a note's record tells, if there is one: an outcome, or kind, keys and text."""
    if meta is None or meta["status"] != SUCCESS:
        return None
    return outcome_of(meta["result"]) or meta["result"]


def enter_success(tally: Tally, task_id: str, rows: int, result: Any) -> dict[str, int]:
    """Enter a message that has succeeded; return the tasks with which rows of it go on."""
    outcome = outcome_of(result)
    if outcome is not None:
        return _enter_outcome(tally, task_id, outcome)
    if rows == 1:
        tally.add("succeeded", 1)
    else:
        text = text_of(ValueError(f"{rows} rows have no outcome: {result!r:.200}"))
        tally.add(FAILED, rows)
        tally.failures.append(Failure(None, text))
    return {}


def _enter_outcome(tally: Tally, task_id: str, outcome: Outcome) -> dict[str, int]:
    """Enter a batch's rows; return the tasks with which those that have not ended go on."""
    for kind in (FAILED, MISSING, IGNORED_ROW, REVOKED_ROW):
        for _, key, text in getattr(outcome, kind):
            tally.add_rows(kind, [key], text)
    tally.add("succeeded", outcome.ended - len(outcome.without_result()))
    more = {row_id(task_id, position): 1 for position in outcome.retried}
    if outcome.rest:
        first, rest = outcome.rest
        more[rest] = outcome.rows - first
    return more


def enter_note(tally: Tally, task_id: str, rows: int, noted: Any) -> dict[str, int]:
    """Enter a message that has ended without a result; return the tasks that go on."""
    if isinstance(noted, Outcome):
        return _enter_outcome(tally, task_id, noted)
    kind, keys, text = noted
    tally.add_rows(kind if kind in _KINDS else FAILED, keys or [None] * rows, text)
    return {}


def enter_failure(tally: Tally, rows: int, meta: Any) -> None:
    """Enter rows whose keys nothing told: another version's worker, or none of ours, ran them."""
    error = meta["result"]
    kind = FAILED
    if meta["status"] == IGNORED:
        kind = IGNORED_ROW
    elif meta["status"] == REVOKED:
        kind = EXPIRED if "expired" in getattr(error, "args", ()) else REVOKED_ROW
    text = text_of(error) if isinstance(error, BaseException) else "ended without a result"
    tally.add_rows(kind, [None] * rows, text)


def enter_eager(tally: Tally, key: Any, result: Any) -> None:
    """Enter a row that was run here and now."""
    if result.state == SUCCESS:
        tally.add("succeeded", 1)
        return
    error = result.result
    named = [each for each in getattr(reason_of(error), "references", ()) if each.pk == key]
    kind = kind_of(error, named) or FAILED
    tally.add(kind, 1)
    if kind != IGNORED_ROW:
        tally.failures.append(Failure(key, text_of(reason_of(error))))
