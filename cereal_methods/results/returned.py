"""What the methods of a bulk's rows have returned or raised, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery.exceptions import TaskRevokedError
from celery.states import EXCEPTION_STATES, PENDING, REVOKED, SUCCESS

from ..exceptions import ResultsExpired
from .failure_record import failure_record_from
from .ids import failure_record_id, row_id
from .outcome import Outcome, outcome_from
from .reader import chunks, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class ReturnedValues:
    """Reads the values of a bulk that is completed.

    With ``propagate`` it raises what a method has raised; otherwise the exception takes the
    place of the value.
    """

    backend: Any
    bulk_id: str
    total: int
    propagate: bool

    def of_messages(self, messages: Iterable[tuple[str, int]]) -> list[Any]:
        """Return the values of messages, given as ids and numbers of rows."""
        values: list[Any] = []
        for chunk in chunks(messages):
            metas = read_records(self.backend, chunk)
            for task_id, rows in chunk.items():
                values += self._of_message(task_id, rows, metas.get(task_id))
        return values

    def _of_message(self, task_id: str, rows: int, meta: Any) -> list[Any]:
        if meta is None or meta["status"] == PENDING:
            raise ResultsExpired(
                f"The result backend had the results of all {self.total:,} rows of the bulk "
                f"{self.bulk_id}, and has lost some since: they have expired, or were deleted. "
                "Read results sooner, or keep them longer with CELERY_RESULT_EXPIRES.",
                self.bulk_id,
            )
        outcome = outcome_from(meta["result"]) if meta["status"] == SUCCESS else None
        if outcome is None and (rows > 1 or meta["status"] == REVOKED):
            # The batch was interrupted: the failure record has the rows that ended before.
            record = failure_record_from(self._read(failure_record_id(task_id)))
            outcome = record if isinstance(record, Outcome) else None
        if outcome is not None:
            return self._of_outcome(task_id, outcome, meta)
        if meta["status"] in EXCEPTION_STATES:
            if self.propagate:
                raise meta["result"]
            return [meta["result"]] * rows
        return [meta["result"] if meta["status"] == SUCCESS and rows == 1 else None] * rows

    def _of_outcome(self, task_id: str, outcome: Outcome, meta: Any) -> list[Any]:
        values = list(outcome.results)
        raised: dict[int, BaseException] = {
            position: self.backend.exception_to_python(error) for position, error in outcome.raised
        }
        if outcome.revoked:
            error = meta["result"] if meta["status"] == REVOKED else TaskRevokedError("terminated")
            raised.update({position: error for position, _, _ in outcome.revoked})
        for position, error in raised.items():
            if self.propagate:
                raise error
            values[position] = error
        # Outcomes of earlier versions have no exceptions; rows failed under ids of their own.
        endings = outcome.failed + outcome.missing
        elsewhere = {*outcome.retried, *(position for position, _, _ in endings)}
        ids = {
            row_id(task_id, position): position for position in sorted(elsewhere - raised.keys())
        }
        metas = read_records(self.backend, ids)
        for task_id_of_row, position in ids.items():
            meta_of_row = metas.get(task_id_of_row)
            if meta_of_row is None and position not in outcome.retried:
                continue  # the row was discarded
            (values[position],) = self._of_message(task_id_of_row, 1, meta_of_row)
        if outcome.rest:
            first, rest = outcome.rest
            values[first:] = self._of_message(rest, outcome.rows - first, self._read(rest))
        return values

    def _read(self, task_id: str) -> Any:
        return read_records(self.backend, [task_id]).get(task_id)
