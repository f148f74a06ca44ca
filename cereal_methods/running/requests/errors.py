"""The errors of tasks in the consumer, and those of the consumer itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import signals

from ...celery_api.tasks import pop_request, push_request
from ...celery_api.worker import exception_in

logger = logging.getLogger("cereal_methods")


@contextmanager
def logged(text: str, *args: Any) -> Iterator[None]:
    """Log the errors of a block: the consumer must go on with other messages."""
    try:
        yield
    except Exception:
        logger.exception(text, *args)


def send_task_failure(task: Any, context: Any, exc_info: Any) -> None:
    """Send Celery's signal ``task_failure``; ``context`` is the request of the task."""
    error = exception_in(exc_info)
    push_request(task, context)
    try:
        signals.task_failure.send(
            sender=task,
            task_id=context.id,
            exception=error,
            args=context.args,
            kwargs=context.kwargs,
            traceback=error.__traceback__,
            einfo=exc_info,
        )
    finally:
        pop_request(task)
