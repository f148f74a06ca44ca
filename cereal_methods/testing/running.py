"""Running a recorded message as a worker does, in this process and its transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.utils.imports import symbol_by_name
from celery.worker import state
from kombu import Message
from kombu.exceptions import ContentDisallowed
from kombu.serialization import prepare_accept_content

from ..exceptions import RecordingError

if TYPE_CHECKING:
    from .messages import SentTask
    from .recordings import Recording


def run(sent: SentTask[Any], recording: Recording) -> list[Exception]:
    """Run a message, by the request class of Celery's worker; return what tasks failed by.

    What a worker leaves out, it leaves out too: messages that have expired, or were
    revoked. Raises ``RecordingError`` for what no worker of the project would take.
    """
    app = recording.app
    task = app.tasks.get(sent.name)
    if task is None:
        raise RecordingError(
            f"{sent.call!r} cannot be run: this process has no task {sent.name!r}. Import the "
            "module that defines it. If it is another project's, name it in "
            f"run(elsewhere=[{sent.name!r}]).",
            sent.name,
        )
    request_class: Any = symbol_by_name(task.Request)
    tracer, task.__trace__ = task.__trace__, None  # which may be of a time before a mock
    try:
        with _failures() as failures, _revoked(recording):
            request_class(_received(app, sent.message), app=app, task=task).execute()
    except ContentDisallowed as error:
        raise RecordingError(
            f"Workers would drop {sent.call!r}: accept_content lacks {sent.serializer!r}.",
            sent.serializer,
        ) from error
    finally:
        task.__trace__ = tracer
    return failures


def _received(app: Any, message: Any) -> Any:
    return Message(
        body=message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        # The worker adds to them. Compression was undone already.
        headers={key: value for key, value in message.headers.items() if key != "compression"},
        properties=dict(message.properties),
        delivery_info=dict(message.delivery_info),
        accept=prepare_accept_content(app.conf.accept_content),
    )


@contextmanager
def _failures() -> Iterator[list[Exception]]:
    """Give the exceptions that tasks of this thread fail by, rows of a batch included."""
    found: list[Exception] = []
    thread = threading.get_ident()

    def note(exception: Any = None, **about: Any) -> None:
        if threading.get_ident() == thread:
            found.append(exception)

    watched = (signals.task_failure, signals.task_internal_error)
    for signal in watched:
        signal.connect(note, weak=False)
    try:
        yield found
    finally:
        for signal in watched:
            signal.disconnect(note)


@contextmanager
def _revoked(recording: Recording) -> Iterator[None]:
    """Let the worker's code know which tasks were revoked, and forget it afterwards."""
    ids = [each for each in recording.revoked if each not in state.revoked]
    known: Any = state.revoked_stamps
    stamps = dict(known)
    for each in ids:
        state.revoked.add(each)
    known.update(recording.revoked_stamps)
    try:
        yield
    finally:
        for each in ids:
            state.revoked.discard(each)
        known.clear()
        known.update(stamps)
