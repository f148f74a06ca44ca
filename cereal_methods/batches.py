"""Messages that carry several rows: their method, run for one row after the other.

The rows are strangers to each other. Each is run as a message of its own would be; what
becomes of it is entered in the batch's outcome, in a file as soon as it is known, and in the
result backend when the batch has ended.
"""

from __future__ import annotations

import copy
import functools
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from billiard.exceptions import WorkerLostError
from celery import signals
from celery.exceptions import SoftTimeLimitExceeded
from celery.states import SUCCESS
from django.db import transaction

from . import conf, journal
from .arguments import sent_by
from .attempts import RESULT, RETRIED, Ended, Runner, request_of
from .calls import THIS
from .codec import Codec
from .connections import UNAVAILABLE, reconnecting
from .failures import retrying
from .hydration import fetch
from .journal import Events, Journal
from .outcomes import (
    CRASHES,
    FAILED,
    Outcome,
    note_id,
    part_of,
    progress_id,
    raised_by,
    row_id,
    text_of,
)
from .parts import send_rest
from .progress import await_backend, publisher, recorded
from .references import LEAVES, ModelReference, QuerySetReference, replace
from .resolutions import without_stand_ins
from .sessions import Sessions
from .stand_ins import Row, stand_in
from .window import Window, spellings, tables_of

if TYPE_CHECKING:
    from .policies import RowPolicy

logger = logging.getLogger("cereal_methods")

#: A batch goes on in another message when it has used this part of its time limit, so that
#: each row has nearly all of it.
_SHARE: Final = 0.1

#: Batches that took less seconds than this do not ask whether their backend answers.
_QUICK: Final = 0.05

#: After so many failures that a backend did not take, it is asked for no more.
_REFUSED: Final = 3

# The time limits that the worker's command line says, hard and soft.
_worker_limits: list[Any] = [None, None]


@signals.celeryd_after_setup.connect(weak=False, dispatch_uid=f"{__name__}.limits")
def _learn_limits(instance: Any, **_: Any) -> None:
    _worker_limits[:] = [
        getattr(instance, "time_limit", None),
        getattr(instance, "soft_time_limit", None),
    ]


