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

    Stores nothing in the result backend, and calls no errbacks. To be called while ``error`` is
    handled.
    """
    # A row of a batch ends as a task of its own. Else: a copy of these four functions.
    report = getattr(TraceInfo(ended_in, error), _REPORTS[ended_in])
    report(task, request, store_errors=False, call_errbacks=False)


def receivers_of(signal: Any, sender: Any) -> list[Callable[..., Any]]:
    """Return the functions that a signal of Celery's calls for a sender."""
    # signal.send calls all of them, and some are for messages and not for the rows of one.
    return list(signal._live_receivers(sender)) if signal.receivers else []


def has_receivers(signal: Any) -> bool:
    """Whether somebody has connected to a signal of Celery's, for whatever sender."""
    # signal.has_listeners(sender) would do, and takes longer.
    return bool(signal.receivers)


def closes_connections(receiver: Any) -> bool:
    """Whether a receiver is the one by which Celery closes Django's connections around a task."""
    # A batch's rows may be in one transaction. Else: all would be fetched again, row by row.
    return isinstance(getattr(receiver, "__self__", None), DjangoWorkerFixup)


def exception_in(exc_info: Any) -> BaseException:
    """Return the exception that an ``ExceptionInfo`` of a pool's holds."""
    # The pool's processes wrap it, to send its traceback along.
    found: Any = exc_info.exception
    error: BaseException = found.exc if isinstance(found, ExceptionWithTraceback) else found
    return error


def exception_info(error: BaseException) -> Any:
    """Return the ``ExceptionInfo`` of an error, as if it had just been raised."""
    # The hooks and signals of tasks take one, and it looks at what is being handled.
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
    """Stands before the class of a worker's requests, Celery's or a project's, in a subclass."""

    def before_revoke(self, reason: str, *, is_terminated: bool, is_expired: bool) -> None:
        """Do what is to be done before a message is recorded as revoked."""

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        # The signal task_revoked is sent when the state is there already, for all to read.
        self.before_revoke(reason, is_terminated=bool(terminated), is_expired=bool(expired))
        super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc]


def context_of(request: Any) -> Any:
    """Return the ``Task.request`` that the task of a worker's request would have."""
    # Backends and signals take it. Else: Context(request.request_dict), and the embed by hand.
    return request._context


def was_revoked(request: Any) -> bool:
    """Whether a worker has recorded that a request's task is revoked."""
    return bool(request._already_revoked)


def was_cancelled(request: Any) -> bool:
    """Whether a worker has taken a request back, because its connection was lost."""
    return bool(request._already_cancelled)


def end_request(request: Any) -> None:
    """Be done with a request: the worker forgets it, and acknowledges its message."""
    # on_success and on_failure do this, and store results and send events beside.
    state.task_ready(request)
    request.acknowledge()


def is_terminating() -> bool:
    """Whether this worker is in its cold shutdown."""
    return bool(state.should_terminate)


@contextmanager
def revoking(ids: Collection[str], stamps: Mapping[str, Any]) -> Iterator[None]:
    """Let this process know of revoked tasks, as workers do, and forget them afterwards."""
    # For recordings, which have no worker that the control command could reach.
    added = [each for each in ids if each not in state.revoked]
    known: Any = state.revoked_stamps
    before = dict(known)
    for each in added:
        state.revoked.add(each)
    known.update(stamps)
    try:
        yield
    finally:
        for each in added:
            state.revoked.discard(each)
        known.clear()
        known.update(before)


@contextmanager
def fresh_tracer(task: Any) -> Iterator[None]:
    """Make Celery build anew what calls a task's function."""
    # Celery keeps it on the task, with the function as it was: a test may have mocked it since.
    tracer, task.__trace__ = task.__trace__, None
    try:
        yield
    finally:
        task.__trace__ = tracer


# A worker and its consumer.


def time_limits_of(worker: Any) -> tuple[float | None, float | None]:
    """Return the hard and the soft time limit of a worker's command line."""
    # They hold for tasks that have none, and the pool alone knows them.
    return getattr(worker, "time_limit", None), getattr(worker, "soft_time_limit", None)


def set_strategies(consumer: Any, strategies: dict[str, Callable[..., Any]]) -> None:
    """Give a consumer the dict in which it puts what handles each task's messages."""
    # Celery documents the dict, and fills it when the consumer starts and at each reload. To see
    # messages before they are handled, one must wrap what is put into it.
    consumer.strategies = strategies


def wrap_message_handler(
    consumer: Any, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Wrap the function that makes a consumer's handler of any message."""
    # It finds the task, outside of any try. Else: a class for app.Consumer of the project's worker.
    consumer.create_task_handler = wrap(consumer.create_task_handler)


def wrap_decode_error(
    consumer: Any, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Wrap the function that a consumer calls for a message that cannot be decoded."""
    # It acknowledges the message, and records nothing.
    consumer.on_decode_error = wrap(consumer.on_decode_error)


# A process beside the pool's.

#: The class of a worker's child processes. multiprocessing's do not go with the pool's.
ChildProcess: Final[Any] = Process


def leave_worker(app: Any, title: str) -> None:
    """Let a child process be no worker: it has its own signals, and none of the worker's files."""
    # What celery worker -B does for beat. Else: the child keeps the broker's connection open.
    signals: Any = platforms.signals
    signals.reset("HUP", "QUIT", "USR1", "USR2", "CHLD")
    signals.ignore("INT")
    streams: list[Any] = [sys.__stdin__, sys.__stdout__, sys.__stderr__]
    close: Any = platforms.close_open_fds
    close([*streams, *iter_open_logger_fds()])
    app.set_default()
    app.set_current()
    platforms.set_mp_process_title("celeryd", info=title)
