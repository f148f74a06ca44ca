"""What a bulk's messages leave in the result backend, and under which ids.

The ids of a bulk's messages are computed from its own id and their number, and
those of rows that go on by themselves from their batch's: a result that stands
for a million rows need not hold a million ids. A record is written once more,
and the same, if a worker dies and its message is delivered again: counting
records, and not events, keeps the counts exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from celery.exceptions import Reject, Retry
from celery.states import SUCCESS

if TYPE_CHECKING:
    from .references import ModelReference, QuerySetReference

#: The key under which a batch's result says that it is one.
OUTCOME: Final = "cereal_methods.outcome"

#: The stamp that a bulk's messages carry, with the bulk's id.
STAMP: Final = "cereal_bulk"


def message_id(bulk_id: str, number: int) -> str:
    """Return the task id of a bulk's message."""
    return str(uuid5(UUID(bulk_id), str(number)))


def row_id(batch_id: str, position: int) -> str:
    """Return the task id under which a batch's row fails, or goes on by itself."""
    return str(uuid5(UUID(batch_id), str(position)))


def note_id(task_id: str) -> str:
    """Return the id under which it is noted which row a task has failed for, and why."""
    return str(uuid5(UUID(task_id), "note"))


@dataclass(slots=True)
class Outcome:
    """What became of a batch's rows: failed and missing with key and error, by position."""

    rows: int
    results: list[Any] = field(default_factory=list)
    failed: list[list[Any]] = field(default_factory=list)
    missing: list[list[Any]] = field(default_factory=list)
    retried: list[int] = field(default_factory=list)

    def add(self, reference: ModelReference, error: BaseException) -> None:
        """Enter the row that is next, which has no result."""
        told = self.missing if _is_missing(reference, error) else self.failed
        told.append([len(self.results), reference.as_wire()[1], text_of(error)])

    def as_result(self) -> dict[str, Any]:
        """Return what the batch's task returns, in a form that every serializer carries."""
        results = self.results if any(value is not None for value in self.results) else None
        return {OUTCOME: [self.rows, results, self.failed, self.missing, self.retried]}


def outcome_of(result: Any) -> Outcome | None:
    """Return the outcome that ``as_result`` wrote, or None if ``result`` is something else."""
    if isinstance(result, dict) and len(result) == 1 and OUTCOME in result:
        return Outcome(*result[OUTCOME])
    return None


def note(task: Any, rows: QuerySetReference, error: BaseException) -> None:
    """Note which rows the running task ends for without a result, unless it goes on."""
    if isinstance(error, (Retry, Reject)) or task.request.is_eager or task.ignore_result:
        return
    is_missing = all(_is_missing(reference, error) for reference in rows.each())
    what = ["missing" if is_missing else "failed", rows.as_wire()[1], text_of(error)]
    task.backend.store_result(note_id(task.request.id), what, SUCCESS)


def _is_missing(reference: ModelReference, error: BaseException) -> bool:
    # Not any DoesNotExist, which may be one of the method's own.
    return reference in getattr(error, "references", ())


def text_of(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__qualname__}: {error}"