def run_batch(
    task: Any, policy: RowPolicy, rows: QuerySetReference, args: Any, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Run a method for the rows of a message; return their ``Outcome`` as a result.

    ``args`` and ``kwargs`` are the other arguments as they came. Raises ``Retry`` where the
    database is unavailable before the first row; a time limit, a dead process or a database
    that goes away later ends the batch for one row, and the rest goes on in another message.
    """
    return _Batch(task, policy, rows, args, kwargs).run()


class _Batch:
    """One message's rows, and how far they are."""

    def __init__(
        self, task: Any, policy: RowPolicy, rows: QuerySetReference, args: Any, kwargs: Any
    ) -> None:
        request = task.request
        self.task, self.policy, self.request = task, policy, request
        self.id: str = request.id
        self.args = [without_stand_ins(value) for value in args]
        self.kwargs = {name: without_stand_ins(value) for name, value in kwargs.items()}
        self.rows = part_of(rows, vars(request))
        self.references = self.rows.each()
        self.is_kept = not (request.ignore_result or task.ignore_result)
        codec = Codec(task.backend) if self.is_kept else None
        self.encode: Callable[[Any], Any] = codec.encode if codec else lambda value: None
        self.decode: Callable[[Any], Any] = codec.decode if codec else lambda entry: None
        self.journal = Journal(self.id)
        self.outcome = Outcome(len(self.references))
        self.runner = Runner(task, self.encode)
        self.started = time.monotonic()
        self.texts = {
            name: (getattr(request, name, None) or "", repr(rows))
            for name in ("argsrepr", "kwargsrepr")
        }

    def run(self) -> dict[str, Any]:
        """Run the rows that have not ended yet."""
        events = self.journal.open()
        if (self.request.delivery_info or {}).get("redelivered") and self.is_kept:
            outcome, elsewhere = recorded(self.task.backend, self.id)
            if outcome is not None:
                self.journal.close()
                journal.remove(self.id)
                return outcome.as_result()
            if len(elsewhere.lines) > len(events.lines):
                events = elsewhere
                self.journal.take_over(events)
        self.outcome = events.outcome(len(self.references), self.decode)
        if self.is_kept:
            publisher.add(self.task.app, self.journal)
        try:
            with suppress(SoftTimeLimitExceeded):  # between two rows
                self._skip_poison(events)
                with self._fetching() as (window, sessions):
                    self._run_rows(window, sessions)
            if self.outcome.ended < len(self.references) and not self.outcome.rest:
                self._send_rest()
            self.journal.flush()
            if self.is_kept and time.monotonic() - self.started > _QUICK:
                with suppress(SoftTimeLimitExceeded):
                    await_backend(self.task.backend, self.id)
            if self.is_kept:
                self._record_failures()
            _finished[self.id] = (self.task, publisher.remove(self.id), self.outcome)
        except BaseException as error:
            publisher.remove(self.id)
            if isinstance(error, Exception) and not self.journal.lines:
                journal.remove(self.id)
            raise
        finally:
            self.journal.close()
        return self.outcome.as_result()

    def _record_failures(self) -> None:
        """Store each failure under its row's own id too, where the admin and monitors look."""
        refused = 0
        for request, error in self.runner.failures:
            try:
                self.task.backend.mark_as_failure(
                    request.id, error, request=request, call_errbacks=False
                )
            except Exception as reason:  # the batch's outcome tells of all of them
                refused += 1
                logger.warning("The failure of %s could not be stored: %s", request.id, reason)
                if refused == _REFUSED:
                    return

    def _skip_poison(self, events: Events) -> None:
        """Fail the row at which the process has ended too often before."""
        position = self.outcome.ended
        if events.begun is None or events.begun < position:
            return
        crashes = events.crashes + int(getattr(self.request, CRASHES, None) or 0)
        if events.begun == position and crashes >= conf.get("MAX_CRASHES"):
            error = WorkerLostError(
                f"The process that ran it has ended {crashes} times before the method did."
            )
            ended = Ended(FAILED, text=text_of(error), raised=raised_by(error, self.task.backend))
            self._enter(self.references[position], ended)

    @contextmanager
    def _fetching(self) -> Iterator[tuple[Window | None, Sessions]]:
        """Give the rows that are fetched ahead, in one transaction if all are locked at once."""
        left = self.references[self.outcome.ended :]
        others = list(dict.fromkeys(_references_in((self.args, self.kwargs))))
        window = Window(self.policy, self.references, others)
        with ExitStack() as stack:
            if self.policy.locks_batches:
                lock = functools.partial(self._lock, window, [each.pk for each in left])
                with self._retrying():
                    stack.enter_context(reconnecting(self.rows.using, lock))
                self.journal.is_held = True
            sessions = stack.enter_context(Sessions(tables_of(self.policy, [*left, *others])))
            yield None if self.policy.locks and not self.policy.locks_batches else window, sessions
        if self.journal.is_held:
            self.journal.release()

    def _lock(self, window: Window, keys: list[Any]) -> ExitStack:
        """Lock all rows in a transaction, and return what ends it."""
        with ExitStack() as opened:
            opened.enter_context(transaction.atomic(using=self.rows.using))
            window.lock(keys)
            return opened.pop_all()

    def _retrying(self) -> Any:
        """Retry the message later where the database is away; no row of it has begun."""
        return retrying(self.task, functools.partial(sent_by, self.request))

    def _run_rows(self, window: Window | None, sessions: Sessions) -> None:
        while (position := self.outcome.ended) < len(self.references):
            # Locks are for all rows or none, and so is the time that they take.
            if position and not self.journal.is_held and self._has_used_its_time():
                return
            try:
                ahead = window.take(position) if window is not None else {}
            except UNAVAILABLE:
                if position:
                    self._send_rest(countdown=conf.get("FETCH_RETRY_BACKOFF"))
                    return
                with self._retrying():
                    raise
            reference = self.references[position]
            request = self._request_of(position, reference, ahead)
            sessions.begin(spellings(reference))
            self.journal.begin(position)
            ended = self.runner.run(request, reference)
            sessions.restore()
            if sessions.wrote and window is not None:
                window.drop()
            self._enter(reference, ended, window)
            if ended.is_limit:
                return

    def _enter(self, reference: ModelReference, ended: Ended, window: Any = None) -> None:
        at_once = window is None or not window.has(self.outcome.ended + 1)
        if ended.kind == RESULT:
            line = f"={json.dumps(ended.encoded)}"
            self.outcome.add_result(ended.value if self.is_kept else None)
        elif ended.kind == RETRIED:
            line = "~"
            self.outcome.add_retried()
        else:
            raised = None if ended.raised is None else self.encode(ended.raised)
            told = [ended.kind, reference.as_wire()[1], ended.text, raised]
            line = f"!{json.dumps(told)}"
            self.outcome.add(ended.kind, reference, ended.text, ended.raised)
        self.journal.end(line, at_once=at_once)

    def _request_of(self, position: int, reference: ModelReference, ahead: Any) -> Any:
        args, kwargs = _own(self.args), _own(self.kwargs)
        kwargs[THIS] = Row(reference, fetch)
        texts = self._texts_about(reference)
        return request_of(
            self.request, row_id(self.id, position), args, kwargs, rows_ahead=ahead, **texts
        )

    def _texts_about(self, rows: Any) -> dict[str, str]:
        return {name: text.replace(shown, repr(rows)) for name, (text, shown) in self.texts.items()}

    def _has_used_its_time(self) -> bool:
        hard, soft = self.request.timelimit or (None, None)
        limits = [
            hard or self.task.time_limit or _worker_limits[0],
            soft or self.task.soft_time_limit or _worker_limits[1],
        ]
        used = time.monotonic() - self.started
        return any(limit and used > limit * _SHARE for limit in limits)

    def _send_rest(self, countdown: float | None = None) -> None:
        """Let the rows that have not begun go on in a message of their own."""
        first = self.outcome.ended
        self.outcome.rest = [first, send_rest(self.task, self.request, self.rows, first, countdown)]


# The batches of this process that have ended, until Celery has stored their outcomes.
_finished: Final[dict[str, tuple[Any, bool, Outcome]]] = {}


@signals.task_postrun.connect(weak=False, dispatch_uid=f"{__name__}.clean")
def _clean(task_id: Any = None, state: Any = None, **_: Any) -> None:
    """Remove what a batch has kept for those who would have gone on with it."""
    if task_id not in _finished:
        return
    task, was_told, outcome = _finished.pop(task_id)
    if sys.exc_info()[1] is not None:
        return  # the outcome could not be stored: the consumer goes by the journal
    try:
        if state != SUCCESS:  # Celery has stored an error of its own in its place
            task.backend.store_result(note_id(task_id), outcome.as_result(), SUCCESS)
        if was_told:
            task.backend.forget(progress_id(task_id))
    except Exception as error:
        logger.warning("A record of %s could not be stored: %s", task_id, error)
    journal.remove(task_id)


_clean.is_for_messages = True  # type: ignore[attr-defined]


def _own(value: Any) -> Any:
    """Return a copy of arguments, with stand-ins for the rows in them.

    What one row's method or hooks do to them is not the next one's.
    """
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is ModelReference or kind is QuerySetReference:
        return stand_in(value, fetch)
    if kind is dict:
        return {name: _own(item) for name, item in value.items()}
    if kind is list or kind is tuple:
        return kind(map(_own, value))
    try:
        return copy.deepcopy(value)
    except Exception:  # a lock, say
        return value


def _references_in(value: Any) -> Iterator[ModelReference]:
    found: list[ModelReference] = []

    def enter(item: Any) -> None:
        if isinstance(item, ModelReference):
            found.append(item)
        elif isinstance(item, QuerySetReference):
            found.extend(item.each())

    replace(value, enter)
    yield from found
