"""One delivery of a durable task: it takes the record, runs the method, and ends the record."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import Ignore, Reject, Retry
from django.db import connections, transaction
from django.utils import timezone

from ..results.endings import Replaced
from ..rows.connections import has_died, is_unavailable, with_reconnect
from ..running.fetch_retries import retry_fetch
from ..running.message import sent_arguments_of
from ..running.state import state_of
from . import ending, links, results, taking
from .deliveries import Delivery
from .locks import RunLock
from .models import State
from .outboxes import send
from .verdicts import Verdict, elsewhere, verdict

if TYPE_CHECKING:
    from types import TracebackType

    from ..rows.reference import ModelReference
    from .sending import Kept

#: What ends a delivery that does not run; a method's result; and what has replaced its task.
_Outcome = tuple[Verdict | None, Any, Replaced | None]

logger = logging.getLogger("cereal_methods")

#: The run of this thread or greenlet.
current: Final[ContextVar[Run | None]] = ContextVar("cereal_methods.records.run", default=None)


def run(task: Any, request: Any, reference: ModelReference | None, call: Callable[[], Any]) -> Any:
    """Return what ``call`` returns, which is run once, or what it has returned before."""
    return Run(task, request, reference, call).run()


class Run:
    """One delivery that takes its record."""

    def __init__(
        self, task: Any, request: Any, reference: ModelReference | None, call: Callable[[], Any]
    ) -> None:
        self.task, self.request, self.call = task, request, call
        self.delivery = Delivery(task, request, reference)
        self.taken = taking.Taken()
        self.started_at: datetime | None = None
        #: A retry, or a durable task that replaces this one.
        self.following: Kept | None = None
        #: Whether the database of the record is away, so that what is sent goes to the broker.
        self.is_away = False
        #: What is sent when the transaction is over.
        self.waiting: list[Callable[[], Any]] = []
        self._is_committed = self._is_lost = False

    def run(self) -> Any:
        """Take the record, run the method and end the record."""
        token = current.set(self)
        state_of(self.request).pending_sends = self.waiting
        try:
            try:
                result = self._run()
            except Replaced:
                self._send_waiting()
                raise
            self._send_waiting()
            return result
        finally:
            links.identify(self.request, self.delivery.id, self.taken.turn)
            state_of(self.request).pending_sends = None
            current.reset(token)

    def _run(self) -> Any:
        is_atomic = self.task.target.is_atomic
        leave, result, replaced = None, None, None
        try:
            if self.delivery.is_suspicious:
                count = functools.partial(taking.count_crash, self.delivery)
                with_reconnect(self.delivery.using, count)
            run = self._run_in_transaction if is_atomic else self._run_alone
            leave, result, replaced = run()
        except Exception as error:
            if not self._is_committed:
                return self.fail(error)
            logger.exception(
                "%s has committed, and a hook of its commit has failed.", self.delivery
            )
        if leave is not None:
            return leave()
        self._send_following()
        if replaced is not None:
            raise replaced
        return result

    def _run_in_transaction(self) -> _Outcome:
        with with_reconnect(self.delivery.using, self.open):
            leave = verdict(self.delivery, self.request, self.taken)
            if leave is not None:
                return leave, None, None
            transaction.on_commit(self._commit, using=self.delivery.using)
            return (None, *self.run_method())

    def _run_alone(self) -> _Outcome:
        """Run a method that has transactions of its own: one at a time, and until it is done."""
        using, delivery = self.delivery.using, self.delivery
        with RunLock(delivery) as lock:
            if not with_reconnect(using, lock.acquire):
                return elsewhere(delivery), None, None
            with with_reconnect(using, self.open):
                leave = verdict(delivery, self.request, self.taken)
                if leave is None and not lock.holds and self._seems_elsewhere():
                    leave = elsewhere(delivery)
                if leave is None:
                    ending.begins(delivery, self.taken, timezone.now())
            if leave is not None:
                return leave, None, None
            return (None, *self.run_method())

    def _seems_elsewhere(self) -> bool:
        """Whether another worker runs the task, where no lock tells."""
        return self.taken.state == State.RUNNING and not self.delivery.is_suspicious

    def open(self) -> _Opened:
        """Begin a transaction, and take the record in it."""
        opened = _Opened(self.delivery.using)
        try:
            self.taken = taking.take(self.delivery)
        except BaseException as error:
            opened.__exit__(type(error), error, error.__traceback__)
            raise
        return opened

    def run_method(self) -> tuple[Any, Replaced | None]:
        """Run the method and end the record; return its result, and what has replaced it."""
        self.started_at = timezone.now()
        result, replaced = None, None
        try:
            try:
                result = self.call()
            except Replaced as error:  # the method has done its work, which stays
                replaced = error
            if self.following is not None:
                ending.waits(self.delivery, self.taken, self.following.record, "")
            elif replaced is not None:
                ending.replaced(self.delivery, self.taken, self.started_at, self._signature())
            else:
                encoded = results.encode(self.task, self.request, result)
                ending.done(self.delivery, self.taken, self.started_at, encoded)
        except Exception:
            self._is_lost = has_died(connections[self.delivery.using])
            raise
        return result, replaced

    def _signature(self) -> bytes | None:
        """Return what replaces the task and is sent after the commit, if anything is."""
        for publish in self.waiting:
            partial: Any = publish  # of the signature's apply_async
            return results.encoded(self.task, dict(partial.func.__self__))
        return None

    def _commit(self) -> None:
        self._is_committed = True

    # After a run that has not committed.

    def fail(self, error: Exception) -> Any:
        """Record why the method has not returned, and raise it."""
        if self._is_lost or (self.started_at is None and is_unavailable(error)):
            self._put_off(error)
        try:
            number = with_reconnect(
                self.delivery.using, functools.partial(self._record_failure, error)
            )
        except Exception as failure:
            if is_unavailable(failure):
                self._put_off(failure)
            raise failure from error
        if not number and self.started_at is not None:
            # The connection was lost as it committed, or another delivery has ended the task.
            with with_reconnect(self.delivery.using, self.open):
                leave = verdict(self.delivery, self.request, self.taken)
            if leave is not None:
                return leave()
        self._send_following()
        raise error

    def _record_failure(self, error: Exception) -> int:
        delivery, taken = self.delivery, self.taken
        if isinstance(error, Retry):
            if self.following is None:  # what was sent went to the broker
                return 1
            if taken.is_new:
                taking.insert(delivery)
            return ending.waits(delivery, taken, self.following.record, str(error))
        if isinstance(error, Reject) and getattr(error, "requeue", False):
            return 1
        if taken.is_new:
            taking.insert(delivery)
        if isinstance(error, Ignore):
            return ending.stopped(delivery, taken, State.CANCELED, str(error) or "Ignored.")
        return ending.failed(delivery, taken, error, self.started_at)

    def _put_off(self, error: Exception) -> None:
        """Have the message sent again later, by the broker: the record cannot be written."""
        self.is_away = True
        self.following = None
        sent = functools.partial(sent_arguments_of, self.request)
        retry_fetch(self.task, self.request, error, sent, most=inf)

    # What was sent in the run.

    def _send_following(self) -> None:
        """Send a retry that is due at once; the others are sent when they are."""
        if self.following is not None and self.following.is_due:
            send(self.task.app, self.delivery.using, [self.following.message])

    def _send_waiting(self) -> None:
        for publish in self.waiting:
            publish()
            ending.forget_signature(self.delivery, self.taken.turn)


class _Opened:
    """A transaction that has begun; leaving it ends it."""

    def __init__(self, using: str) -> None:
        self._atomic = transaction.atomic(using=using)
        self._atomic.__enter__()

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._atomic.__exit__(kind, error, traceback)
