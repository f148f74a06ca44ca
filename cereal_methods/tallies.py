"""One result for all rows of a bulk, counted from what its messages leave in the backend."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.states import (
    ALL_STATES,
    EXCEPTION_STATES,
    IGNORED,
    PENDING,
    READY_STATES,
    REVOKED,
    SUCCESS,
)

from .counts import (
    Counts,
    Failure,
    Tally,
    enter_eager,
    enter_failure,
    enter_note,
    enter_success,
    noted,
)
from .exceptions import ResultsExpired, ResultsNotKept
from .outcomes import (
    STAMP,
    Outcome,
    message_id,
    note_id,
    outcome_of,
    row_id,
    text_of,
)
from .records import read

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("cereal_methods")

#: How many results are read from the backend at a time.
_CHUNK: Final = 10_000

_NOT_KEPT: Final = (
    "Nothing tells what became of the rows: the task ignores its results, or the app has no result "
    "backend that keeps them, as rpc:// does not. Set CELERY_RESULT_BACKEND, and no ignore_result."
)

_ENDED: Final = READY_STATES | {IGNORED}

#: For how long ``wait`` goes on though the backend does not answer, in seconds.
_PATIENCE: Final = 600.0


class BulkResult:
    """The result of a method's tasks for many rows.

    ``total`` is the number of rows that were sent. The other numbers are asked of
    the result backend: what is complete is asked for once, the rest each time.
    They are None where the tasks ignore their results.

    ``failed`` are rows whose method raised, or that ended with their process or by a time
    limit. ``missing`` are those that were gone, unless an ``on_missing`` function has
    returned something for them. ``ignored`` rows were locked and to be skipped, or
    their method raised Celery's ``Ignore``. ``revoked`` and ``expired`` ones did not run, or
    not to their end. What one read has found is kept if the next one fails.
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
        self.is_kept = is_kept and not isinstance(self.app.backend, (DisabledBackend, RPCBackend))
        self._full = full
        self._tail = list(tail)
        self._eager: list[Any] = []
        #: When the last message was sent or was to run, whichever is later; None if unknown.
        self.sent_at = sent_at
        self._seen = 0  # messages that were asked for at least once
        self._tally = Tally()

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
        """Count a message that was sent for the rows with these keys."""
        if len(keys) == self.batch_size:
            self._full += 1
        else:
            self._tail.append(len(keys))
        if eager is not None:
            self._eager.append((keys[0], eager))

    def counts(self) -> Counts | None:
        """Return all numbers as of one moment, or None where results are ignored."""
        if not self.is_kept:
            return None
        if self._eager:
            self._tally = Tally()
            for key, result in self._eager:
                enter_eager(self._tally, key, result)
        else:
            self._refresh()
        return Counts(self.total, **self._tally.numbers)

    @property
    def succeeded(self) -> int | None:
        """How many rows' methods have returned."""
        counts = self.counts()
        return None if counts is None else counts.succeeded

    @property
    def failed(self) -> int | None:
        """How many rows have failed for good."""
        counts = self.counts()
        return None if counts is None else counts.failed

    @property
    def missing(self) -> int | None:
        """How many rows were gone."""
        counts = self.counts()
        return None if counts is None else counts.missing

    @property
    def ignored(self) -> int | None:
        """How many rows were skipped, by a lock's option or their method's ``Ignore``."""
        counts = self.counts()
        return None if counts is None else counts.ignored

    @property
    def revoked(self) -> int | None:
        """How many rows were revoked."""
        counts = self.counts()
        return None if counts is None else counts.revoked

    @property
    def expired(self) -> int | None:
        """How many rows' messages were not run before they expired."""
        counts = self.counts()
        return None if counts is None else counts.expired

    @property
    def completed(self) -> int | None:
        """How many rows have ended, whichever way."""
        counts = self.counts()
        return None if counts is None else counts.completed

    def progress(self) -> float | None:
        """Return the fraction of rows that are completed, from 0 to 1."""
        counts = self.counts()
        if counts is None:
            return None
        return counts.completed / counts.total if counts.total else 1.0

    def ready(self) -> bool:
        """Tell whether every row is completed.

        Raises ``ResultsNotKept`` if nothing tells, ``ResultsExpired`` if nothing does any more.
        """
        self._need_results()
        if self.completed == self.total:
            return True
        self._need_records()
        return False

    def successful(self) -> bool:
        """Tell whether every row's method has returned."""
        self._need_results()
        return self.succeeded == self.total

    def failures(self) -> list[Failure]:
        """Return key and error of each row that has failed, is missing, was revoked or expired."""
        self._need_results()
        self.counts()
        return list(self._tally.failures)

    def wait(
        self,
        timeout: float | None = None,
        interval: float = 0.5,
        on_progress: Callable[[Counts], Any] | None = None,
    ) -> Counts:
        """Wait until every row is completed, and return the numbers.

        ``timeout`` and ``interval`` are in seconds; ``on_progress`` is called with the
        numbers at each. A result backend that goes away meanwhile is waited for, for ten
        minutes. Raises Celery's ``TimeoutError``, and ``ResultsExpired`` where the backend has
        removed results that were not read.
        """
        self._need_results()
        until = None if timeout is None else time.monotonic() + timeout
        counts = self.counts() or Counts(0)
        while True:
            if on_progress is not None:
                on_progress(counts)
            if counts.completed == counts.total:
                return counts
            self._need_records()
            if until is not None and time.monotonic() >= until:
                raise CeleryTimeoutError(
                    f"{counts.completed} of {counts.total} rows are completed after {timeout} s."
                )
            if hasattr(self.app.backend, "refuse_to_wait"):  # nothing runs: it is a test's
                self.app.backend.refuse_to_wait(self.id)
            time.sleep(interval)
            counts = self._counts_again(until, interval)

    def _counts_again(self, until: float | None, interval: float) -> Counts:
        """Return the numbers, though the backend may be away for a while."""
        patience = time.monotonic() + _PATIENCE
        until = patience if until is None else min(until, patience)
        while True:
            try:
                return self.counts() or Counts(0)
            except Exception as error:
                if time.monotonic() >= until:
                    raise
                logger.warning(
                    "The result backend could not be asked for bulk %s, and is asked again: %s",
                    self.id,
                    text_of(error),
                )
            time.sleep(min(max(interval, 0.1), max(until - time.monotonic(), 0.01)))

    def get(
        self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5
    ) -> list[Any]:
        """Wait, and return what each row's method returned, in the order of the rows.

        Raises what a method raised, unless ``propagate`` is false: then its exception
        stands in its place. Rows that were discarded or ignored give None. Raises
        ``ResultsExpired`` if the backend has removed a result since it was counted.
        """
        self.wait(timeout, interval)
        if self._eager:
            return [result.get(propagate=propagate) for _, result in self._eager]
        found: list[Any] = []
        for ids in _chunks(self._messages()):
            metas = read(self.app.backend, ids)
            for task_id, rows in ids.items():
                found.extend(self._results(task_id, rows, metas.get(task_id), propagate))
        return found

    def revoke(self, terminate: bool = False, signal: str | None = None) -> None:
        """Let workers drop the messages that they have not begun, with one broadcast.

        Workers remember it as long as they live, and no longer. ``terminate`` and
        ``signal`` are those of ``AsyncResult.revoke``.
        """
        self.app.control.revoke_by_stamped_headers(
            {STAMP: [self.id]}, terminate=terminate, signal=signal or "SIGTERM"
        )

    def save(self) -> None:
        """Keep what ``restore`` needs in the result backend: a few numbers."""
        self._need_results()
        self.app.backend.store_result(
            self.id,
            [self.batch_size, self._full, self._tail, self.is_kept, self.sent_at],
            SUCCESS,
        )

    @classmethod
    def restore(cls, id: str, app: Celery | None = None) -> BulkResult | None:  # noqa: A002
        """Return the result that was saved under an id, or None."""
        found: Any = app or current_app
        if isinstance(found.backend, (DisabledBackend, RPCBackend)):
            raise ResultsNotKept(_NOT_KEPT, id)
        meta = found.backend.get_task_meta(id, cache=False)
        match meta["result"]:
            case [int(batch_size), int(full), [*tail], bool(is_kept), *more]:
                at = more[0] if more else None
                return cls(id, batch_size, full, tail, is_kept=is_kept, app=found, sent_at=at)
        return None

    def delete(self) -> None:
        """Remove what ``save`` has kept."""
        self.app.backend.forget(self.id)

    def _need_results(self) -> None:
        if not self.is_kept:
            raise ResultsNotKept(_NOT_KEPT, self.id)

    def _need_records(self) -> None:
        """Raise ``ResultsExpired`` where open rows may have ended, and nothing tells any more."""
        expires = getattr(self.app.backend, "expires", None)
        if not (expires and self.sent_at and self._tally.unrecorded):
            return
        age = time.time() - self.sent_at
        if age > float(getattr(expires, "total_seconds", lambda: expires)()):
            raise ResultsExpired(
                f"The bulk {self.id} was sent {age / 3600:,.1f} hours ago, and its result backend "
                f"removes results sooner than that: of {self._tally.unrecorded:,} of its "
                f"{self.total:,} rows there is no record. They may have run. Read results "
                "sooner, or keep them longer with CELERY_RESULT_EXPIRES.",
                self.id,
            )

    def _messages(self, first: int = 0) -> Iterator[tuple[str, int]]:
        for number in range(first, self.messages):
            rows = self.batch_size if number < self._full else self._tail[number - self._full]
            yield message_id(self.id, number), rows

    def _refresh(self) -> None:
        # All or nothing: if the backend does not answer, what was known stays known.
        new, messages = Tally(), self.messages
        for ids in _chunks(self._tally.open.items()):
            self._enter_all(new, ids)
        for ids in _chunks(self._messages(self._seen)):
            self._enter_all(new, ids)
        self._tally.add_tally(new)
        self._seen = messages

    def _enter_all(self, tally: Tally, ids: dict[str, int]) -> None:
        metas = read(self.app.backend, ids)
        unclear = [
            task_id
            for task_id, meta in metas.items()
            if meta["status"] != SUCCESS
            # A method may store a state of its own, and raise Ignore.
            and (meta["status"] in _ENDED or meta["status"] not in ALL_STATES)
        ]
        notes = read(self.app.backend, map(note_id, unclear))
        more: dict[str, int] = {}
        for task_id, rows in ids.items():
            meta = metas.get(task_id)
            if meta is None or meta["status"] == PENDING:
                tally.unrecorded += rows
                tally.open[task_id] = rows
            elif meta["status"] == SUCCESS:
                more.update(enter_success(tally, task_id, rows, meta["result"]))
            elif (told := noted(notes.get(note_id(task_id)))) is not None:
                more.update(enter_note(tally, task_id, rows, told))
            elif meta["status"] in _ENDED:
                enter_failure(tally, rows, meta)
            else:
                tally.open[task_id] = rows
        for ids_of_more in _chunks(more.items()):
            self._enter_all(tally, ids_of_more)

    def _results(self, task_id: str, rows: int, meta: Any, propagate: bool) -> list[Any]:
        if meta is None or meta["status"] == PENDING:
            raise ResultsExpired(
                f"The result backend had the results of all {self.total:,} rows of the bulk "
                f"{self.id}, and has lost some since: they have expired, or were deleted. Read "
                "results sooner, or keep them longer with CELERY_RESULT_EXPIRES.",
                self.id,
            )
        outcome = outcome_of(meta["result"]) if meta["status"] == SUCCESS else None
        if outcome is None and (rows > 1 or meta["status"] == REVOKED):
            # It was broken off: what had ended before is noted.
            found = noted(read(self.app.backend, [note_id(task_id)]).get(note_id(task_id)))
            outcome = found if isinstance(found, Outcome) else None
        if outcome is not None:
            return self._results_of(task_id, outcome, meta, propagate)
        if meta["status"] in EXCEPTION_STATES:
            if propagate:
                raise meta["result"]
            return [meta["result"]] * rows
        return [meta["result"] if meta["status"] == SUCCESS and rows == 1 else None] * rows

    def _results_of(self, task_id: str, outcome: Outcome, meta: Any, propagate: bool) -> list[Any]:
        results = list(outcome.results)
        raised = {place: self._exception(found) for place, found in outcome.raised}
        if outcome.revoked:
            error = meta["result"] if meta["status"] == REVOKED else TaskRevokedError("terminated")
            raised.update({entry[0]: error for entry in outcome.revoked})
        for place, error in raised.items():
            if propagate:
                raise error
            results[place] = error
        # Rows of before there were exceptions in outcomes failed under ids of their own.
        elsewhere = {*outcome.retried, *(entry[0] for entry in outcome.failed + outcome.missing)}
        ids = {row_id(task_id, place): place for place in sorted(elsewhere - raised.keys())}
        metas = read(self.app.backend, ids)
        for own_id, place in ids.items():
            found = metas.get(own_id)
            if found is None and place not in outcome.retried:
                continue  # a row that was discarded
            (results[place],) = self._results(own_id, 1, found, propagate)
        if outcome.rest:
            first, rest = outcome.rest
            found = read(self.app.backend, [rest]).get(rest)
            results[first:] = self._results(rest, outcome.rows - first, found, propagate)
        return results

    def _exception(self, found: Any) -> BaseException:
        error: BaseException = self.app.backend.exception_to_python(found)
        return error


def _chunks(pairs: Iterable[tuple[str, int]]) -> Iterator[dict[str, int]]:
    remaining = iter(pairs)
    return iter(lambda: dict(islice(remaining, _CHUNK)), {})
