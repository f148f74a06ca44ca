"""What a worker's consumer does for messages that end without their function's end.

A process that is killed, a hard time limit, a revoke or an expiry leaves nobody in the pool
to tell which rows it was about. The consumer has the message, whose header names them, and
the batch's journal: only the row that was running fails, and the others run.
"""

from __future__ import annotations

import copy
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback  # type: ignore[attr-defined]
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery import VERSION, signals
from celery.exceptions import Ignore, Reject, Retry
from celery.states import SUCCESS
from celery.utils.imports import symbol_by_name
from celery.worker import state

from . import conf, journal
from .calls import THIS
from .codec import Codec
from .outcomes import (
    CRASHES,
    EXPIRED,
    FAILED,
    OUTCOME,
    REVOKED_ROW,
    ROWS,
    STAMP,
    is_batch,
    keys_of,
    note_id,
    progress_id,
    raised_by,
    references_of,
    rest_id,
    row_id,
    rows_in,
    text_of,
    write_note,
)
from .references import ModelReference, QuerySetReference

logger = logging.getLogger("cereal_methods")

#: How long a process that was killed is waited for, in seconds.
_DEATH: Final = 0.5

#: When a batch is run again whose beginning could not be recorded, in seconds.
_PAUSE: Final = 2.0

#: What a task raises to tell its worker what to do, and what ends the worker.
_TOLD: Final = (Reject, Ignore, Retry, Terminated, MemoryError)

#: For how long a record is tried again where the result backend is away, in seconds.
_PATIENCE: Final = 600.0


class RequestOption:
    """A task's attribute ``Request``: Celery's class, or the project's own, and this module's.

    The project's is that which the task was given, or that of its base class.
    """

    def __init__(self, given: Any = None) -> None:
        self._given = given
        self._made: dict[Any, type] = {}

    def __get__(self, task: Any, owner: type) -> type:
        base = self._given
        if base is None:
            inherited = (vars(kind).get("Request") for kind in owner.__mro__)
            base = next(each for each in inherited if each is not None and each is not self)
        found: type = symbol_by_name(base)
        if found not in self._made:
            is_ours = issubclass(found, RowRequest)
            self._made[found] = found if is_ours else type(found.__name__, (RowRequest, found), {})
        return self._made[found]


