"""Celery's workers; see the package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from billiard.context import Process
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback  # type: ignore[attr-defined]
from celery import VERSION, platforms
from celery.app.trace import IGNORE_STATES, TraceInfo
from celery.fixups.django import DjangoWorkerFixup  # type: ignore[attr-defined]
from celery.states import FAILURE, IGNORED, REJECTED, RETRY
from celery.utils.log import get_logger, iter_open_logger_fds  # type: ignore[attr-defined]
from celery.worker import state

# How a run ends.

#: The logger of the lines that a worker writes when a task ends.
run_logger: Final = get_logger("celery.app.trace")

#: The states in which a run ends without a call of ``after_return``.
WITHOUT_AFTER_RETURN: Final[Collection[str]] = IGNORE_STATES

#: Whether ``Request.on_failure`` stores that a task has rejected its message. Before Celery 5.7 the
#: task stays in the state that it had.
STORES_REJECTED: Final = VERSION >= (5, 7)

#: Whether ``Task.on_failure`` is called after a hard time limit, as it is from Celery 5.7 on.
CALLS_ON_FAILURE_AT_LIMIT: Final = VERSION >= (5, 7)

_REPORTS: Final[Mapping[str, str]] = {
    FAILURE: "handle_failure",
    IGNORED: "handle_ignore",
    REJECTED: "handle_reject",
    RETRY: "handle_retry",
}


def report_end(task: Any, request: Any, ended_in: str, error: BaseException) -> None:
    """Call the hooks, send the signals and write the log of a run that ended without a result.

    Stores nothing in the result backend, and calls no errbacks. Call it while ``error`` is handled.
    """
    # A row of a batch ends as a task does. Else: a copy of these four functions.
    report = getattr(TraceInfo(ended_in, error), _REPORTS[ended_in])
    report(task, request, store_errors=False, call_errbacks=False)


def receivers_of(signal: Any, sender: Any) -> list[Callable[..., Any]]:
    """Return the functions that a signal of Celery's calls for a sender."""
    # signal.send calls all of them, but some are for whole messages, not for rows.
    return list(signal._live_receivers(sender)) if signal.receivers else []


def has_receivers(signal: Any) -> bool:
    """Whether a signal of Celery has any receivers, for any sender."""
    # signal.has_listeners(sender) takes longer.
    return bool(signal.receivers)


def closes_connections(receiver: Any) -> bool:
    """Whether a receiver is Celery's, which closes Django's connections around a task."""
    # The rows of a batch may share a transaction. Else: fetch all rows again, one by one.
    return isinstance(getattr(receiver, "__self__", None), DjangoWorkerFixup)


def exception_in(exc_info: Any) -> BaseException:
    """Return the exception in an ``ExceptionInfo`` of the pool."""
    # The pool's processes wrap it together with its traceback.
    raised: Any = exc_info.exception
    error: BaseException = raised.exc if isinstance(raised, ExceptionWithTraceback) else raised
    return error


def exception_info(error: BaseException) -> Any:
    """Return the ``ExceptionInfo`` of an error, as if it had just been raised."""
    # Hooks and signals of tasks take one. It reads the exception that is being handled.
    try:
        raise error
    except type(error):
        return ExceptionInfo()


# A worker's requests.

if TYPE_CHECKING:

    class _Request:
        """What the library uses of ``celery.worker.request.Request``."""

        id: str
        task: Any
        app: Any
        message: Any
        request_dict: dict[str, Any]
        ignore_result: bool
        worker_pid: int | None
        acknowledged: bool

        def acknowledge(self) -> None: ...
        def revoked(self) -> bool: ...
        def on_timeout(self, soft: bool, timeout: Any) -> None: ...
        def on_failure(
            self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
        ) -> None: ...

else:
    _Request = object


