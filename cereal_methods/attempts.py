"""One row of a batch, run as Celery runs a message of that row alone.

It has a request, an id, arguments, hooks and signals of its own. What it leaves in the
result backend is its batch's matter: nothing here writes to it, and so nothing waits for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celery import signals
from celery.app.task import Context
from celery.app.trace import IGNORE_STATES, TraceInfo, task_has_custom
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from celery.fixups.django import DjangoWorkerFixup  # type: ignore[attr-defined]
from celery.states import FAILURE, IGNORED, REJECTED, RETRY, SUCCESS
from celery.utils.log import get_logger

from .exceptions import FunctionAborted
from .outcomes import FAILED, MISSING, OWN_HEADERS, kind_of, raised_by, reason_of, text_of

if TYPE_CHECKING:
    from .references import ModelReference

# Celery's own, as these lines are Celery's.
logger = get_logger("celery.app.trace")

#: What ends the process, and is not a row's failure.
_ENDS: Final = (SystemExit, KeyboardInterrupt)

#: How a row ends that returns, or that goes on under its own id.
RESULT: Final = "result"
RETRIED: Final = "retried"


class Ended(NamedTuple):
    """How a row has ended: what it returned, or why it has no result."""

    kind: str
    value: Any = None  # encoded too
    encoded: Any = None
    text: str = ""
    raised: Any = None
    is_limit: bool = False


def request_of(
    message: Any, task_id: str, args: list[Any], kwargs: dict[str, Any], **own: Any
) -> Any:
    """Return the request of a message that would have carried only some rows of another's."""
    headers = dict(message.headers or {})
    for name in OWN_HEADERS:
        headers.pop(name, None)
    return Context(
        {
            **{key: value for key, value in vars(message).items() if key not in OWN_HEADERS},
            "id": task_id,
            "parent_id": message.id,
            "correlation_id": task_id,
            "args": args,
            "kwargs": kwargs,
            "headers": headers,
            "callbacks": None,
            "errbacks": None,
            "chain": None,
            "chord": None,
            "group": None,
            "group_index": None,
            "_children": None,
            "_protected": 0,
            **own,
        }
    )


