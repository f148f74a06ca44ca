"""The rows of a durable batch, which share its record and its transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Retry
from django.db import connections, transaction
from django.utils import timezone

from ..results.codec import check_result
from ..results.endings import Replaced
from ..results.outcome import outcome_from
from ..rows.connections import has_died
from ..running.durability import TransactionLost
from ..running.state import state_of
from . import ending, results
from .current import current
from .deliveries import Delivery
from .inserting import insert
from .outboxes import send_on_commit
from .taking import Taken

if TYPE_CHECKING:
    from ..rows.reference import ModelReference
    from .sending import PreparedTask

logger = logging.getLogger("cereal_methods")


def run_row(task: Any, request: Any, reference: ModelReference, call: Callable[[], Any]) -> Any:
    """Run one row of a batch and return its result. If it fails, roll back only this row."""
    return RowRun(task, request, reference, call).run()


class RowRun:
    """The run of one row. Only a row that fails or runs again gets a record of its own."""

    #: The batch's transaction is open, so the row's record can always be written.
    is_unavailable = False

    def __init__(
        self, task: Any, request: Any, reference: ModelReference, call: Callable[[], Any]
    ) -> None:
        self.task, self.request, self.call = task, request, call
        self.delivery = Delivery(task, request, reference)
        self.taken = Taken(turn=-1)  # its first message has turn 0
        self.following: PreparedTask | None = None
        self._started_at = timezone.now()

    def run(self) -> Any:
        """Run the method in a savepoint, and record what follows it."""
        using = self.delivery.using
        sends: list[Callable[[], Any]] = []
        token = current.set(self)
        state_of(self.request).pending_sends = sends
        result, replaced = None, None
        try:
            with self._savepoint():
                try:
                    result = self.call()
                except Replaced as error:  # the method's changes are committed
                    replaced = error
                else:  # a result that cannot be stored fails only this row
                    check_result(self.task, self.request, result)
                    results.encode(self.task, self.request, result)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._check_transaction(error)
            self._record(error)
            raise
        finally:
            state_of(self.request).pending_sends = None
            current.reset(token)
        for publish in sends:
            transaction.on_commit(publish, using=using)
        self._send_following()
        if replaced is not None:
            raise replaced
        return result

    def _savepoint(self) -> AbstractContextManager[Any]:
        if not self.task.target.is_atomic:
            return nullcontext()
        return transaction.atomic(using=self.delivery.using)

    def _check_transaction(self, error: BaseException) -> None:
        """Raise ``TransactionLost`` if the rollback could not be limited to this row."""
        if not self.task.target.is_atomic:
            return
        connection = connections[self.delivery.using]
        if transaction.get_rollback(using=self.delivery.using) or has_died(connection):
            raise TransactionLost(f"{type(error).__name__}: {error}") from error

    def _record(self, error: BaseException) -> None:
        """Record the row's next attempt, or its failure with the message that can run it again."""
        if isinstance(error, Retry):
            self._send_following()
        elif not isinstance(error, Ignore) and not getattr(error, "requeue", False):
            self.following = None
            try:
                with transaction.atomic(using=self.delivery.using):
                    self._record_failure(error)
            except Exception:
                self._check_transaction(error)
                logger.exception("The failure of %s could not be recorded.", self.delivery)

    def _record_failure(self, error: BaseException) -> None:
        token = current.set(self)
        try:
            self.task.signature_from_request(self.request).apply_async()
        finally:
            current.reset(token)
        if self.following is not None:
            insert(self.delivery.using, [self.following.record])
            ending.failed(self.delivery, Taken(turn=0), error, self._started_at)

    def _send_following(self) -> None:
        if self.following is None:
            return
        using = self.delivery.using
        insert(using, [self.following.record])
        if self.following.is_due:
            send_on_commit(self.task.app, using, [self.following.message])


def note_of(result: Any) -> str:
    """Return the text in a batch's record about the rows that did not succeed."""
    outcome = outcome_from(result)
    if outcome is None:
        return ""
    notes = []
    for rows, what in ((outcome.failed, "failed"), (outcome.missing, "were missing")):
        if rows:
            _, key, text = rows[0]
            notes.append(
                f"{len(rows)} of {outcome.rows} rows {what}; the first has the key {key!r}: {text}"
            )
    if outcome.retried:
        notes.append(f"{len(outcome.retried)} of {outcome.rows} rows run by themselves.")
    return "\n".join(notes)
