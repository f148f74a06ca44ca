"""What becomes of a task whose rows are gone, locked or cannot be asked for.

None of it happens in the task's function, which has not begun: a fetch that could
not be made is made again, by a message of its own, and does not count as a
retry of the task's.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from celery import states
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.quorum_queues import detect_quorum_queues
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error

from . import conf, display
from .connections import is_unavailable
from .hydration import fetch_all
from .policies import DEFAULT, RowLocked, RowPolicy
from .references import ModelReference

if TYPE_CHECKING:
    from .references import Reference

logger = logging.getLogger("cereal_methods")

#: The state of a task that was discarded, because its row was gone or locked.
IGNORED: Final = states.IGNORED

#: The message header that counts how often a fetch was retried.
_TRIES: Final = "cereal_fetch_tries"

#: Returns a message's arguments as they came, and the name of its serializer or None.
Sent = Callable[[], tuple[Any, Any, str | None]]


class Discarded(Ignore):
    """A task ends without its function, because its row is gone or locked; ``error`` says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        # What cannot be unpickled from its pool's pipe ends a worker.
        return Ignore, self.args


class Replaced(Ignore):
    """A task ends for the one that replaces it: what its function did is kept."""


def not_fetched(
    task: Any,
    request: Any,
    policy: RowPolicy,
    error: Exception,
    sent: Sent,
    tell: Callable[[Exception], Any] = lambda error: None,
) -> Any:
    """Return the result of a task whose rows could not be fetched, or raise what ends it.

    ``request`` is that of the task's message. ``sent`` returns what came with it, to be
    sent again. ``tell`` is called before a task is recorded as discarded.
    """
    is_direct = request is None or bool(request.called_directly)
    if isinstance(error, ObjectDoesNotExist):
        if callable(policy.on_missing):
            try:
                return policy.on_missing(error)
            except Ignore:
                if is_direct:
                    raise
            tell(error)
            _discard(task, request, error)
        if policy.on_missing == "raise" or is_direct:
            raise error from error.__cause__
        if policy.on_missing == "retry":
            _retry(task, request, error, sent)
        tell(error)
        _discard(task, request, error)
    if isinstance(error, RowLocked) and not is_direct:
        if (policy.select_for_update or {}).get("skip_locked"):
            tell(error)
            _discard(task, request, error)
        _retry(task, request, error, sent)
    if is_unavailable(error) and not is_direct:
        _retry(task, request, error, sent)
    raise error from error.__cause__


def fetch_for(task: Any, references: Sequence[Reference], sent: Sent) -> list[Any]:
    """Return what the references of a message name, for a task that has no policy of its own.

    Raises what ends or retries the task where their database is unavailable.
    """
    try:
        found = fetch_all(references)
    except Exception as error:
        not_fetched(task, task.request if task else None, DEFAULT, error, sent)
        raise
    reset_fetch_retries(task.request if task else None)
    return found


@contextmanager
def retrying(task: Any, sent: Sent) -> Iterator[None]:
    """Retry a task later, without counting it, where a database is unavailable in this block."""
    try:
        yield
    except Error as error:
        if not is_unavailable(error):
            raise
        not_fetched(task, task.request, DEFAULT, error, sent)


def reset_fetch_retries(request: Any) -> None:
    """Note that all rows of a task are there: its next fetches count anew."""
    headers = request.headers if request is not None else None
    if headers:
        headers.pop(_TRIES, None)


def _discard(task: Any, request: Any, error: Exception) -> NoReturn:
    logger.warning(
        "Task %s[%s] is discarded: %s",
        task.name,
        request.id,
        error,
        extra=display.fields(task, _row_of(error)),
    )
    if not request.is_eager:
        if request.chord:  # whose body would wait for it
            task.backend.mark_as_done(request.id, None, request=request)
        elif not request.ignore_result and not hasattr(request, "rows_ahead"):  # or its batch tells
            task.backend.store_result(request.id, None, IGNORED, request=request)
        _end_chain(task.backend, request.chain)
    raise Discarded(error) from error


