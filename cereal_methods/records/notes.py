"""Notes in the errors of records: why a worker could not run the message.

The worker does not know the task, cannot verify or decode the body, or a hook raises before the
task's function. The record stays ``sent``. A note changes only its error, because anyone who can
write to the broker can cause one.
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
from .databases import is_database
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
    """Store in a record's error why its message was not run, unless the record has ended."""
    if not is_database(using):
        return
    records = TaskRecord._base_manager.using(using)
    record = records.filter(pk=task_id, turn=turn, task=name).exclude(state__in=ENDED)
    try:
        change(record, {"error": _on_one_line(text)})
    except Exception as error:  # a note must not cause a failure
        logger.warning(
            "Task %s[%s] could not be run, and its record does not say so: %s", name, task_id, error
        )


def _on_one_line(text: str) -> str:
    """Return a text that is safe to show in a terminal: the original may quote a message."""
    line = " ".join(text[:_LONGEST].split())
    return "".join(character if character.isprintable() else "?" for character in line)


def _on_failure(sender: Any, task_id: str, exception: BaseException, **kwargs: Any) -> None:
    """Note why a task failed before its function. Called in the process that would have run it."""
    request = sender.request
    target = getattr(sender, "target", None)
    if not getattr(target, "is_durable", False) or request.is_eager:
        return
    place = place_of(getattr(request, RECORD, None))
    # A task that fails later has ended its record itself.
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
    """Let the pool write a note: a prefork worker's main process has no database connection."""
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
        close_old_connections()  # as Celery does around tasks


def _ignore(result: Any) -> None:
    """Do nothing: the solo pool requires a callback."""
