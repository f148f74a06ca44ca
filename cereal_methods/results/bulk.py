"""The one result of a bulk, counted from the records of its messages in the result backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from celery.states import SUCCESS

from ..celery_api.backends import keeps_results, seconds_kept
from ..exceptions import ResultsExpired, ResultsNotKept
from .counts import Counts, Failure
from .ids import message_id
from .messages import STAMP
from .progress import BulkProgress
from .reader import read_progress
from .returned import ReturnedValues
from .waiting import NeverWaits, wait_until_completed

if TYPE_CHECKING:
    from celery import Celery

_NOT_KEPT: Final = (
    "The results of these rows are not stored: the task ignores its results, or the app has no "
    "result backend that keeps them (rpc:// does not). Set CELERY_RESULT_BACKEND, and do not set "
    "ignore_result."
)


class BulkResult:
    """The result of a method's tasks for many rows. Its ``id`` (str) is what ``restore`` takes.

    ``total`` is the number of rows that were sent. The other numbers come from the result
    backend; records of tasks that have ended are read once. The numbers are None if results are
    not kept: because the tasks ignore them, or because the result backend does not keep any. The
    methods that need results raise ``ResultsNotKept`` then.

    ``failed`` are rows whose method raised, whose process died, or that exceeded a time limit.
    ``missing`` are rows that did not exist any more, unless an ``on_missing`` function returned
    something for them. ``ignored`` are rows that were locked and skipped, or whose method raised
    Celery's ``Ignore``. ``revoked`` and ``expired`` are rows that did not run, or not to their
    end. If the result backend is unavailable, a read raises its error and loses nothing that was
    read before.
    """

    def __init__(
        self,
        id: str,  # noqa: A002  (as in Celery's results)
        batch_size: int = 1,
        full: int = 0,
        tail: Iterable[int] = (),
        *,
        is_kept: bool = True,
        app: Celery | None = None,
        sent_at: float | None = None,
    ) -> None:
        self.id = id
        self.batch_size = batch_size
        self.app: Any = app or current_app
        self.is_kept = is_kept and keeps_results(self.app.backend)
        #: The time at which the last message was sent, or will run if that is later.
        self.sent_at = sent_at
        self._full = full  # messages with batch_size rows
        self._tail = list(tail)  # the numbers of rows of the other messages
        self._eager: list[Any] = []
        self._read_messages = 0
        self._progress = BulkProgress()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {self.total} rows>"

    def __len__(self) -> int:
        return self.total

    @property
    def total(self) -> int:
        """How many rows the method was sent for."""
        return self._full * self.batch_size + sum(self._tail)

    @property
    def messages(self) -> int:
        """How many messages were sent."""
        return self._full + len(self._tail)

    def add(self, keys: Sequence[Any], eager: Any = None) -> None:
        """Add a message that was sent for the rows with these keys."""
        if len(keys) == self.batch_size:
            self._full += 1
        else:
            self._tail.append(len(keys))
        if eager is not None:
            self._eager.append((keys[0], eager))

    def counts(self) -> Counts | None:
        """Return all numbers at once, or None if results are not kept."""
        return self._read_counts() if self.is_kept else None

    @property
    def succeeded(self) -> int | None:
        """How many rows' methods have returned."""
        return self._number("succeeded")

    @property
    def failed(self) -> int | None:
        """How many rows have failed."""
        return self._number("failed")

    @property
    def missing(self) -> int | None:
        """How many rows did not exist any more."""
        return self._number("missing")

    @property
    def ignored(self) -> int | None:
        """How many rows were locked and skipped, or ignored by their method."""
        return self._number("ignored")

    @property
    def revoked(self) -> int | None:
        """How many rows were revoked."""
        return self._number("revoked")

    @property
    def expired(self) -> int | None:
        """How many rows' messages expired before they ran."""
        return self._number("expired")

    @property
    def completed(self) -> int | None:
        """How many rows have ended in any of these ways."""
        return self._number("completed")

    def progress(self) -> float | None:
        """Return the fraction of rows that are completed, from 0 to 1; None without results."""
        counts = self.counts()
        if counts is None:
            return None
        return counts.completed / counts.total if counts.total else 1.0

    def ready(self) -> bool:
        """Return whether every row is completed.

        Raises ``ResultsNotKept`` if results are not kept, and ``ResultsExpired`` if the result
        backend has removed results that were not read.
        """
        counts = self._read_counts()
        if counts.completed == counts.total:
            return True
        self._check_not_expired()
        return False

    def successful(self) -> bool:
        """Return whether every row's method has returned.

        Raises ``ResultsNotKept`` if results are not kept.
        """
        counts = self._read_counts()
        return counts.succeeded == counts.total

    def failures(self) -> list[Failure]:
        """Return key and error of each row that failed, was missing or revoked, or expired.

        Raises ``ResultsNotKept`` if results are not kept.
        """
        self._read_counts()
        return list(self._progress.failures)

    def wait(
        self,
        timeout: float | None = None,
        interval: float = 0.5,
        on_progress: Callable[[Counts], Any] | None = None,
    ) -> Counts:
        """Wait until every row is completed, and return the numbers.

        ``timeout`` and ``interval`` are in seconds; ``on_progress`` is called with the numbers
        each time they were read. If the result backend becomes unavailable, this asks it again
        for up to ten minutes. Raises Celery's ``TimeoutError``, ``ResultsNotKept`` if results are
        not kept, and ``ResultsExpired`` if the result backend has removed results that were not
        read.
        """
        return wait_until_completed(
            self.id,
            self._read_counts,
            self._check_can_complete,
            timeout=timeout,
            interval=interval,
            on_progress=on_progress,
        )

    def get(
        self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5
    ) -> list[Any]:
        """Wait, and return what each row's method has returned, in the order of the rows.

        Raises what a method raised, unless ``propagate`` is false: then the exception takes the
        place of the value. The value of discarded and ignored rows is None. Raises what ``wait``
        raises too, and ``ResultsExpired`` if the result backend has removed a result since it was
        counted. ``timeout`` and ``interval`` are in seconds.
        """
        self.wait(timeout, interval)
        if self._eager:
            return [result.get(propagate=propagate) for _, result in self._eager]
        values = ReturnedValues(self.app.backend, self.id, self.total, propagate)
        return values.of_messages(self._messages())

    def revoke(self, terminate: bool = False, signal: str | None = None) -> None:
        """Make workers skip the messages that they have not started, with one broadcast.

        A worker forgets this when it restarts. ``terminate`` and ``signal`` are those of
        ``AsyncResult.revoke``.
        """
        self.app.control.revoke_by_stamped_headers(
            {STAMP: [self.id]}, terminate=terminate, signal=signal or "SIGTERM"
        )

    def save(self) -> None:
        """Store in the result backend what ``restore`` needs: a few numbers.

        Raises ``ResultsNotKept`` if results are not kept.
        """
        self._check_kept()
        self.app.backend.store_result(
            self.id,
            [self.batch_size, self._full, self._tail, self.is_kept, self.sent_at],
            SUCCESS,
        )

    @classmethod
    def restore(cls, id: str, app: Celery | None = None) -> BulkResult | None:  # noqa: A002
        """Return the result that was saved under an id, or None.

        ``app`` is the Celery app, by default the current one. Raises ``ResultsNotKept`` if its
        result backend keeps no results.
        """
        app = app or current_app
        if not keeps_results(app.backend):
            raise ResultsNotKept(_NOT_KEPT, id)
        meta = app.backend.get_task_meta(id, cache=False)
        match meta["result"]:
            case [int(batch_size), int(full), [*tail], bool(is_kept), *more]:
                sent_at = more[0] if more else None
                return cls(id, batch_size, full, tail, is_kept=is_kept, app=app, sent_at=sent_at)
        return None

    def delete(self) -> None:
        """Delete what ``save`` has stored."""
        self.app.backend.forget(self.id)

    def _number(self, name: str) -> int | None:
        counts = self.counts()
        return None if counts is None else getattr(counts, name)

    def _read_counts(self) -> Counts:
        """Return all numbers at once. Raises ``ResultsNotKept`` if results are not kept."""
        self._check_kept()
        if self._eager:
            self._progress = BulkProgress()
            for key, result in self._eager:
                self._progress.add_eager(key, result)
        else:
            messages = self.messages
            new = self._messages(self._read_messages)
            self._progress.update(read_progress(self.app.backend, self._progress, new))
            self._read_messages = messages
        return Counts(self.total, **self._progress.numbers)

    def _messages(self, first: int = 0) -> Iterator[tuple[str, int]]:
        """Yield id and number of rows of each message from ``first`` on."""
        for number in range(first, self.messages):
            rows = self.batch_size if number < self._full else self._tail[number - self._full]
            yield message_id(self.id, number), rows

    def _check_kept(self) -> None:
        if not self.is_kept:
            raise ResultsNotKept(_NOT_KEPT, self.id)

    def _check_can_complete(self) -> None:
        """Raise the error of waiting for rows that cannot be completed any more."""
        self._check_not_expired()
        backend = self.app.backend
        if isinstance(backend, NeverWaits):
            backend.refuse_to_wait(self.id)

    def _check_not_expired(self) -> None:
        """Raise ``ResultsExpired`` if the records of open rows may have been removed."""
        expires = seconds_kept(self.app.backend)
        if not (expires and self.sent_at and self._progress.unrecorded):
            return
        age = time.time() - self.sent_at
        if age > expires:
            raise ResultsExpired(
                f"The bulk {self.id} was sent {age / 3600:,.1f} hours ago, and its result backend "
                f"keeps results for a shorter time: {self._progress.unrecorded:,} of its "
                f"{self.total:,} rows have no record. They may have run. Read results sooner, or "
                "keep them longer with CELERY_RESULT_EXPIRES.",
                self.id,
            )
