"""One result for all rows of a bulk, counted from what its messages leave in the backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celery import current_app
from celery.backends.base import BaseKeyValueStoreBackend, DisabledBackend
from celery.backends.rpc import RPCBackend
from celery.exceptions import Ignore
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.states import EXCEPTION_STATES, IGNORED, PENDING, READY_STATES, SUCCESS

from .exceptions import ResultsNotKept
from .outcomes import STAMP, message_id, note_id, outcome_of, row_id, text_of
from .references import key_from_wire

if TYPE_CHECKING:
    from celery import Celery

#: How many results are read from the backend at a time.
_CHUNK: Final = 10_000

_NOT_KEPT: Final = (
    "Nothing tells what became of the rows: the task ignores its results, or the app has no result "
    "backend that keeps them, as rpc:// does not. Set CELERY_RESULT_BACKEND, and no ignore_result."
)

_ENDED: Final = READY_STATES | {IGNORED}


class Failure(NamedTuple):
    """A row without a result.

    ``key`` is its primary key (None if nothing told it), ``error`` says why, in one line.
    """

    key: Any
    error: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows there are (``total``), and what became of them so far.

    ``succeeded``, ``failed`` and ``missing`` are numbers of rows, as in ``BulkResult``.
    """

    total: int
    succeeded: int = 0
    failed: int = 0
    missing: int = 0

    @property
    def completed(self) -> int:
        """How many rows will not change any more."""
        return self.succeeded + self.failed + self.missing


