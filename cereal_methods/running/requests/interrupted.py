"""Batches that end before their last row: their process died, or a hard time limit struck.

Only the row that was running fails. The rows after it run in another message.
"""

from __future__ import annotations

import copy
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.exceptions import TaskRevokedError, TimeLimitExceeded
from celery.states import SUCCESS

from ...celery_api.worker import CALLS_ON_FAILURE_AT_LIMIT, context_of, exception_in
from ...results.codec import Codec
from ...results.endings import FAILED, REVOKED_ROW
from ...results.errors import encode_exception, error_text
from ...results.failure_record import store_failure_record
from ...results.ids import progress_id, rest_id, row_id
from ...results.messages import references_of
from ...rows.reference import THIS, ModelReference
from ..batches import journal
from .errors import logged, send_task_failure
from .resending import send_part
from .storing import store_or_retry

if TYPE_CHECKING:
    from ...rows.reference import Reference
    from .request import RowRequest

logger = logging.getLogger("cereal_methods")


class InterruptedBatch:
    """A batch as its journal says, in the consumer that has received its message."""

    def __init__(self, request: RowRequest, rows: Reference) -> None:
        self.request = request
        self.id, self.task = request.id, request.task
        self.references = references_of(rows)
        self.events = journal.read(self.id)
        decode = Codec(self.task.backend).decode
        self.outcome = self.events.outcome(len(self.references), decode)

    def continue_after(self, exc_info: Any, *, is_run_again: bool) -> None:
        """Fail the row that was running, or run it again, and send the rows after it."""
        count = len(self.references)
        running = self.events.started
        if running is not None and running < count:
            # Rows that share a transaction with the running row have not ended either.
            for position in range(self.outcome.ended, running):
                self._run_again(position)
            if is_run_again:
                crashes = max(self.events.crashes, self.request.crashes + 1)
                self._run_again(running, crashes)
            else:
                self._fail(self.references[running], exc_info)
        ended = self.outcome.ended
        if ended < count:
            task_id = rest_id(self.id, ended)
            send_part(self.request, ended, count, task_id)
            self.outcome.rest = [ended, task_id]
        logger.error(
            "Batch %s[%s] was interrupted after %d of %d rows: %s",
            self.task.name,
            self.id,
            ended,
            count,
            error_text(exception_in(exc_info)),
        )

    def revoke(self, reason: str) -> None:
        """Store the outcome of a batch that was terminated: its other rows are revoked."""
        for reference in self.references[self.outcome.ended :]:
            self.outcome.add(REVOKED_ROW, reference, error_text(TaskRevokedError(reason)))
        store = partial(store_failure_record, task_id=self.id, record=self.outcome)
        store_or_retry(store, self.task, self.id)
        journal.remove(self.id)

    def store(self) -> None:
        """Store the outcome as the result of the batch, if it has a result."""
        if self.request.ignore_result:
            journal.remove(self.id)
        else:
            store_or_retry(self._store, self.task, self.id)

    def _store(self, backend: Any) -> None:
        result = self.outcome.as_result()
        backend.store_result(self.id, result, SUCCESS, request=context_of(self.request))
        with suppress(Exception):
            backend.forget(progress_id(self.id))
        journal.remove(self.id)

    def _run_again(self, position: int, crashes: int = 0) -> None:
        """Send a message for one row."""
        send_part(self.request, position, position + 1, row_id(self.id, position), crashes)
        self.outcome.add_retried()

    def _fail(self, reference: ModelReference, exc_info: Any) -> None:
        """Add a row as failed, and call the hooks and signals of a task that fails like this."""
        error, backend = exception_in(exc_info), self.task.backend
        context = copy.copy(context_of(self.request))
        context.id = row_id(self.id, self.outcome.ended)
        context.args = list(self.request.request_dict["args"] or ())
        context.kwargs = {**(self.request.request_dict["kwargs"] or {}), THIS: reference}
        exception = encode_exception(error, backend)
        self.outcome.add(FAILED, reference, error_text(error), exception)
        with logged("A handler of the failure of row %r raised.", reference):
            if isinstance(error, TimeLimitExceeded) and CALLS_ON_FAILURE_AT_LIMIT:
                self.task.on_failure(error, context.id, context.args, context.kwargs, exc_info)
            send_task_failure(self.task, context, exc_info)
