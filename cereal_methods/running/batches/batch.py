"""Messages with several rows: their method runs for one row after the other.

Each row runs as a separate task would, whatever the other rows do. How it ended is added to the
batch's outcome and written to the journal at once. The outcome is stored in the result backend
when the batch has ended.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import SoftTimeLimitExceeded, WorkerLostError
from django.db import transaction

from ... import conf
from ...results.codec import Codec
from ...results.endings import FAILED
from ...results.errors import encode_exception, error_text
from ...results.ids import row_id
from ...results.messages import CRASHES, part_of
from ...results.outcome import Outcome
from ...rows.connections import UNAVAILABLE, with_reconnect
from ...rows.fetch import fetch
from ...rows.lazy import LazyRow
from ...rows.reference import THIS, ModelReference, QuerySetReference
from ...rows.values import without_lazy_rows
from ..failures import retry_when_unavailable
from ..message import sent_arguments_of
from ..state import STATE, RunState
from . import journal
from .attempt import RowRunner
from .copies import copy_for_row, rows_in
from .ending import RESULT, RETRIED, RowEnding
from .finished import FinishedBatch, finished
from .journal import Journal
from .limits import TimeShare
from .progress import publisher, recorded_progress, wait_for_backend
from .rest import send_rest
from .row_request import row_request
from .sessions import Sessions
from .window import Window, key_forms, tables_of

if TYPE_CHECKING:
    from ..policy import RowPolicy
    from .events import Events

logger = logging.getLogger("cereal_methods")

#: Batches that took fewer seconds do not check whether the result backend is available.
_QUICK: Final = 0.05

#: After so many failures that the result backend has refused, no more are stored one by one.
_MAX_REFUSED: Final = 3


class Batch:
    """The rows of one message, and how many of them have ended.

    ``args`` and ``kwargs`` are the other arguments as they came. ``is_recorded`` says that the
    batch is durable. Unless its method has ``atomic=False``, all its rows then run in the
    transaction that ends the record, and none of them has ended before that commits.
    """

    def __init__(
        self,
        task: Any,
        policy: RowPolicy,
        rows: QuerySetReference,
        args: Any,
        kwargs: Any,
        *,
        is_recorded: bool = False,
    ) -> None:
        request = task.request
        self.is_recorded = is_recorded
        self.is_atomic = is_recorded and task.target.is_atomic
        self.task, self.policy, self.request = task, policy, request
        self.id: str = request.id
        self.args = [without_lazy_rows(value) for value in args]
        self.kwargs = {name: without_lazy_rows(value) for name, value in kwargs.items()}
        self.rows = part_of(rows, vars(request))
        self.references = self.rows.each()
        self.has_result = not (request.ignore_result or task.ignore_result)
        codec = Codec(task.backend) if self.has_result else None
        self.encode: Callable[[Any], Any] = codec.encode if codec else lambda value: None
        self.decode: Callable[[Any], Any] = codec.decode if codec else lambda entry: None
        self.journal = Journal(self.id, is_kept=not self.is_atomic)
        self.outcome = Outcome(len(self.references))
        self.runner = RowRunner(task, self.encode, self.rows.using if self.is_atomic else None)
        self.time_share = TimeShare(task, request)
        self.texts = {
            name: (getattr(request, name, None) or "", repr(rows))
            for name in ("argsrepr", "kwargsrepr")
        }

    def run(self) -> dict[str, Any]:
        """Run the rows that have not ended yet; return the ``Outcome`` of all as a result.

        Raises ``Retry`` if the database is unavailable before the first row. If a time limit
        strikes or the database becomes unavailable later, another message continues the batch.
        """
        events = self.journal.open()
        has_progress = self.has_result and not self.is_atomic
        if (self.request.delivery_info or {}).get("redelivered") and has_progress:
            outcome, on_other_host = recorded_progress(self.task.backend, self.id)
            if outcome is not None:
                self.journal.close()
                journal.remove(self.id)
                return outcome.as_result()
            if len(on_other_host.lines) > len(events.lines):
                events = on_other_host
                self.journal.continue_from(events)
        self.outcome = events.outcome(len(self.references), self.decode)
        if has_progress:
            publisher.add(self.task.app, self.journal)
        try:
            with suppress(SoftTimeLimitExceeded):  # it struck between two rows
                self._fail_crashing_row(events)
                with self._fetching() as (window, sessions):
                    self._run_rows(window, sessions)
            if self.outcome.ended < len(self.references) and not self.outcome.rest:
                self._send_rest()
            self.journal.flush()
            if self.is_atomic:
                transaction.on_commit(self._finish, using=self.rows.using, robust=True)
            else:
                self._finish()
        except BaseException as error:
            publisher.remove(self.id)
            if isinstance(error, Exception) and not self.journal.lines:
                journal.remove(self.id)
            raise
        finally:
            self.journal.close()
        return self.outcome.as_result()

    def divide(self) -> dict[str, Any]:
        """Send a message for each row that has not ended, and return the outcome as a result."""
        events = self.journal.open()
        try:
            self.outcome = events.outcome(len(self.references), self.decode)
            for position in range(self.outcome.ended, len(self.references)):
                request = self._request_of(position, self.references[position], {})
                self.task.signature_from_request(request).apply_async()
                self._add(RowEnding(RETRIED))
            finished[self.id] = FinishedBatch(self.task, self.outcome, has_progress=False)
        finally:
            self.journal.close()
        return self.outcome.as_result()

    def _finish(self) -> None:
        """Store the failures of rows, when the rows have ended for good."""
        if self.has_result:
            self._store_failures()
        has_progress = publisher.remove(self.id)
        finished[self.id] = FinishedBatch(self.task, self.outcome, has_progress)

    def _fail_crashing_row(self, events: Events) -> None:
        """Add the next row as failed if the process has died too often while it ran.

        A durable batch is divided instead.
        """
        position = self.outcome.ended
        if events.started != position or self.is_recorded:
            return
        crashes = events.crashes + int(getattr(self.request, CRASHES, None) or 0)
        if crashes >= conf.get("MAX_CRASHES"):
            error = WorkerLostError(f"The process has died {crashes} times while the method ran.")
            exception = encode_exception(error, self.task.backend)
            self._add(RowEnding(FAILED, text=error_text(error), exception=exception))

    @contextmanager
    def _fetching(self) -> Iterator[tuple[Window | None, Sessions]]:
        """Provide the rows fetched ahead, in one transaction if all are locked together."""
        references = self.references[self.outcome.ended :]
        others = rows_in((*self.args, *self.kwargs.values()))
        window = Window(self.policy, self.references, others)
        with ExitStack() as stack:
            if self.policy.locks_batches:
                keys = [reference.pk for reference in references]
                lock = functools.partial(self._lock, window, keys)
                with self._retrying():
                    stack.enter_context(with_reconnect(self.rows.using, lock))
                self.journal.is_held = True
            sessions = Sessions(tables_of(self.policy, [*references, *others]))
            stack.enter_context(sessions)
            locks_rows = self.policy.locks and not self.policy.locks_batches
            yield None if locks_rows else window, sessions
        if self.journal.is_held:
            self.journal.release()

    def _lock(self, window: Window, keys: list[Any]) -> ExitStack:
        """Lock all rows in a transaction, and return the context that ends it."""
        with ExitStack() as opened:
            opened.enter_context(transaction.atomic(using=self.rows.using))
            window.lock(keys)
            return opened.pop_all()

    def _retrying(self) -> Any:
        """Retry the message later if the database is unavailable; no row has started."""
        return retry_when_unavailable(self.task, functools.partial(sent_arguments_of, self.request))

    def _run_rows(self, window: Window | None, sessions: Sessions) -> None:
        while (position := self.outcome.ended) < len(self.references):
            # In one transaction all rows end together, however long they take.
            if position and not self.journal.is_held and self.time_share.is_used():
                return
            try:
                ahead = window.take(position) if window is not None else {}
            except UNAVAILABLE:
                if position and not self.is_atomic:
                    self._send_rest(countdown=conf.get("FETCH_RETRY_BACKOFF"))
                    return
                with self._retrying():
                    raise
            reference = self.references[position]
            request = self._request_of(position, reference, ahead)
            sessions.watch(key_forms(reference))
            self.journal.start(position)
            ending = self.runner.run(request, reference)
            sessions.restore()
            if sessions.wrote and window is not None:
                window.drop()
            has_next = window is not None and window.has(position + 1)
            self._add(ending, at_once=not has_next)
            if ending.is_limit:
                return

    def _add(self, ending: RowEnding, *, at_once: bool = True) -> None:
        """Add the next row to the outcome and to the journal."""
        if ending.kind == RESULT:
            line = f"={json.dumps(ending.encoded)}"
            self.outcome.add_result(ending.value if self.has_result else None)
        elif ending.kind == RETRIED:
            line = "~"
            self.outcome.add_retried()
        else:
            reference = self.references[self.outcome.ended]
            exception = None if ending.exception is None else self.encode(ending.exception)
            entry = [ending.kind, reference.as_wire()[1], ending.text, exception]
            line = f"!{json.dumps(entry)}"
            self.outcome.add(ending.kind, reference, ending.text, ending.exception)
        self.journal.end(line, at_once=at_once)

    def _request_of(self, position: int, reference: ModelReference, ahead: Any) -> Any:
        args, kwargs = copy_for_row(self.args), copy_for_row(self.kwargs)
        kwargs[THIS] = LazyRow(reference, fetch)
        texts = {
            name: text.replace(rows, repr(reference)) for name, (text, rows) in self.texts.items()
        }
        task_id = row_id(self.id, position)
        return row_request(
            self.request, task_id, args, kwargs, **{STATE: RunState(window_rows=ahead)}, **texts
        )

    def _send_rest(self, countdown: float | None = None) -> None:
        """Send a message for the rows that have not started."""
        first = self.outcome.ended
        self.outcome.rest = [first, send_rest(self.task, self.request, self.rows, first, countdown)]

    def _store_failures(self) -> None:
        """Store each failure under its row's own id too, for the admin and monitors."""
        if self.time_share.elapsed > _QUICK:
            with suppress(SoftTimeLimitExceeded):
                wait_for_backend(self.task.backend, self.id)
        refused = 0
        for request, error in self.runner.failures:
            try:
                self.task.backend.mark_as_failure(
                    request.id, error, request=request, call_errbacks=False
                )
            except Exception as reason:  # the batch's outcome has all failures
                refused += 1
                logger.warning("The failure of %s could not be stored: %s", request.id, reason)
                if refused == _MAX_REFUSED:
                    return
