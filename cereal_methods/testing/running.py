"""Running a recorded message as a worker would, in this process and transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery import signals
from kombu import Message
from kombu.exceptions import ContentDisallowed

from ..celery_api.kombu import accepted_types
from ..celery_api.tasks import class_named
from ..celery_api.worker import fresh_tracer, revoking
from ..exceptions import RecordingError

if TYPE_CHECKING:
    from .messages import SentTask
    from .recordings import Recording


def run(sent: SentTask[Any], recording: Recording) -> list[Exception]:
    """Run a message with the request class of Celery's worker; return the failures of tasks.

    A message that has expired or was revoked does not run. Raises ``RecordingError`` for a
    message that the project's workers would not accept.
    """
    app = recording.app
    task = app.tasks.get(sent.name)
    if task is None:
        raise RecordingError(
            f"{sent.call!r} cannot run, because this process does not know the task "
            f"{sent.name!r}. Import the module that defines it. If another project runs it, pass "
            f"its name: run(elsewhere=[{sent.name!r}]).",
            sent.name,
        )
    request_class: Any = class_named(task.Request)
    try:
        revoked = revoking(recording.revoked, recording.revoked_stamps)
        with _failures() as failures, revoked, fresh_tracer(task):
            request_class(_received(app, sent.message), app=app, task=task).execute()
    except ContentDisallowed as error:
        raise RecordingError(
            f"Workers would drop {sent.call!r}: accept_content lacks {sent.serializer!r}. Add it "
            "to CELERY_ACCEPT_CONTENT.",
            sent.serializer,
        ) from error
    return failures


def _received(app: Any, message: Any) -> Any:
    return Message(
        body=message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        # A copy, because the worker adds headers. The body is not compressed any more.
        headers={key: value for key, value in message.headers.items() if key != "compression"},
        properties=dict(message.properties),
        delivery_info=dict(message.delivery_info),
        accept=accepted_types(app.conf.accept_content),
    )


@contextmanager
def _failures() -> Iterator[list[Exception]]:
    """Collect the exceptions of tasks, and of rows of a batch, that fail in this thread."""
    failures: list[Exception] = []
    thread = threading.get_ident()

    def collect(exception: Any = None, **kwargs: Any) -> None:
        if threading.get_ident() == thread:
            failures.append(exception)

    watched = (signals.task_failure, signals.task_internal_error)
    for signal in watched:
        signal.connect(collect, weak=False)
    try:
        yield failures
    finally:
        for signal in watched:
            signal.disconnect(collect)