def _row_of(error: Exception) -> ModelReference | None:
    """Return the row that an error is about, if it says so."""
    if isinstance(error, RowLocked):
        return ModelReference(error.label, error.keys[0], error.using)
    missing: list[ModelReference] = getattr(error, "references", [])
    return missing[0] if missing else None


def _end_chain(backend: Any, chain: Any) -> None:
    """Count a discarded task's chain as done where a chord waits for the end of it."""
    # As Backend.mark_as_failure does for tasks that fail.
    elements = list(chain or ())
    for element in elements:
        context: Any = Context(element)
        context.update(context.options)
        context.id, context.group = context.options.get("task_id"), context.options.get("group_id")
        if "chord" in context.options:
            backend.mark_as_done(context.id, None, request=context)
        kind, parts = getattr(context, "subtask_type", None), context.kwargs or {}
        if kind == "chord" and parts.get("body") is not None:
            elements.append(parts["body"])
        elif kind == "group":
            elements.extend(parts.get("tasks") or ())


def _retry(task: Any, request: Any, error: Exception, sent: Sent) -> NoReturn:
    """Send the message once more, to run later; raise ``error`` when it was often enough."""
    if request.is_eager:
        raise error from error.__cause__
    tries = (request.headers or {}).get(_TRIES, 0)
    # Anybody who can write to the broker may have written it: what is no count ends the task.
    if type(tries) is not int or not 0 <= tries < conf.get("FETCH_MAX_RETRIES"):
        raise error
    longest = conf.get("FETCH_RETRY_BACKOFF_MAX")
    countdown = min(conf.get("FETCH_RETRY_BACKOFF") * 2**tries, longest)
    countdown *= random.uniform(1.0, 1.25)  # noqa: S311  (tasks that failed together part)
    if detect_quorum_queues(task.app, "amqp")[0]:
        countdown = max(countdown, 1)  # they count whole seconds, and refuse none
    # The serializer of the message that came: the task's own may not carry its references.
    args, kwargs, carrier = sent()
    is_alias = task.serializer == "django_cereal_pickle"
    options = {"serializer": carrier} if carrier and not is_alias else {}
    signature = task.signature_from_request(
        request,
        args,
        kwargs,
        countdown=countdown,
        retries=request.retries,
        headers={**(request.headers or {}), _TRIES: tries + 1},
        **_texts(request),
        **options,
    )
    try:
        signature.apply_async()
    except Exception as failure:  # the broker is away too
        _not_sent(task, request, error, failure)
    logger.warning(
        "Task %s[%s] fetches its rows again in %.1fs: %s: %s",
        task.name,
        request.id,
        countdown,
        type(error).__name__,
        error,
        extra=display.fields(task, _row_of(error)),
    )
    raise Retry(str(error), error, countdown) from error


def _not_sent(task: Any, request: Any, error: Exception, failure: Exception) -> NoReturn:
    """Log why a task could neither fetch its rows nor be sent again, and raise what ends it."""
    both = f"{error} It could not be sent again: {type(failure).__name__}: {failure}"
    # Logged here, as the result backend may be away with the broker.
    logger.error(
        "Task %s[%s] cannot fetch its rows again%s: %s: %s",
        task.name,
        request.id,
        ", and gives its message back" if task.acks_late else "",
        type(error).__name__,
        both,
        extra=display.fields(task, _row_of(error)),
    )
    if task.acks_late:
        raise Reject(both, requeue=True) from failure
    error.args = (both,)
    raise error from failure


def _texts(request: Any) -> dict[str, str]:
    """Return the texts of a message's arguments, which its caller may have chosen."""
    texts = {name: getattr(request, name, None) for name in ("argsrepr", "kwargsrepr")}
    return {name: text for name, text in texts.items() if text}
