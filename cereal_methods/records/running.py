"""One delivery of a durable task: it takes the record, runs the method, and ends the record."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from django.db import connections, transaction
from django.utils import timezone

from ..django_api.databases import session_of
from ..results.endings import Replaced
from ..results.messages import CRASHES, RETURNED
from ..rows.connections import has_died, is_unavailable, with_reconnect
from ..running.durability import DIVIDED
from ..running.fetch_retries import retry_fetch
from ..running.message import sent_arguments_of
from ..running.state import state_of
from . import ending, links, results, taking
from .batches import note_of
from .current import current
from .deliveries import Delivery
from .following import note_following
from .locks import RunLock
from .models import State
from .outboxes import send
from .verdicts import Verdict, elsewhere, verdict

if TYPE_CHECKING:
    from ..rows.reference import Reference
    from .sending import PreparedTask

#: The function that ends a delivery that does not run, the method's result, and its replacement.
_Outcome = tuple[Verdict | None, Any, Replaced | None]

logger = logging.getLogger("cereal_methods")

#: What a task raises on purpose. It does not mean that its batch has failed.
_DELIBERATE = (Retry, Ignore, Reject)


def run(task: Any, request: Any, reference: Reference | None, call: Callable[[], Any]) -> Any:
    """Run ``call`` once and return its result; for a duplicate, return the recorded result."""
    return Run(task, request, reference, call).run()


class Run:
    """One delivery of a message, which takes the task's record.

    For a batch, ``divide`` sends a message for each row, and returns the outcome as ``call`` does.
    """

    def __init__(
        self,
        task: Any,
        request: Any,
        reference: Reference | None,
        call: Callable[[], Any],
        divide: Callable[[], Any] | None = None,
    ) -> None:
        self.task, self.request, self.call, self.divide = task, request, call, divide
        self.delivery = Delivery(task, request, reference)
        self.taken = taking.Taken()
        self.started_at: datetime | None = None
        #: A retry, or a durable task that replaces this one; recorded when the method has ended.
        self.following: PreparedTask | None = None
        #: Whether the record's database is unavailable, so that messages go to the broker.
        self.is_unavailable = False
        #: Calls that send a replacement after the transaction.
        self.pending_sends: list[Callable[[], Any]] = []
        self._outcome: _Outcome = (None, None, None)
        self._is_committed = self._is_lost = False
        #: The connection of the driver that the transaction is on.
        self._session: Any = None

    def run(self) -> Any:
        """Take the record, run the method and end the record."""
        token = current.set(self)
        state_of(self.request).pending_sends = self.pending_sends
        try:
            try:
                result = self._run()
            except Replaced:
                self._send_pending()
                raise
            self._send_pending()
            return result
        finally:
            links.identify(self.request, self.delivery.id, self.taken.turn)
            state_of(self.request).pending_sends = None
            current.reset(token)

    def _run(self) -> Any:
        try:
            self._take_and_run()
        except Exception as error:
            if not self._is_committed:
                return self._run_divided(error) if self._may_divide(error) else self.fail(error)
            logger.exception("%s has committed, and then an on_commit hook failed.", self.delivery)
        return self._end()

    def _may_divide(self, error: Exception) -> bool:
        """Whether the rows of a batch may succeed one by one after their transaction has failed."""
        has_failed = self.started_at is not None and not isinstance(error, _DELIBERATE)
        is_lost = self._is_lost or is_unavailable(error)
        return self.divide is not None and has_failed and not is_lost

    def _run_divided(self, error: Exception) -> Any:
        logger.warning("%s failed as a whole, so each row runs by itself: %r", self.delivery, error)
        self.call, self.divide = self.divide or self.call, None
        self.following = None
        self.pending_sends.clear()
        return self._run()

    def _end(self) -> Any:
        """After the transaction, return the task's result or raise its exception."""
        end, result, replaced = self._outcome
        if end is not None:
            return end()
        self._send_following()
        if replaced is not None:
            raise replaced
        return result

    def _take_and_run(self) -> None:
        if self.task.target.is_atomic:
            self._run_in_transaction()
        else:
            self._run_alone()

    def _run_in_transaction(self) -> None:
        self._count_crash()
        with with_reconnect(self.delivery.using, self.open):
            end = self._verdict()
            if end is not None:
                self._outcome = end, None, None
                return
            transaction.on_commit(self._commit, using=self.delivery.using)
            self._outcome = (None, *self.run_method())

    def _run_alone(self) -> None:
        """Run a method that manages its own transactions, in one delivery at a time."""
        using, delivery = self.delivery.using, self.delivery
        with RunLock(delivery) as lock:
            if not with_reconnect(using, lock.acquire):
                self._outcome = self._elsewhere(), None, None
                return
            self._count_crash()
            with with_reconnect(using, self.open):
                end = self._verdict()
                if end is None and not lock.holds and self._seems_elsewhere():
                    end = elsewhere(delivery)
                if end is None:
                    ending.running(delivery, self.taken, timezone.now())
            if end is not None:
                self._outcome = end, None, None
                return
            self._outcome = (None, *self.run_method())

    def _count_crash(self) -> None:
        """Count a crash if an earlier delivery may have ended its process; skip a locked record."""
        if self.delivery.is_suspicious:
            count = functools.partial(taking.count_crash, self.delivery)
            with_reconnect(self.delivery.using, count)

    def _verdict(self) -> Verdict | None:
        """Return the function that ends the delivery, or None if the method may run."""
        if self.taken.is_elsewhere:
            return self._elsewhere()
        end = verdict(self.delivery, self.request, self.taken)
        if end is None and self.divide is not None:
            reported = getattr(self.request, CRASHES, None)
            if max(self.taken.crashes, reported if type(reported) is int else 0) >= DIVIDED:
                self.call = self.divide
        return end

    def _elsewhere(self) -> Verdict:
        """End a delivery whose task another worker runs. Retry it if that worker may have died."""
        if not (self.delivery.is_suspicious or self.delivery.is_returned):
            return elsewhere(self.delivery)
        # The server may not have noticed yet that the process has died.
        error = TimeoutError("The record is locked by another run, which may have died.")
        return functools.partial(self._return_to_broker, error)

    def _seems_elsewhere(self) -> bool:
        """Whether another worker seems to run the task, on a database without such locks."""
        has_ended = self.delivery.is_suspicious or self.delivery.is_returned
        return self.taken.state == State.RUNNING and not has_ended

    def open(self) -> taking.Opened:
        """Begin a transaction, and take the record in it."""
        opened = taking.Opened(self.delivery.using)
        self.taken = opened.take(self.delivery)
        self._session = session_of(connections[self.delivery.using])
        return opened

    def run_method(self) -> tuple[Any, Replaced | None]:
        """Run the method and end the record. Return the method's result, and its replacement."""
        self.started_at = timezone.now()
        result, replaced = None, None
        try:
            try:
                result = self.call()
            except Replaced as error:  # the method's changes are committed
                replaced = error
            values = self.delivery, self.taken, self.started_at
            if self.following is not None:
                ending.waiting(self.delivery, self.taken, self.following.record, "")
            elif replaced is not None:
                ending.replaced(*values, self._signature())
            else:
                encoded = results.encode(self.task, self.request, result)
                note = note_of(result) if self.delivery.is_batch else ""
                ending.done(*values, encoded, note, keeps_message=note_following(self.request))
        except SoftTimeLimitExceeded:
            raise  # if it has interrupted a query, the connection cannot be used any more
        except Exception:
            self._is_lost = has_died(connections[self.delivery.using])
            raise
        return result, replaced

    def _signature(self) -> bytes | None:
        """Return the encoded replacement of the task, if it is sent after the commit."""
        for publish in self.pending_sends:
            partial: Any = publish  # a partial of the signature's apply_async
            return results.encoded(self.task, dict(partial.func.__self__))
        return None

    def _commit(self) -> None:
        self._is_committed = True

    # After a run that has not committed.

    def fail(self, error: Exception) -> Any:
        """Record the error that ended the method, and raise it."""
        is_lost = self._is_lost or self._is_lost_in_commit(error)
        if is_lost or (self.started_at is None and is_unavailable(error)):
            self._return_to_broker(error)
        try:
            record_failure = functools.partial(self._record_failure, error)
            number = with_reconnect(self.delivery.using, record_failure)
        except Exception as failure:
            if is_unavailable(failure):
                self._return_to_broker(failure)
            raise failure from error
        if not number and self.started_at is not None:
            # The connection was lost during the commit, or another delivery has ended the task.
            with with_reconnect(self.delivery.using, self.open):
                end = verdict(self.delivery, self.request, self.taken)
            if end is not None:
                return end()
        self._send_following()
        raise error

    def _is_lost_in_commit(self, error: Exception) -> bool:
        """Whether the connection was lost while the transaction ended. It may have committed."""
        # Django opens another connection if it can neither commit nor roll back.
        has_changed = session_of(connections[self.delivery.using]) is not self._session
        return self.task.target.is_atomic and has_changed and is_unavailable(error)

    def _record_failure(self, error: Exception) -> int:
        delivery, taken = self.delivery, self.taken
        if isinstance(error, Retry):
            if self.following is None:  # the broker has its message
                return 1
            if taken.is_new:
                taking.insert(delivery)
            return ending.waiting(delivery, taken, self.following.record, str(error))
        if isinstance(error, Reject) and getattr(error, "requeue", False):
            return 1
        if taken.is_new:
            taking.insert(delivery)
        if isinstance(error, Ignore):
            return ending.stopped(delivery, taken, State.CANCELED, str(error) or "Ignored.")
        return ending.failed(delivery, taken, error, self.started_at)

    def _return_to_broker(self, error: Exception) -> None:
        """Send the message to the broker with a countdown, because the record cannot be written."""
        self.is_unavailable = True
        self.following = None
        self.request.headers = {**(self.request.headers or {}), RETURNED: True}
        sent = functools.partial(sent_arguments_of, self.request)
        retry_fetch(self.task, self.request, error, sent, most=inf)

    # What the method has sent.

    def _send_following(self) -> None:
        """Send a retry that is due at once. The relay sends the others when they are due."""
        if self.following is not None and self.following.is_due:
            send(self.task.app, self.delivery.using, [self.following.message])

    def _send_pending(self) -> None:
        for publish in self.pending_sends:
            publish()
            ending.forget_signature(self.delivery, self.taken.turn)