class BulkResult:
    """The result of a method's tasks for many rows.

    ``total`` is the number of rows that were sent. The other numbers are asked of
    the result backend: what is complete is asked for once, the rest each time.
    They are None where the tasks ignore their results.

    ``failed`` are rows whose method raised, or whose message ended without running
    it (revoked, unreadable, killed by its time limit); ``missing`` are those that
    were gone, whatever ``on_missing`` made of it.
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
    ) -> None:
        self.id = id
        self.batch_size = batch_size
        self.app: Any = app or current_app
        self.is_kept = is_kept and not isinstance(self.app.backend, (DisabledBackend, RPCBackend))
        self._full = full
        self._tail = list(tail)
        self._eager: list[Any] = []
        self._forget()

    def _forget(self) -> None:
        self._seen = 0  # messages that were asked for at least once
        self._open: dict[str, int] = {}  # task ids that have not ended, and their rows
        self._succeeded = self._failed = self._missing = 0
        self._failures: list[Failure] = []

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
            self._forget()
            for key, result in self._eager:
                self._enter_eager(key, result)
        else:
            self._refresh()
        return Counts(self.total, self._succeeded, self._failed, self._missing)

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
    def completed(self) -> int | None:
        """How many rows have succeeded, failed, or were missing."""
        counts = self.counts()
        return None if counts is None else counts.completed

    def progress(self) -> float | None:
        """Return the fraction of rows that are completed, from 0 to 1."""
        counts = self.counts()
        if counts is None:
            return None
        return counts.completed / counts.total if counts.total else 1.0

    def ready(self) -> bool:
        """Tell whether every row is completed. Raises ``ResultsNotKept`` if nothing tells."""
        self._need_results()
        return self.completed == self.total

    def successful(self) -> bool:
        """Tell whether every row's method has returned."""
        self._need_results()
        return self.succeeded == self.total

    def failures(self) -> list[Failure]:
        """Return key and error of each row that has failed or is missing."""
        self._need_results()
        self.counts()
        return list(self._failures)

    def wait(
        self,
        timeout: float | None = None,
        interval: float = 0.5,
        on_progress: Callable[[Counts], Any] | None = None,
    ) -> Counts:
        """Wait until every row is completed, and return the numbers.

        ``timeout`` and ``interval`` are in seconds; ``on_progress`` is called with the
        numbers at each. Raises Celery's ``TimeoutError``.
        """
        self._need_results()
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            counts = self.counts() or Counts(0)
            if on_progress is not None:
                on_progress(counts)
            if counts.completed == counts.total:
                return counts
            if until is not None and time.monotonic() >= until:
                raise CeleryTimeoutError(
                    f"{counts.completed} of {counts.total} rows are completed after {timeout} s."
                )
            if hasattr(self.app.backend, "refuse_to_wait"):  # nothing runs: it is a test's
                self.app.backend.refuse_to_wait(self.id)
            time.sleep(interval)

    def get(
        self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5
    ) -> list[Any]:
        """Wait, and return what each row's method returned, in the order of the rows.

        Raises what a method raised, unless ``propagate`` is false: then its exception
        stands in its place. Rows that were discarded give None.
        """
        self.wait(timeout, interval)
        if self._eager:
            return [result.get(propagate=propagate) for _, result in self._eager]
        found: list[Any] = []
        for ids in _chunks(self._messages()):
            metas = _read(self.app.backend, ids)
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
            self.id, [self.batch_size, self._full, self._tail, self.is_kept], SUCCESS
        )

    @classmethod
    def restore(cls, id: str, app: Celery | None = None) -> BulkResult | None:  # noqa: A002
        """Return the result that was saved under an id, or None."""
        found: Any = app or current_app
        if isinstance(found.backend, (DisabledBackend, RPCBackend)):
            raise ResultsNotKept(_NOT_KEPT, id)
        meta = found.backend.get_task_meta(id, cache=False)
        match meta["result"]:
            case [int(batch_size), int(full), [*tail], bool(is_kept)]:
                return cls(id, batch_size, full, tail, is_kept=is_kept, app=found)
        return None

    def delete(self) -> None:
        """Remove what ``save`` has kept."""
        self.app.backend.forget(self.id)

    def _need_results(self) -> None:
        if not self.is_kept:
            raise ResultsNotKept(_NOT_KEPT, self.id)

    def _messages(self, first: int = 0) -> Iterator[tuple[str, int]]:
        for number in range(first, self.messages):
            rows = self.batch_size if number < self._full else self._tail[number - self._full]
            yield message_id(self.id, number), rows

    def _refresh(self) -> None:
        still_open, self._open = self._open, {}
        for ids in _chunks(still_open.items()):
            self._enter_all(ids)
        first, self._seen = self._seen, self.messages
        for ids in _chunks(self._messages(first)):
            self._enter_all(ids)

    def _enter_all(self, ids: dict[str, int]) -> None:
        metas = _read(self.app.backend, ids)
        ended = {key: meta for key, meta in metas.items() if meta["status"] in _ENDED}
        failed = [key for key, meta in ended.items() if meta["status"] != SUCCESS]
        notes = _read(self.app.backend, [note_id(key) for key in failed])
        alone: dict[str, int] = {}
        for task_id, rows in ids.items():
            meta = ended.get(task_id)
            if meta is None:
                self._open[task_id] = rows
            elif meta["status"] != SUCCESS:
                self._enter_failure(meta, rows, notes.get(note_id(task_id)))
            elif rows == 1:
                self._succeeded += 1
            else:
                alone.update(self._enter_batch(task_id, rows, meta))
        for ids_of_rows in _chunks(alone.items()):
            self._enter_all(ids_of_rows)

    def _enter_batch(self, task_id: str, rows: int, meta: Any) -> dict[str, int]:
        outcome = outcome_of(meta["result"])
        if outcome is None:
            self._failed += rows
            self._failures.append(Failure(None, f"{rows} rows have no outcome: {meta['result']!r}"))
            return {}
        for told, count in ((outcome.failed, "_failed"), (outcome.missing, "_missing")):
            setattr(self, count, getattr(self, count) + len(told))
            self._failures.extend(Failure(key_from_wire(key), text) for _, key, text in told)
        ended = len(outcome.failed) + len(outcome.missing) + len(outcome.retried)
        self._succeeded += outcome.rows - ended
        return {row_id(task_id, position): 1 for position in outcome.retried}

    def _enter_failure(self, meta: Any, rows: int, noted: Any) -> None:
        if noted is not None and noted["status"] == SUCCESS:
            kind, keys, text = noted["result"]
        else:
            error = meta["result"]
            kind, keys, text = "failed", [None] * rows, text_of(error)
            if meta["status"] == IGNORED:
                text = "discarded"
        if kind == "missing":
            self._missing += rows
        else:
            self._failed += rows
        self._failures.extend(
            Failure(None if key is None else key_from_wire(key), text) for key in keys
        )

    def _enter_eager(self, key: Any, result: Any) -> None:
        error = result.result
        if result.state == SUCCESS:
            self._succeeded += 1
            return
        error = error.__cause__ if isinstance(error, Ignore) and error.__cause__ else error
        if any(reference.pk == key for reference in getattr(error, "references", ())):
            self._missing += 1
        else:
            self._failed += 1
        self._failures.append(Failure(key, text_of(error)))

    def _results(self, task_id: str, rows: int, meta: Any, propagate: bool) -> list[Any]:
        if meta is None or meta["status"] not in _ENDED:
            meta = {"status": PENDING, "result": None}
        if meta["status"] in EXCEPTION_STATES:
            if propagate:
                raise meta["result"]
            return [meta["result"]] * rows
        if rows == 1 or meta["status"] != SUCCESS:
            return [meta["result"] if meta["status"] == SUCCESS else None] * rows
        outcome = outcome_of(meta["result"])
        if outcome is None:
            return [None] * rows
        results = list(outcome.results or [None] * rows)
        own = sorted({*outcome.retried, *(entry[0] for entry in outcome.failed + outcome.missing)})
        ids = {row_id(task_id, position): position for position in own}
        metas = _read(self.app.backend, ids)
        for key, position in ids.items():
            (results[position],) = self._results(key, 1, metas.get(key), propagate)
        return results


