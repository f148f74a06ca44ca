"""Fetch retries: a message is sent once more, to fetch its rows later.

They are counted in a header of the message, and not as retries of the task.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, Final, NoReturn

from celery.exceptions import Reject, Retry

from .. import conf
from ..celery_api.tasks import uses_quorum_queues
from ..exceptions import RowLocked
from ..rows.reference import ModelReference
from . import text
from .message import reprs_of

logger = logging.getLogger("cereal_methods")

#: The message header that counts fetch retries.
RETRIES: Final = "cereal_fetch_tries"

#: Returns a message's arguments as they were sent, and the name of its serializer or None.
Sent = Callable[[], tuple[Any, Any, str | None]]


def reset_fetch_retries(request: Any) -> None:
    """Start to count fetch retries anew, as all rows of the task are there."""
    headers = request.headers if request is not None else None
    if headers:
        headers.pop(RETRIES, None)


def retry_fetch(
    task: Any, request: Any, error: Exception, sent: Sent, most: float | None = None
) -> NoReturn:
    """Send the task's message once more, and raise ``Retry``.

    Raises ``error`` if it was sent ``most`` times, or runs eagerly; by default that is the
    setting ``FETCH_MAX_RETRIES``. If the broker is
    unavailable too, raises ``Reject`` for a task with ``acks_late``, and else ``error``.
    """
    if request.is_eager:
        raise error from error.__cause__
    retries = (request.headers or {}).get(RETRIES, 0)
    # Anybody who can write to the broker may have set the header: an invalid count ends the task.
    most = conf.get("FETCH_MAX_RETRIES") if most is None else most
    if type(retries) is not int or not 0 <= retries < most:
        raise error
    countdown = _countdown(task, retries)
    # By the serializer of the message: the task's own may not be able to write its references.
    args, kwargs, serializer = sent()
    is_alias = task.serializer == "django_cereal_pickle"
    options = {"serializer": serializer} if serializer and not is_alias else {}
    signature = task.signature_from_request(
        request,
        args,
        kwargs,
        countdown=countdown,
        retries=request.retries,
        headers={**(request.headers or {}), RETRIES: retries + 1},
        **reprs_of(request),
        **options,
    )
    try:
        signature.apply_async()
    except Exception as failure:
        _fail_unsent(task, request, error, failure)
    logger.warning(
        "Task %s[%s] fetches its rows again in %.1fs: %s: %s",
        task.name,
        request.id,
        countdown,
        type(error).__name__,
        error,
        extra=text.fields(task, row_of_error(error)),
    )
    raise Retry(str(error), error, countdown) from error


def _countdown(task: Any, retries: int) -> Any:
    """Return the seconds until a message fetches its rows again."""
    backoff = conf.get("FETCH_RETRY_BACKOFF") * 2 ** min(retries, 30)
    countdown = min(backoff, conf.get("FETCH_RETRY_BACKOFF_MAX"))
    countdown *= random.uniform(1.0, 1.25)  # noqa: S311  (tasks that fail together are spread)
    # Quorum queues delay by whole seconds, and do not delay by 0.
    return max(countdown, 1) if uses_quorum_queues(task.app) else countdown


def _fail_unsent(task: Any, request: Any, error: Exception, failure: Exception) -> NoReturn:
    """Log why a task could neither fetch its rows nor be sent again, and raise what ends it."""
    reason = f"{error} It could not be sent again: {type(failure).__name__}: {failure}"
    # Logged here, as the result backend may be unavailable like the broker.
    logger.error(
        "Task %s[%s] cannot fetch its rows again%s: %s: %s",
        task.name,
        request.id,
        ", and its message is requeued" if task.acks_late else "",
        type(error).__name__,
        reason,
        extra=text.fields(task, row_of_error(error)),
    )
    if task.acks_late:
        raise Reject(reason, requeue=True) from failure
    error.args = (reason,)
    raise error from failure


def row_of_error(error: Exception) -> ModelReference | None:
    """Return the row that an error is about, if it names one."""
    if isinstance(error, RowLocked):
        return ModelReference(error.about, error.keys[0], error.using)
    # Set by rows.fetch.missing_error; a DoesNotExist of other code does not have it.
    missing: list[ModelReference] = getattr(error, "references", [])
    return missing[0] if missing else None
