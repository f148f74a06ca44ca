"""The requests of method tasks in the consumer.

If a process dies, a hard time limit strikes, or a message is revoked or expires, nothing in the
pool can record the rows. The consumer has the message, whose header names them, and the journal
of a batch.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import (
    Ignore,
    Reject,
    Retry,
    TaskRevokedError,
    Terminated,
    TimeLimitExceeded,
    WorkerLostError,
)

from ... import conf
from ...celery_api.worker import (
    STORES_REJECTED,
    RequestHooks,
    context_of,
    end_request,
    exception_in,
    exception_info,
    is_terminating,
    was_cancelled,
    was_revoked,
)
from ...results.endings import EXPIRED, FAILED, REVOKED_ROW
from ...results.errors import error_text
from ...results.failure_record import (
    FailureRecord,
    has_failure_records,
    record_failure,
    store_failure_record,
)
from ...results.messages import CRASHES, ENDED, is_batch, rows_in
from ...rows.reference import QuerySetReference
from ..batches import journal
from ..durability import DIVIDED, acknowledges_limits
from .errors import logged, send_task_failure
from .interrupted import InterruptedBatch
from .process import kill, wait_for_end
from .resending import send_again, soon
from .storing import store_or_retry

if TYPE_CHECKING:
    from ...rows.reference import Reference

logger = logging.getLogger("cereal_methods")

#: What a task raises for its worker, and what ends the worker.
_FOR_WORKER: Final = (Reject, Ignore, Retry, Terminated, MemoryError)


class RowRequest(RequestHooks):
    """What the consumer does with a message, in addition to Celery's ``Request``."""

    #: Whether the rows have ended: they are recorded, or run again in other messages.
    _has_ended = False
    #: Whether the end of a durable task has been sent to where its record can be written.
    _has_told = False

    @property
    def crashes(self) -> int:
        """How often a process has died while it ran the message."""
        crashes = self.request_dict.get(CRASHES)
        return crashes if type(crashes) is int else 0

    def rows(self) -> Reference | None:
        """Return the rows that the message is for, or None.

        Runs no query and imports no class of the user's.
        """
        return rows_in(self.request_dict.get("kwargs"), self.request_dict)

    # Celery calls the next four methods.

    def revoked(self) -> bool:
        """Whether the message is revoked; one that ends its durable task's record is not."""
        return ENDED not in self.request_dict and super().revoked()

    def before_revoke(self, reason: str, *, is_terminated: bool, is_expired: bool) -> None:
        """Record the rows of a message that is revoked or has expired."""
        self._end_record("canceled", reason)
        with logged("The revoked rows of %s could not be recorded.", self.id):
            rows = self.rows()
            if rows is not None and self._has_failure_records() and not self._has_ended:
                self._has_ended = True
                if is_terminated and isinstance(rows, QuerySetReference):
                    wait_for_end(self.worker_pid)
                    InterruptedBatch(self, rows).revoke(reason)
                else:
                    kind = EXPIRED if is_expired else REVOKED_ROW
                    record = FailureRecord.of(rows, kind, TaskRevokedError(reason))
                    store = partial(store_failure_record, task_id=self.id, record=record)
                    store_or_retry(store, self.task, self.id)

    def on_timeout(self, soft: bool, timeout: Any) -> None:
        """Handle a hard time limit; a soft one is raised in the function."""
        if not soft and not is_terminating():
            if self._has_ended:  # the prefork pool calls on_failure first
                return
            if self._continue_batch(exception_info(TimeLimitExceeded(timeout))):
                self._end()
                return
            self._end_record("failed", error_text(TimeLimitExceeded(timeout)))
        super().on_timeout(soft, timeout)

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Handle a failure of the function, of its process, or of storing its state."""
        error = exception_in(exc_info)
        is_lost = isinstance(error, (WorkerLostError, SystemExit, KeyboardInterrupt))
        is_limit = isinstance(error, TimeLimitExceeded) and not return_ok
        if (is_lost or is_limit) and not self._is_taken_back():
            if not isinstance(error, (WorkerLostError, TimeLimitExceeded)):
                error = WorkerLostError(f"The process has ended: {error_text(error)}")
                exc_info = exception_info(error)
            if self._has_ended:
                return
            if self._continue(exc_info, is_lost=is_lost):
                self._end()
                return
        if return_ok and self._is_batch():
            journal.remove(self.id)
        is_from_task = return_ok or is_lost or is_limit or isinstance(error, _FOR_WORKER)
        if not is_from_task and self._record_unstored(exc_info):
            self._end()
            return
        is_rejected = isinstance(error, Reject) and not getattr(error, "requeue", False)
        if is_rejected or ((is_lost or is_limit) and not was_revoked(self)):
            self._record_failure(error)
        super().on_failure(exc_info, send_failed_event, return_ok)
        if is_rejected and not STORES_REJECTED:
            self._mark_as_failure(error)

    # The process has died, or a hard time limit has struck.

    def _continue(self, exc_info: Any, *, is_lost: bool) -> bool:
        """Run the message again, or the rest of its batch; return whether its failure is handled.

        If it is not, Celery fails the task.
        """
        if self._continue_batch(exc_info, is_lost=is_lost):
            return True
        if not is_lost:
            self._end_record("failed", error_text(exception_in(exc_info)))
            return False
        if self._may_run_again() and self._send_again(**{CRASHES: self.crashes + 1}):
            return True
        if self._is_redelivered() and not self.task.target.is_durable:
            self._fail(exc_info)
            return True
        return False

    def _continue_batch(self, exc_info: Any, *, is_lost: bool = False) -> bool:
        """Continue a batch without the row that was running; return False for other messages."""
        rows = self.rows()
        if rows is None or not self._is_batch():
            return False
        if self.task.target.is_durable:
            return not is_lost and self._divide_batch()
        self._has_ended = True
        try:
            kill(self.worker_pid)
            batch = InterruptedBatch(self, rows)
            batch.continue_after(exc_info, is_run_again=is_lost and self._may_run_again())
        except Exception:
            logger.exception("Batch %s[%s] could not be continued.", self.task.name, self.id)
            self._has_ended = False
            return False
        batch.store()
        return True

    def _divide_batch(self) -> bool:
        """Let each row of a durable batch run by itself; return whether that is so."""
        if not acknowledges_limits(self.task):
            return False
        kill(self.worker_pid)
        self._has_ended = self._send_again(**{CRASHES: max(self.crashes + 1, DIVIDED)})
        return self._has_ended

    def _fail(self, exc_info: Any) -> None:
        """Fail a message that was running in too many processes that died.

        Celery would have it delivered again.
        """
        error = exception_in(exc_info)
        self._record_failure(error)
        self._mark_as_failure(error)
        with logged("A handler of the failure of %s raised.", self.id):
            send_task_failure(self.task, context_of(self), exc_info)

    def _is_redelivered(self) -> bool:
        """Whether Celery has the message delivered again if its process dies."""
        return bool(
            self.task.acks_late
            and self.task.reject_on_worker_lost
            and not getattr(self.task, "retry_on_worker_lost", None)
        )

    def _may_run_again(self) -> bool:
        """Whether the message runs again after its process has died: not too often."""
        if self.task.target.is_durable:  # its record counts how often, and fails it
            return True
        return self._is_redelivered() and self.crashes + 1 < conf.get("MAX_CRASHES")

    # Celery could not store a state.

    def _record_unstored(self, exc_info: Any) -> bool:
        """Handle an error from outside of the function; return whether that was done.

        Celery would store the failure now, and lose the message if that fails too.
        """
        if self.task.target.is_durable:  # it hands on what is recorded, when that can be stored
            return self._send_again(eta=soon())
        rows = self.rows()
        if rows is None:
            return False
        if self._is_batch():
            return self._continue_unstored(exc_info)
        if not self._has_failure_records():
            return False
        error = exception_in(exc_info)
        record, context = FailureRecord.of(rows, FAILED, error), context_of(self)

        def store(backend: Any) -> None:
            store_failure_record(backend, self.id, record)
            backend.mark_as_failure(self.id, error, request=context)

        store_or_retry(store, self.task, self.id)
        return True

    def _continue_unstored(self, exc_info: Any) -> bool:
        """Continue a batch if the pool has not done so."""
        events = journal.read(self.id)
        if events.is_recorded:
            journal.remove(self.id)
            return True
        if events.lines or events.started is not None:
            return self._continue_batch(exc_info)
        return self._send_again(eta=soon())

    # Durable tasks.

    def _end_record(self, ended_in: str, reason: str) -> None:
        """Let a process of the pool end a durable task's record: this one has no database."""
        task = self.task
        if task.target.is_durable and not self._has_told and acknowledges_limits(task):
            self._has_told = True
            self._send_again(**{ENDED: [ended_in, reason]})

    # All of these.

    def _is_batch(self) -> bool:
        """Whether ``batches`` runs the message."""
        return is_batch(self.rows(), self.request_dict)

    def _is_taken_back(self) -> bool:
        """Whether the message was revoked, or will be delivered to another worker."""
        return is_terminating() or was_revoked(self) or was_cancelled(self)

    def _has_failure_records(self) -> bool:
        return has_failure_records(self.task, context_of(self))

    def _record_failure(self, error: BaseException) -> None:
        rows = self.rows()
        if rows is not None:
            record_failure(self.task, context_of(self), rows, error)

    def _mark_as_failure(self, error: BaseException) -> None:
        with logged("The failure of %s could not be stored.", self.id):
            self.task.backend.mark_as_failure(
                self.id, error, request=context_of(self), store_result=not self.ignore_result
            )

    def _send_again(self, **headers: Any) -> bool:
        """Send the message again with other headers; return whether it was sent."""
        try:
            send_again(self, **headers)
        except Exception:
            logger.exception("Task %s[%s] could not be sent again.", self.task.name, self.id)
            return False
        logger.error("Task %s[%s] is sent again.", self.task.name, self.id)
        return True

    def _end(self) -> None:
        """Acknowledge the message."""
        end_request(self)
