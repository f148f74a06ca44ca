"""What has been read of a bulk's rows so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from celery.states import (
    ALL_STATES,
    IGNORED,
    PENDING,
    READY_STATES,
    REVOKED,
    SUCCESS,
)

from ..rows.keys import key_from_wire
from .counts import Failure
from .endings import (
    ENDINGS,
    EXPIRED,
    FAILED,
    IGNORED_ROW,
    MISSING,
    REVOKED_ROW,
    discard_reason,
    ending_of,
)
from .errors import error_text
from .ids import row_id
from .outcome import Outcome, outcome_from

if TYPE_CHECKING:
    from .failure_record import FailureRecord

_ENDED: Final = READY_STATES | {IGNORED}


@dataclass(slots=True)
class BulkProgress:
    """Numbers of rows by how they have ended, the failures, and the tasks that have not ended."""

    numbers: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    #: The ids of tasks that have not ended, and how many rows each has.
    open: dict[str, int] = field(default_factory=dict)
    #: How many of these rows have no record in the result backend.
    unrecorded: int = 0

    def add(self, kind: str, rows: int) -> None:
        """Count rows."""
        if rows:
            self.numbers[kind] = self.numbers.get(kind, 0) + rows

    def add_failures(self, kind: str, keys: Iterable[Any], text: str) -> None:
        """Add rows without a result; keys are in wire form, or None if they are unknown."""
        failures = [Failure(None if key is None else key_from_wire(key), text) for key in keys]
        self.add(kind, len(failures))
        if kind != IGNORED_ROW:
            self.failures.extend(failures)

    def update(self, newer: BulkProgress) -> None:
        """Add what was read later, of the rows that were open until then."""
        for kind, rows in newer.numbers.items():
            self.add(kind, rows)
        self.failures.extend(newer.failures)
        self.open, self.unrecorded = newer.open, newer.unrecorded

    def add_message(
        self,
        task_id: str,
        rows: int,
        meta: Mapping[str, Any] | None,
        failure_record: FailureRecord | Outcome | None,
    ) -> dict[str, int]:
        """Add a message's rows by its record and its failure record.

        Returns the ids of the tasks in which some of its rows run again, and their numbers of
        rows.
        """
        if meta is None or meta["status"] == PENDING:
            self.unrecorded += rows
            self.open[task_id] = rows
        elif meta["status"] == SUCCESS:
            return self._add_success(task_id, rows, meta["result"])
        elif isinstance(failure_record, Outcome):
            return self._add_outcome(task_id, failure_record)
        elif failure_record is not None:
            kind = failure_record.kind if failure_record.kind in ENDINGS else FAILED
            self.add_failures(kind, failure_record.keys or [None] * rows, failure_record.text)
        elif meta["status"] in _ENDED:
            self._add_unknown_rows(rows, meta)
        else:
            self.open[task_id] = rows
        return {}

    def _add_success(self, task_id: str, rows: int, result: Any) -> dict[str, int]:
        outcome = outcome_from(result)
        if outcome is not None:
            return self._add_outcome(task_id, outcome)
        if rows == 1:
            self.add("succeeded", 1)
        else:
            self.add(FAILED, rows)
            error = ValueError(f"{rows} rows have no outcome: {result!r:.200}")
            self.failures.append(Failure(None, error_text(error)))
        return {}

    def _add_outcome(self, task_id: str, outcome: Outcome) -> dict[str, int]:
        for kind in (FAILED, MISSING, IGNORED_ROW, REVOKED_ROW):
            for _, key, text in getattr(outcome, kind):
                self.add_failures(kind, [key], text)
        self.add("succeeded", outcome.ended - len(outcome.without_result()))
        again = {row_id(task_id, position): 1 for position in outcome.retried}
        if outcome.rest:
            first, rest = outcome.rest
            again[rest] = outcome.rows - first
        return again

    def _add_unknown_rows(self, rows: int, meta: Mapping[str, Any]) -> None:
        """Add rows without a failure record: a worker without this library may have run them."""
        error = meta["result"]
        kind = FAILED
        if meta["status"] == IGNORED:
            kind = IGNORED_ROW
        elif meta["status"] == REVOKED:
            kind = EXPIRED if "expired" in getattr(error, "args", ()) else REVOKED_ROW
        text = error_text(error) if isinstance(error, BaseException) else "ended without a result"
        self.add_failures(kind, [None] * rows, text)

    def add_eager(self, key: Any, result: Any) -> None:
        """Add a row by its ``EagerResult``."""
        if result.state == SUCCESS:
            self.add("succeeded", 1)
            return
        reason = discard_reason(result.result)
        missing = [row for row in getattr(reason, "references", ()) if row.pk == key]
        kind = ending_of(result.result, missing) or FAILED
        self.add(kind, 1)
        if kind != IGNORED_ROW:
            self.failures.append(Failure(key, error_text(reason)))


def may_have_failure_record(meta: Mapping[str, Any]) -> bool:
    """Whether a task with this record may have a failure record."""
    status = meta["status"]
    # A method may store a state of its own and raise Ignore.
    return status != SUCCESS and (status in _ENDED or status not in ALL_STATES)
