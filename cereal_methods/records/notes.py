"""Notes on records whose message could not be run, so that they say why they are still ``sent``.

Such a message never reaches its record: the worker does not know the task, cannot verify or
decode the body, or a hook raises before the task's function. A note changes nothing but the
record's error, because anybody who can write to the broker can cause one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from celery import bootsteps, signals
from django.db import close_old_connections

from ..exceptions import InvalidMessage
from ..results.messages import RECORD
from ..running.state import state_of
from .databases import is_kept_on
from .deliveries import place_of
from .ending import text_of
from .models import ENDED, TaskRecord
from .querysets import change

logger = logging.getLogger("cereal_methods")

#: The longest note, in characters.
_LONGEST: Final = 1000


class NotesStep(bootsteps.Step):
    """The worker's step that lets it write notes."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        for signal, receiver in (
            (signals.task_failure, _on_failure),
            (signals.task_unknown, _on_unknown),
            (signals.task_rejected, _on_rejected),
        ):
            signal.connect(receiver, weak=False, dispatch_uid=f"{__name__}.{receiver.__name__}")


def note(using: str, turn: int, task_id: str, name: str, text: str) -> None:
    """Write why a message was not run into the error of its record, unless that has ended."""
    if not is_kept_on(using):
        return
    records = TaskRecord._base_manager.using(using)
    found = records.filter(pk=task_id, turn=turn, task=name).exclude(state__in=ENDED)
    try:
        change(found, {"error": _on_one_line(text)})
    except Exception as error:  # a note is not worth a failure
        logger.warning("Task %s[%s] has no note on its record: %s", name, task_id, error)


def _on_one_line(text: str) -> str:
    """Return a text that may be shown in a terminal: it may quote a message."""
    words = " ".join(text[:_LONGEST].split())
    return "".join(each if each.isprintable() else "?" for each in words)


def _on_failure(sender: Any, task_id: str, exception: BaseException, **kwargs: Any) -> None:
    """Note why a task has failed before its function: in the process that would have run it."""
    request = sender.request
    target = getattr(sender, "target", None)
    if not getattr(target, "is_durable", False) or request.is_eager:
        return
    place = place_of(getattr(request, RECORD, None))
    # What fails later has taken its record, and ended it.
    if place is not None and not state_of(request).has_started:
        note(*place, task_id, request.task, text_of(exception))


def _on_unknown(sender: Any, message: Any, **kwargs: Any) -> None:
    text = (
        f"The worker {sender.hostname} does not know the task. If its method was renamed, give it "
        "its former name with aliases=; then send this record again with task_records resend."
    )
    _note_from_consumer(sender, message, text)


def _on_rejected(sender: Any, message: Any, exc: Any, **kwargs: Any) -> None:
    if exc is not None:
        # The text of other errors may quote the message.
        text = text_of(exc) if isinstance(exc, InvalidMessage) else type(exc).__name__
        _note_from_consumer(sender, message, f"The worker {sender.hostname} refused it: {text}")


def _note_from_consumer(consumer: Any, message: Any, text: str) -> None:
    """Let the pool write a note: a prefork worker's own process has no database connection."""
    headers = message.headers if isinstance(message.headers, Mapping) else {}
    place = place_of(headers.get(RECORD))
    task_id, name = headers.get("id"), headers.get("task")
    if place is not None and isinstance(task_id, str) and isinstance(name, str):
        arguments = (*place, task_id, name, text)
        consumer.pool.apply_async(_note_in_pool, arguments, callback=_ignore)


def _note_in_pool(*arguments: Any) -> None:
    try:
        note(*arguments)
    finally:
        close_old_connections()  # which Celery does around tasks


def _ignore(result: Any) -> None:
    """Be the callback that the solo pool needs."""