class RowRequest:
    """What the consumer does with a message beside what Celery's ``Request`` does."""

    # Of celery.worker.request.Request, before which this stands.
    id: str
    task: Any
    app: Any
    _request_dict: dict[str, Any]
    _context: Any
    _message: Any
    _already_revoked: bool
    _already_cancelled: bool
    acknowledged: bool
    ignore_result: bool
    worker_pid: int | None

    _is_broken_off = False

    def rows(self) -> ModelReference | QuerySetReference | None:
        """Return the rows that the message is for, or None. Reads no class and runs no query."""
        return rows_in(self._request_dict.get("kwargs"), self._request_dict)

    # What Celery calls.

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        with _guarded("The rows of %s, which is revoked, could not be recorded.", self.id):
            rows = self.rows()
            if rows is not None and self._is_told() and not self._is_broken_off:
                self._is_broken_off = True
                if terminated and isinstance(rows, QuerySetReference):
                    self._note_terminated(rows, reason)
                else:
                    kind = EXPIRED if expired else REVOKED_ROW
                    text, keys = f"TaskRevokedError: {reason}", keys_of(rows)
                    self._record(lambda backend: write_note(backend, self.id, kind, keys, text))
        super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc]

    def on_timeout(self, soft: bool, timeout: Any) -> None:
        """Take a time limit: a soft one is the function's matter."""
        if not soft and not state.should_terminate:
            if self._is_broken_off:  # on_failure came first, as it does on prefork
                return
            if self._break_off(_raised(TimeLimitExceeded(timeout)), timeout=timeout):
                self._end()
                return
        super().on_timeout(soft, timeout)  # type: ignore[misc]

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> None:
        """Take a failure that the pool tells: of the function, or of the process."""
        error = _exception(exc_info)
        is_lost = isinstance(error, (WorkerLostError, SystemExit, KeyboardInterrupt))
        is_limit = isinstance(error, TimeLimitExceeded) and not return_ok
        if (is_lost or is_limit) and not (
            state.should_terminate or self._already_revoked or self._already_cancelled
        ):
            if not isinstance(error, (WorkerLostError, TimeLimitExceeded)):
                exc_info = _raised(WorkerLostError(f"The process has ended: {text_of(error)}"))
            if self._is_broken_off:
                return
            if self._break_off(exc_info, is_lost=is_lost):
                self._end()
                return
            if is_lost and self._sends_again() and self._send_again({CRASHES: self._crashes + 1}):
                self._end()
                return
            if is_lost and self._is_late():
                self._fail_for_good(exc_info)
                return
        if return_ok and self._is_batch():
            journal.remove(self.id)
        is_told = return_ok or is_lost or is_limit or isinstance(error, _TOLD)
        if not is_told and self._has_failed_outside(exc_info):
            return
        if isinstance(error, Reject) and not getattr(error, "requeue", False):
            self._note_failure(error)
            super().on_failure(exc_info, send_failed_event, return_ok)  # type: ignore[misc]
            if VERSION < (5, 7):  # which leaves it without an end
                with _guarded("The failure of %s could not be stored.", self.id):
                    self.task.backend.mark_as_failure(
                        self.id, error, request=self._context, store_result=not self.ignore_result
                    )
            return
        if (is_lost or is_limit) and not self._already_revoked:
            self._note_failure(error)
        super().on_failure(exc_info, send_failed_event, return_ok)  # type: ignore[misc]

    def _has_failed_outside(self, exc_info: Any) -> bool:
        """Take an error from outside of the function: what Celery stores could not be stored.

        It would store the failure now, in vain again, and lose the message.
        """
        error = _exception(exc_info)
        if self._is_batch():
            events = journal.read(self.id)
            if events.is_told:  # the pool has seen to it, when the backend was there
                journal.remove(self.id)
                done = True
            elif events.lines or events.begun is not None:
                done = self._break_off(exc_info)
            else:
                done = self._send_again({"eta": _soon()})
        elif self._is_told() and (rows := self.rows()) is not None:
            keys, text, request = keys_of(rows), text_of(error), self._context

            def store(backend: Any) -> None:
                write_note(backend, self.id, FAILED, keys, text)
                backend.mark_as_failure(self.id, error, request=request)

            self._record(store)
            done = True
        else:
            done = False
        if done:
            self._end()
        return done

    # A batch that was broken off.

    def _is_batch(self) -> bool:
        """Whether the message is one that ``batches`` runs."""
        return is_batch(self.rows(), self._request_dict)

    def _break_off(self, exc_info: Any, *, is_lost: bool = False, timeout: Any = None) -> bool:
        """Fail the row that was running, and send the rest; tell whether that was done.

        False for messages of one row.
        """
        rows = self.rows()
        if rows is None or not self._is_batch():
            return False
        self._is_broken_off = True
        try:
            self._kill()
            references = references_of(rows)
            events = journal.read(self.id)
            backend = self.task.backend
            outcome = events.outcome(len(references), Codec(backend).decode)
            error = _exception(exc_info)
            running = events.begun
            if running is not None and running < len(references):
                # Of rows in one transaction, those before it have not ended either.
                for position in range(outcome.ended, running):
                    self._send_row(position)
                    outcome.add_retried()
                if is_lost and self._sends_again():
                    self._send_row(running, crashes=max(events.crashes, self._crashes + 1))
                    outcome.add_retried()
                else:
                    outcome.add(
                        FAILED, references[running], text_of(error), raised_by(error, backend)
                    )
                    self._tell_failure(running, references[running], exc_info)
            if outcome.ended < len(references):
                self._send_part(outcome.ended, len(references), rest_id(self.id, outcome.ended))
                outcome.rest = [outcome.ended, rest_id(self.id, outcome.ended)]
        except Exception:
            logger.exception("Batch %s[%s] could not be gone on with.", self.task.name, self.id)
            self._is_broken_off = False
            return False
        logger.error(
            "Batch %s[%s] is broken off after %d of %d rows: %s",
            self.task.name,
            self.id,
            outcome.ended,
            len(references),
            text_of(error),
        )
        if not self.ignore_result:
            request = self._context

            def store(backend: Any) -> None:
                backend.store_result(self.id, outcome.as_result(), SUCCESS, request=request)
                with suppress(Exception):
                    backend.forget(progress_id(self.id))
                journal.remove(self.id)

            self._record(store)
        else:
            journal.remove(self.id)
        return True

    def _kill(self) -> None:
        """Make sure that the pool's process runs no further row: Celery kills it after this."""
        pid = self.worker_pid
        if not pid or pid == os.getpid() or not hasattr(signal, "SIGKILL"):
            return
        if _is_child(pid):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + _DEATH
        while _is_child(pid) and time.monotonic() < until:
            time.sleep(0.002)

    def _note_terminated(self, rows: QuerySetReference, reason: str) -> None:
        """Record what had ended of a batch that is terminated, and that the rest is revoked."""
        until = time.monotonic() + _DEATH
        while self.worker_pid and _is_child(self.worker_pid) and time.monotonic() < until:
            time.sleep(0.002)
        backend, references = self.task.backend, rows.each()
        outcome = journal.read(self.id).outcome(len(references), Codec(backend).decode)
        while outcome.ended < len(references):
            outcome.add(REVOKED_ROW, references[outcome.ended], f"TaskRevokedError: {reason}")
        told = {OUTCOME: outcome.as_result()[OUTCOME]}
        self._record(lambda backend: backend.store_result(note_id(self.id), told, SUCCESS))
        journal.remove(self.id)

    # One row that ended its process.

    @property
    def _crashes(self) -> int:
        """How often the message has ended a process before."""
        found = self._request_dict.get(CRASHES)
        return found if type(found) is int else 0

    def _is_late(self) -> bool:
        return bool(
            self.task.acks_late
            and self.task.reject_on_worker_lost
            and not getattr(self.task, "retry_on_worker_lost", None)
        )

    def _sends_again(self) -> bool:
        """Whether the message of a lost process is to run again, and has not too often."""
        return self._is_late() and self._crashes + 1 < conf.get("MAX_CRASHES")

    def _send_again(self, changes: dict[str, Any]) -> bool:
        try:
            self._publish(changes)
        except Exception:
            logger.exception("Task %s[%s] could not be sent again.", self.task.name, self.id)
            return False
        logger.error("Task %s[%s] is sent again.", self.task.name, self.id)
        return True

    def _fail_for_good(self, exc_info: Any) -> None:
        """Fail a message that has ended too many processes, rather than have it delivered again."""
        error = _exception(exc_info)
        self._note_failure(error)
        with _guarded("The failure of %s could not be recorded.", self.id):
            self.task.backend.mark_as_failure(
                self.id, error, request=self._context, store_result=not self.ignore_result
            )
        with _guarded("The failure of %s could not be told.", self.id):
            self._send_failure(self._context, exc_info)
        self._end()

    def _end(self) -> None:
        """Be done with the message: its rows have an end, or go on in messages of their own."""
        state.task_ready(self)
        self.acknowledge()  # type: ignore[attr-defined]

    def _note_failure(self, error: BaseException) -> None:
        with _guarded("It could not be recorded for which row %s has failed.", self.id):
            rows = self.rows()
            if rows is not None and self._is_told():
                write_note(self.task.backend, self.id, FAILED, keys_of(rows), text_of(error))

    def _is_told(self) -> bool:
        """Whether the message is one of a bulk's whose results are kept."""
        return not self.ignore_result and STAMP in (self._request_dict.get("stamped_headers") or ())

    # Hooks, signals, messages.

    def _tell_failure(self, position: int, reference: ModelReference, exc_info: Any) -> None:
        """Call what is called for a single task that fails so."""
        context = copy.copy(self._context)
        context.id = row_id(self.id, position)
        context.args = list(self._request_dict["args"] or ())
        context.kwargs = {**(self._request_dict["kwargs"] or {}), THIS: reference}
        with _guarded("The failure of row %r could not be told.", reference):
            is_limit = isinstance(_exception(exc_info), TimeLimitExceeded)
            if is_limit and VERSION >= (5, 7):
                self.task.on_failure(
                    _exception(exc_info), context.id, context.args, context.kwargs, exc_info
                )
            self._send_failure(context, exc_info)

    def _send_failure(self, context: Any, exc_info: Any) -> None:
        error = _exception(exc_info)
        self.task.request_stack.push(context)
        try:
            signals.task_failure.send(
                sender=self.task,
                task_id=context.id,
                exception=error,
                args=context.args,
                kwargs=context.kwargs,
                traceback=error.__traceback__,
                einfo=exc_info,
            )
        finally:
            self.task.request_stack.pop()

    def _send_row(self, position: int, crashes: int = 0) -> None:
        self._send_part(position, position + 1, row_id(self.id, position), crashes)

    def _send_part(self, first: int, end: int, task_id: str, crashes: int = 0) -> None:
        before = self._request_dict.get(ROWS) or [0, 0]
        part = [before[0] + first, before[0] + end]
        self._publish({"id": task_id, "parent_id": self.id, ROWS: part, CRASHES: crashes})

    def _publish(self, changes: dict[str, Any]) -> None:
        """Send the message's own body again, which nobody has to decode, with other headers."""
        message = self._message
        properties = dict(message.properties or {})
        info = message.delivery_info or {}
        headers = {**message.headers, **changes}
        # The body was inflated as it came in.
        for name in ("compression", "redelivered", "x-death"):
            headers.pop(name, None)
        with self.app.producer_or_acquire() as producer:
            producer.publish(
                message.body,
                exchange=info.get("exchange") or "",
                routing_key=info.get("routing_key"),
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=headers,
                correlation_id=headers["id"],
                reply_to=properties.get("reply_to"),
                priority=properties.get("priority") or 0,
                delivery_mode=properties.get("delivery_mode") or 2,
                retry=True,
                retry_policy=self.app.conf.task_publish_retry_policy,
            )

    def _record(self, store: Callable[[Any], Any]) -> None:
        """Store something now, or in the background where the backend is away."""
        try:
            store(self.task.backend)
        except Exception as error:
            logger.warning("A record of %s waits for the result backend: %s", self.id, error)
            about = (store, self.task, self.id)
            threading.Thread(target=_store_later, args=about, daemon=True).start()


def _store_later(store: Callable[[Any], Any], task: Any, task_id: str) -> None:
    until, pause = time.monotonic() + _PATIENCE, 0.5
    while True:
        time.sleep(pause)
        try:
            store(task.backend)  # this thread's
            return
        except Exception:
            if time.monotonic() >= until:
                logger.exception("A record of %s could not be stored.", task_id)
                return
        pause = min(pause * 2, 10.0)


@contextmanager
def _guarded(text: str, *about: Any) -> Iterator[None]:
    """Log what goes wrong in a block: the consumer has other messages to see to."""
    try:
        yield
    except Exception:
        logger.exception(text, *about)


def _exception(exc_info: Any) -> BaseException:
    found: Any = exc_info.exception
    error: BaseException = found.exc if isinstance(found, ExceptionWithTraceback) else found
    return error


def _soon() -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=_PAUSE)).isoformat()


def _raised(error: BaseException) -> Any:
    try:
        raise error
    except type(error):
        return ExceptionInfo()


def _is_child(pid: int) -> bool:
    """Whether a process of the pool still runs. One that has ended is a zombie for a moment."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
