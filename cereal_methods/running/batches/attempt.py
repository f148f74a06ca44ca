"""The attempt to run one row of a batch, as Celery runs a message for that row alone.

The row has a request, an id, arguments, hooks and signals of its own. Nothing is stored in the
result backend here, so a row never waits for it: the batch stores the outcome of all its rows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celery import signals
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from celery.states import FAILURE, IGNORED, REJECTED, RETRY, SUCCESS
from django.db import Error, transaction

from ...celery_api.tasks import has_own_method, pop_request, push_request, request_on_top
from ...celery_api.worker import WITHOUT_AFTER_RETURN, has_receivers, report_end, run_logger
from ...exceptions import FunctionAborted
from ...results.endings import FAILED, MISSING, discard_reason, ending_of
from ...results.errors import encode_exception, error_text, message_of
from ..durability import TransactionLost
from .ending import RESULT, RETRIED, RowEnding
from .receivers import receivers_for_rows, send

if TYPE_CHECKING:
    from ...rows.reference import ModelReference

#: Exceptions that end the process, and not only the row.
_EXITS: Final = (SystemExit, KeyboardInterrupt)

#: Exceptions that end the batch.
_ENDS_OF_BATCH: Final = (*_EXITS, TransactionLost)


class RowRunner:
    """Runs the rows of a batch's message, each in its own request.

    ``encode`` raises the error that the result backend would raise for a value. ``using`` is the
    database in whose transaction all rows run, if they do: each hook and each receiver of a
    signal has a savepoint there, as an error of one of them must not fail other rows.
    """

    def __init__(self, task: Any, encode: Callable[[Any], Any], using: str | None = None) -> None:
        self.task = task
        self._using = using
        self.message: Any = request_on_top(task)
        #: The requests of rows that have failed, and their errors.
        self.failures: list[tuple[Any, BaseException]] = []
        self._encode = encode
        kind = type(task)
        self._call = task if has_own_method(kind, "__call__") else task.run
        self._before_start = task.before_start if has_own_method(kind, "before_start") else None
        self._on_success = task.on_success if has_own_method(kind, "on_success") else None
        self._after_return = task.after_return if has_own_method(kind, "after_return") else None
        self._time_limits = _time_limit_errors()
        self._prerun = receivers_for_rows(signals.task_prerun, task)
        self._postrun = receivers_for_rows(signals.task_postrun, task)

    def run(self, request: Any, reference: ModelReference) -> RowEnding:
        """Run the method for a row. Raises nothing but the exceptions that end the process."""
        # In place of the message's request: Celery looks at the depth for a custom __call__.
        pop_request(self.task)
        push_request(self.task, request)
        try:
            return self._run(request, reference)
        finally:
            pop_request(self.task)
            push_request(self.task, self.message)

    def _run(self, request: Any, reference: ModelReference) -> RowEnding:
        task, task_id = self.task, request.id
        args, kwargs = request.args, request.kwargs
        state: str = FAILURE
        value: Any = None
        started = time.monotonic()
        about = {"sender": task, "task_id": task_id, "task": task, "args": args, "kwargs": kwargs}
        if self._prerun:
            with self._savepoint():
                send(signals.task_prerun, self._prerun, **about)
        try:
            try:
                if self._before_start is not None:
                    with self._savepoint(hides_errors=False):
                        self._before_start(task_id, args, kwargs)
                value = self._call(*args, **kwargs)
                encoded = self._encode(value)
            except _ENDS_OF_BATCH:
                state = ""
                raise
            except Ignore as error:
                state, value = IGNORED, error
                ending = self._without_result(error, reference)
                self._report(request, IGNORED, error)
            except Reject as error:
                state, value = REJECTED, error
                ending = self._without_result(error, reference)
                if ending.kind == RETRIED and not self._send_again(request):
                    ending = RowEnding(FAILED, text=error_text(error))
                self._report(request, REJECTED, error)
            except Retry as error:
                state, value, ending = RETRY, error, RowEnding(RETRIED)
                self._report(request, RETRY, error)
            except BaseException as error:
                ending, value = self._fail(request, reference, error)
            else:
                state, ending = SUCCESS, RowEnding(RESULT, value, encoded)
                self._succeed(request, value, time.monotonic() - started)
            if self._after_return is not None and state not in WITHOUT_AFTER_RETURN:
                self._call_hook("after_return", request, state, value, task_id, args, kwargs, None)
            return ending
        finally:
            if self._postrun:
                with self._savepoint():
                    send(signals.task_postrun, self._postrun, retval=value, state=state, **about)

    @contextmanager
    def _savepoint(self, *, hides_errors: bool = True) -> Iterator[None]:
        """Undo what a hook has done in the database, if that has failed.

        What the hook raised is logged already, unless the savepoint is not to hide errors.
        """
        if self._using is None:
            yield
            return
        has_begun = False
        try:
            with transaction.atomic(using=self._using):
                has_begun = True
                yield
        except Error:  # the hook has caught its error, so the savepoint cannot be released
            if not (has_begun and hides_errors):
                raise

    def _fail(
        self, request: Any, reference: ModelReference, error: BaseException
    ) -> tuple[RowEnding, BaseException]:
        is_limit = isinstance(error, self._time_limits)
        if not isinstance(error, Exception) and not is_limit:
            # As for a row alone: Celery would not end the task for asyncio.CancelledError, say.
            failure = FunctionAborted(
                f"{self.task.name} raised {type(error).__qualname__}, which ends a coroutine or a "
                "generator and not a task. Catch it in the function.",
                self.task.name,
            )
            failure.__cause__ = error
            error = failure
        ending = self._without_result(error, reference)._replace(is_limit=is_limit)
        self._report(request, FAILURE, error)
        if ending.kind == FAILED:
            self.failures.append((request, error))
        return ending, error

    def _without_result(self, error: BaseException, reference: ModelReference) -> RowEnding:
        """Return the ending of a row for which an error was raised."""
        kind = ending_of(error, [reference])
        if kind is None:
            return RowEnding(RETRIED)
        exception = None
        if kind in (FAILED, MISSING) and not isinstance(error, Ignore):
            exception = encode_exception(error, self.task.backend)
            try:
                self._encode(exception)
            except Exception:
                exception = {**exception, "exc_message": [message_of(error)]}
        return RowEnding(kind, text=error_text(discard_reason(error)), exception=exception)

    def _send_again(self, request: Any) -> bool:
        """Send a message for one row, where Celery would requeue the message of a single task."""
        try:
            self.task.signature_from_request(request).apply_async()
        except Exception:
            run_logger.exception("Task %s[%s] could not be sent again.", self.task.name, request.id)
            return False
        return True

    def _succeed(self, request: Any, value: Any, runtime: float) -> None:
        if self._on_success is not None:
            self._call_hook("on_success", request, value, request.id, request.args, request.kwargs)
        if has_receivers(signals.task_success):
            with self._savepoint():
                # Celery passes the runtime from 5.7 on; receivers accept unknown arguments.
                signals.task_success.send(sender=self.task, result=value, runtime=runtime)

    def _call_hook(self, name: str, request: Any, *args: Any) -> None:
        """Call a hook of a row that has ended, and log what it raises."""
        try:
            with self._savepoint():
                getattr(self.task, name)(*args)
        except _EXITS:
            raise
        except BaseException as error:
            run_logger.exception(
                "Task %s[%s] %s handler raised: %r", self.task.name, request.id, name, error
            )

    def _report(self, request: Any, state: str, error: BaseException) -> None:
        """Let Celery call hooks, send signals and log for a row without a result."""
        try:
            with self._savepoint():
                report_end(self.task, request, state, error)
        except _EXITS:
            raise
        except BaseException:
            run_logger.exception("Task %s[%s] handler raised.", self.task.name, request.id)


def _time_limit_errors() -> tuple[type[BaseException], ...]:
    """Return what a soft time limit raises: in gevent's and eventlet's pools, their timeouts."""
    errors: list[type[BaseException]] = [SoftTimeLimitExceeded]
    for name in ("gevent", "eventlet"):
        timeout = getattr(sys.modules.get(name), "Timeout", None)
        if isinstance(timeout, type):
            errors.append(timeout)
    return tuple(errors)
