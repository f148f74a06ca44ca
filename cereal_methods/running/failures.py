"""How a task ends whose rows are gone, locked or in an unreachable database.

Its function has not started. A fetch that may succeed later is retried, which does not count
as a retry of the task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore
from celery.states import IGNORED
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error

from ..celery_api.backends import end_chain
from ..exceptions import RowLocked
from ..results.endings import Discarded
from ..rows.connections import is_unavailable
from ..rows.fetch import fetch_all
from . import text
from .fetch_retries import reset_fetch_retries, retry_fetch, row_of_error
from .message import is_called_directly
from .policy import DEFAULT, RowPolicy
from .state import is_row_of_batch

if TYPE_CHECKING:
    from ..rows.reference import Reference
    from .fetch_retries import Sent

logger = logging.getLogger("cereal_methods")


def handle_failed_fetch(
    task: Any,
    request: Any,
    policy: RowPolicy,
    error: Exception,
    sent: Sent,
    record: Callable[[Exception], Any] = lambda error: None,
) -> Any:
    """Return the result of a task whose rows could not be fetched, or raise what ends it.

    ``request`` is that of the task's message, and ``sent`` returns its arguments. ``record`` is
    called before the state of a discarded task is stored.
    """
    if isinstance(error, ObjectDoesNotExist) and callable(policy.on_missing):
        try:
            return policy.on_missing(error)
        except Ignore:
            if is_called_directly(request):
                raise
        _discard(task, request, error, record)
    if is_called_directly(request):
        raise error from error.__cause__
    if isinstance(error, ObjectDoesNotExist):
        if policy.on_missing == "discard":
            _discard(task, request, error, record)
        if policy.on_missing == "retry":
            retry_fetch(task, request, error, sent)
    elif isinstance(error, RowLocked):
        if (policy.select_for_update or {}).get("skip_locked"):
            _discard(task, request, error, record)
        retry_fetch(task, request, error, sent)
    elif is_unavailable(error):
        retry_fetch(task, request, error, sent)
    raise error from error.__cause__


def fetch_or_retry(task: Any, references: Sequence[Reference], sent: Sent) -> list[Any]:
    """Return the rows that a message names, for a task that has no row policy.

    Raises what ends the task, or retries it if their database is unavailable.
    """
    request = task.request if task else None
    try:
        rows = fetch_all(references)
    except Exception as error:
        rows = handle_failed_fetch(task, request, DEFAULT, error, sent)  # which raises
    reset_fetch_retries(request)
    return rows


@contextmanager
def retry_when_unavailable(task: Any, sent: Sent) -> Iterator[None]:
    """Retry the running task if a database turns out to be unavailable in this block."""
    try:
        yield
    except Error as error:
        if not is_unavailable(error):
            raise
        handle_failed_fetch(task, task.request, DEFAULT, error, sent)


def _discard(
    task: Any, request: Any, error: Exception, record: Callable[[Exception], Any]
) -> NoReturn:
    record(error)
    logger.warning(
        "Task %s[%s] is discarded: %s",
        task.name,
        request.id,
        error,
        extra=text.fields(task, row_of_error(error)),
    )
    if not request.is_eager:
        if request.chord:  # or its body would never run
            task.backend.mark_as_done(request.id, None, request=request)
        elif not (request.ignore_result or is_row_of_batch(request)):  # batches store their own
            task.backend.store_result(request.id, None, IGNORED, request=request)
        end_chain(task.backend, request.chain)
    raise Discarded(error) from error