class RequestHooks(_Request):
    """A mixin for the class of a worker's requests, whether Celery's or a project's."""

    def before_revoke(self, reason: str, *, is_terminated: bool, is_expired: bool) -> None:
        """Prepare for a message that is recorded as revoked next."""

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        # The signal task_revoked is sent after the state is stored, when callers can read it.
        self.before_revoke(reason, is_terminated=bool(terminated), is_expired=bool(expired))
        super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc]


def context_of(request: Any) -> Any:
    """Return the ``Task.request`` that a task would have for a worker's request."""
    # Backends and signals take it. Else: Context(request.request_dict), and add the embed.
    return request._context


def was_revoked(request: Any) -> bool:
    """Whether a worker has recorded that a request's task is revoked."""
    return bool(request._already_revoked)


def was_cancelled(request: Any) -> bool:
    """Whether a worker has canceled a request, because its connection was lost."""
    return bool(request._already_cancelled)


def end_request(request: Any) -> None:
    """End a request: the worker forgets it, and acknowledges its message."""
    # on_success and on_failure do this, but also store results and send events.
    state.task_ready(request)
    request.acknowledge()


def is_terminating() -> bool:
    """Whether this worker is in its cold shutdown."""
    return bool(state.should_terminate)


@contextmanager
def revoking(ids: Collection[str], stamps: Mapping[str, Any]) -> Iterator[None]:
    """Revoke tasks in this process, as a worker does, for a block."""
    # For recordings, which have no worker that the control command could reach.
    added = [task_id for task_id in ids if task_id not in state.revoked]
    known: Any = state.revoked_stamps
    before = dict(known)
    for task_id in added:
        state.revoked.add(task_id)
    known.update(stamps)
    try:
        yield
    finally:
        for task_id in added:
            state.revoked.discard(task_id)
        known.clear()
        known.update(before)


@contextmanager
def fresh_tracer(task: Any) -> Iterator[None]:
    """Make Celery build a new tracer, which calls a task's function, for a block."""
    # Celery stores the tracer on the task, with the function that a test may have mocked since.
    tracer, task.__trace__ = task.__trace__, None
    try:
        yield
    finally:
        task.__trace__ = tracer


# A worker and its consumer.


def time_limits_of(worker: Any) -> tuple[float | None, float | None]:
    """Return the hard and the soft time limit of a worker's command line."""
    # They apply to tasks without limits of their own. Only the pool has them otherwise.
    return getattr(worker, "time_limit", None), getattr(worker, "soft_time_limit", None)


def set_strategies(consumer: Any, strategies: dict[str, Callable[..., Any]]) -> None:
    """Set the dict in which a consumer stores the handler of each task's messages."""
    # Celery documents the dict, and fills it when the consumer starts and at each reload. A dict of
    # our own can wrap the handlers.
    consumer.strategies = strategies


def wrap_message_handler(
    consumer: Any, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Wrap the function that makes a consumer's handler of any message."""
    # The handler finds the task outside of any try. Else: a subclass of the project's app.Consumer.
    consumer.create_task_handler = wrap(consumer.create_task_handler)


def wrap_decode_error(
    consumer: Any, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Wrap the function that a consumer calls for a message that cannot be decoded."""
    # It acknowledges the message, but records nothing.
    consumer.on_decode_error = wrap(consumer.on_decode_error)


# A process beside the pool's.

#: The class of a worker's child processes. Those of multiprocessing do not work beside the pool.
ChildProcess: Final[Any] = Process


def leave_worker(app: Any, title: str) -> None:
    """Separate a child process from its worker: reset its signals, and close the worker's files."""
    # As celery worker -B does for beat. Else: the child keeps the broker's connection open.
    signals: Any = platforms.signals
    signals.reset("HUP", "QUIT", "USR1", "USR2", "CHLD")
    signals.ignore("INT")
    streams: list[Any] = [sys.__stdin__, sys.__stdout__, sys.__stderr__]
    close: Any = platforms.close_open_fds
    close([*streams, *iter_open_logger_fds()])
    app.set_default()
    app.set_current()
    platforms.set_mp_process_title("celeryd", info=title)