class Runner:
    """Runs the rows of one batch's message, each in a request of its own."""

    def __init__(self, task: Any, encode: Callable[[Any], Any]) -> None:
        self.task = task
        self.message: Any = task.request_stack.top
        #: The requests of rows that have failed, and their errors.
        self.failures: list[tuple[Any, BaseException]] = []
        self._encode = encode
        self._call = task if task_has_custom(task, "__call__") else task.run
        self._before_start = task.before_start if task_has_custom(task, "before_start") else None
        self._on_success = task.on_success if task_has_custom(task, "on_success") else None
        self._after_return = task.after_return if task_has_custom(task, "after_return") else None
        self._limits = _limits()
        self._prerun = _receivers(signals.task_prerun, task)
        self._postrun = _receivers(signals.task_postrun, task)

    def run(self, request: Any, reference: ModelReference) -> Ended:
        """Run the method for a row; raise nothing but what ends the process."""
        stack = self.task.request_stack
        # In the place of the message's: Celery's guard of custom __call__ looks at the depth.
        stack.pop()
        stack.push(request)
        try:
            return self._run(request, reference)
        finally:
            stack.pop()
            stack.push(self.message)

    def _run(self, request: Any, reference: ModelReference) -> Ended:
        task, task_id = self.task, request.id
        args, kwargs = request.args, request.kwargs
        state: str = FAILURE
        value: Any = None
        begun = time.monotonic()
        about = {"sender": task, "task_id": task_id, "task": task, "args": args, "kwargs": kwargs}
        _send(signals.task_prerun, self._prerun, **about)
        try:
            try:
                if self._before_start is not None:
                    self._before_start(task_id, args, kwargs)
                value = self._call(*args, **kwargs)
                encoded = self._encode(value)
            except _ENDS:
                state = ""
                raise
            except Ignore as error:
                state, value = IGNORED, error
                ended = self._without(error, reference)
                self._tell(TraceInfo(IGNORED, error).handle_ignore, request)
            except Reject as error:
                state, value = REJECTED, error
                ended = self._without(error, reference)
                if ended.kind == RETRIED and not self._send_again(request):
                    ended = Ended(FAILED, text=text_of(error))
                self._tell(TraceInfo(REJECTED, error).handle_reject, request)
            except Retry as error:
                state, value, ended = RETRY, error, Ended(RETRIED)
                self._tell(TraceInfo(RETRY, error).handle_retry, request, store_errors=False)
            except BaseException as error:
                ended, value = self._fail(request, reference, error)
            else:
                state, ended = SUCCESS, Ended(RESULT, value, encoded)
                self._succeed(request, value, time.monotonic() - begun)
            if self._after_return is not None and state not in IGNORE_STATES:
                self._hook("after_return", request, state, value, task_id, args, kwargs, None)
            return ended
        finally:
            _send(signals.task_postrun, self._postrun, retval=value, state=state, **about)

    def _fail(
        self, request: Any, reference: ModelReference, error: BaseException
    ) -> tuple[Ended, BaseException]:
        limit = isinstance(error, self._limits)
        if not isinstance(error, Exception) and not limit:
            # As for a row alone: asyncio.CancelledError, say, ends no task of Celery's.
            failure = FunctionAborted(
                f"{self.task.name} raised {type(error).__qualname__}, which ends a coroutine or a "
                "generator and not a task. Catch it in the function.",
                self.task.name,
            )
            failure.__cause__ = error
            error = failure
        ended = self._without(error, reference)._replace(is_limit=limit)
        # The exception itself: Celery makes it fit for its parent process.
        self._tell(
            TraceInfo(FAILURE, error).handle_failure,
            request,
            store_errors=False,
            call_errbacks=False,
        )
        if ended.kind == FAILED:
            self.failures.append((request, error))
        return ended, error

    def _without(self, error: BaseException, reference: ModelReference) -> Ended:
        """Return the end of a row that has no result."""
        kind = kind_of(error, [reference])
        if kind is None:
            return Ended(RETRIED)
        reason = reason_of(error)
        raised = None
        if kind in (FAILED, MISSING) and not isinstance(error, Ignore):
            raised = raised_by(error, self.task.backend)
            try:
                self._encode(raised)
            except Exception:
                raised = {**raised, "exc_message": [text_of(error).partition(": ")[2]]}
        return Ended(kind, text=text_of(reason), raised=raised)

    def _send_again(self, request: Any) -> bool:
        """Send a row as a message of its own, in the place of putting one back into its queue."""
        try:
            self.task.signature_from_request(request).apply_async()
        except Exception:
            logger.exception("Task %s[%s] could not be sent again.", self.task.name, request.id)
            return False
        return True

    def _succeed(self, request: Any, value: Any, runtime: float) -> None:
        if self._on_success is not None:
            self._hook("on_success", request, value, request.id, request.args, request.kwargs)
        if signals.task_success.receivers:
            # Celery tells the runtime since 5.7; receivers take what they do not know.
            signals.task_success.send(sender=self.task, result=value, runtime=runtime)

    def _hook(self, name: str, request: Any, *args: Any) -> None:
        """Call a hook after the row has ended: what it raises changes nothing any more."""
        try:
            getattr(self.task, name)(*args)
        except _ENDS:
            raise
        except BaseException as error:
            logger.exception(
                "Task %s[%s] %s handler raised: %r", self.task.name, request.id, name, error
            )

    def _tell(self, handle: Callable[..., Any], request: Any, **options: Any) -> None:
        """Let Celery call hooks, send signals and log for a row that has no result."""
        try:
            handle(self.task, request, **options)
        except _ENDS:
            raise
        except BaseException:
            logger.exception("Task %s[%s] handler raised.", self.task.name, request.id)


def _limits() -> tuple[type[BaseException], ...]:
    """Return what a time limit raises in a task: on gevent and eventlet, it is their timeout."""
    found: list[type[BaseException]] = [SoftTimeLimitExceeded]
    for name in ("gevent", "eventlet"):
        timeout = getattr(sys.modules.get(name), "Timeout", None)
        if isinstance(timeout, type):
            found.append(timeout)
    return tuple(found)


def _receivers(signal: Any, task: Any) -> list[Callable[..., Any]]:
    """Return whom Celery sends a signal to, but for its closing of database connections.

    They are the message's, which is not over: its rows may be in one transaction.
    """
    if not signal.receivers:
        return []
    return [
        receiver
        for receiver in signal._live_receivers(task)
        if not isinstance(getattr(receiver, "__self__", None), DjangoWorkerFixup)
        and not getattr(receiver, "is_for_messages", False)
    ]


def _send(signal: Any, receivers: list[Callable[..., Any]], /, **about: Any) -> None:
    """Send a signal as Celery does: what a receiver raises is logged."""
    for receiver in receivers:
        try:
            receiver(signal=signal, **about)
        except Exception as error:
            logger.exception("Signal handler %r raised: %r", receiver, error)