def _chunks(pairs: Iterable[tuple[str, int]]) -> Iterator[dict[str, int]]:
    remaining = iter(pairs)
    return iter(lambda: dict(islice(remaining, _CHUNK)), {})


def _read(backend: Any, ids: Iterable[str]) -> dict[str, Any]:
    """Return the records that a backend has of tasks, in as few round trips as it can."""
    ids = list(ids)
    if not ids:
        return {}
    if isinstance(backend, BaseKeyValueStoreBackend):
        keys = [backend.get_key_for_task(task_id) for task_id in ids]
        values: Any = backend.mget(keys)
        if hasattr(values, "items"):  # memcached leaves out what is not there
            values = [values.get(key) for key in keys]
        return {
            task_id: backend.decode_result(value)
            for task_id, value in zip(ids, values, strict=True)
            if value
        }
    if hasattr(backend, "ResultSession"):  # celery.backends.database
        return dict(_select(backend, ids))
    if hasattr(backend, "TaskModel"):  # django-celery-results
        return dict(_filter(backend, ids))
    return {task_id: backend.get_task_meta(task_id, cache=False) for task_id in ids}


def _filter(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    rows = backend.TaskModel._default_manager
    for start in range(0, len(ids), 1000):
        for row in rows.filter(task_id__in=ids[start : start + 1000]):
            meta = {"status": row.status, "result": backend.decode_content(row, row.result)}
            yield row.task_id, backend.meta_from_decoded(meta)


def _select(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    table = backend.task_cls
    with backend.ResultSession() as session:
        for start in range(0, len(ids), 1000):
            wanted = ids[start : start + 1000]
            for row in session.query(table).filter(table.task_id.in_(wanted)):
                meta = row.to_dict()
                if hasattr(backend, "_decode_stored_result"):  # Celery 5.7
                    meta["result"] = backend._decode_stored_result(meta["result"])
                yield meta["task_id"], backend.meta_from_decoded(meta)
