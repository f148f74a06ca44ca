"""Failure records: which rows of a bulk's message have ended without a result, and why.

A failure record has an id of its own and is stored before its task's state, so whoever reads
the state finds it. If a message is delivered again, the same record is written again: the
counts of a bulk stay exact, because they count records and not events.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celery.states import IGNORED, PENDING, RECEIVED, RETRY, STARTED, SUCCESS

from .endings import IGNORED_ROW, Discarded, discard_reason, ending_of
from .errors import error_text
from .ids import failure_record_id
from .messages import is_bulk, keys_of, references_of
from .outcome import Outcome, outcome_from

if TYPE_CHECKING:
    from ..rows.reference import Reference

logger = logging.getLogger("cereal_methods")

#: The states that Celery stores before a task has ended.
_UNFINISHED: Final = frozenset({PENDING, RECEIVED, STARTED, RETRY})


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """How the rows of a message have ended; ``keys`` are in wire form."""

    kind: str
    keys: list[Any]
    text: str

    @classmethod
    def of(cls, rows: Reference, kind: str, error: BaseException) -> FailureRecord:
        """Return the record of rows that an error has ended."""
        return cls(kind, keys_of(rows), error_text(discard_reason(error)))

    def as_result(self) -> list[Any]:
        """Return the record in a form that every serializer carries."""
        return [self.kind, self.keys, self.text]


def has_failure_records(task: Any, request: Any) -> bool:
    """Whether failures of a message are recorded: it belongs to a bulk, and has a result."""
    return is_bulk(request) and not (
        request.is_eager or request.ignore_result or task.ignore_result
    )


def record_failure(task: Any, request: Any, rows: Reference, error: BaseException) -> None:
    """Record rows that have ended without a result; skip those that will run again.

    ``request`` is that of the message, in the pool or in the consumer. Only messages of bulks
    have failure records. If the result backend is unavailable, this logs the error.
    """
    if not has_failure_records(task, request):
        return
    kind = ending_of(error, references_of(rows))
    if kind is None:
        return
    try:
        store_failure_record(task.backend, request.id, FailureRecord.of(rows, kind, error))
        if kind == IGNORED_ROW and not isinstance(error, Discarded):
            _store_ignored(task.backend, request)
    except Exception:
        logger.exception("The failure record of %s could not be stored.", request.id)


def store_failure_record(backend: Any, task_id: str, record: FailureRecord | Outcome) -> None:
    """Store the failure record of a task: an outcome where its rows have ended differently."""
    backend.store_result(failure_record_id(task_id), record.as_result(), SUCCESS)


def failure_record_from(meta: Any) -> FailureRecord | Outcome | None:
    """Return the failure record in a result backend's record, or None."""
    if meta is None or meta["status"] != SUCCESS:
        return None
    outcome = outcome_from(meta["result"])
    if outcome is not None:
        return outcome
    return FailureRecord(*meta["result"])


def _store_ignored(backend: Any, request: Any) -> None:
    """Store the state IGNORED, unless the method has stored a state of its own."""
    if backend.get_task_meta(request.id, cache=False)["status"] in _UNFINISHED:
        backend.store_result(request.id, None, IGNORED, request=request)
