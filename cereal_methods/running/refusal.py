"""How a consumer refuses a message: its task fails, with a state and one line in the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from celery import signals
from celery.app.task import Context

from ..celery_api.kombu import decoded_before
from ..rows.key_text import describe_type
from . import envelopes

if TYPE_CHECKING:
    from ..exceptions import InvalidMessage

logger: Final = logging.getLogger("cereal_methods")

#: How many characters of a sender's value a log may have.
_LOGGED: Final = 100


def refuse(consumer: Any, name: str, message: Any, error: InvalidMessage) -> None:
    """Let the task of a message fail. The message itself is not read."""
    task_id = _task_id_of(message)
    logger.error(
        "Task %s[%s] fails before it starts: %s If your own code sent it, compare the sender's "
        "versions and settings with this worker's; if not, find out who else can write to the "
        "broker (queue %.100r, %d bytes of %s).",
        _on_one_line(name),
        _on_one_line(task_id),
        error,
        (message.delivery_info or {}).get("routing_key"),
        len(message.body or b""),
        _on_one_line(message.content_type),
    )
    message.reject_log_error(logger, consumer.connection_errors)
    if isinstance(task_id, str) and 0 < len(task_id) <= envelopes.MAX_LENGTH:
        _store_failure(consumer, name, task_id, message, error)
    signals.task_rejected.send(sender=consumer, message=message, exc=error)


def task_name_of(message: Any) -> str:
    """Return the name of a message's task, for a log."""
    name = _headers_of(message).get("task")
    return name if isinstance(name, str) else "without a name"


def _task_id_of(message: Any) -> Any:
    headers = _headers_of(message)
    task_id = headers.get("id")
    if task_id is None and "task" not in headers:  # of protocol 1
        body = decoded_before(message)
        task_id = body.get("id") if isinstance(body, Mapping) else None
    return task_id


def _headers_of(message: Any) -> Mapping[str, Any]:
    return message.headers if isinstance(message.headers, Mapping) else {}


def _on_one_line(value: Any) -> str:
    """Return a sender's value for a log: short, and on one line."""
    text = value if isinstance(value, str) or value is None else describe_type(value)
    return " ".join(f"{text!s:.{_LOGGED}}".split())


def _store_failure(
    consumer: Any, name: str, task_id: str, message: Any, error: InvalidMessage
) -> None:
    headers, properties = _headers_of(message), message.properties or {}
    task = consumer.app.tasks.get(name)
    is_ignored = headers.get("ignore_result")
    if task is not None and is_ignored is None:
        is_ignored = task.ignore_result
    request = Context(
        id=task_id,
        task=name,
        **{name: _text(headers.get(name)) for name in ("root_id", "parent_id", "group")},
        **{name: _text(properties.get(name)) for name in ("reply_to", "correlation_id")},
    )
    try:
        consumer.app.backend.mark_as_failure(
            task_id,
            error,
            request=request,
            store_result=bool(task and task.store_errors_even_if_ignored) or not is_ignored,
        )
    except Exception:  # the result backend is unavailable, and the worker has other messages
        logger.exception(
            "The failure of task %s[%s] could not be stored.",
            _on_one_line(name),
            _on_one_line(task_id),
        )
    if consumer.event_dispatcher:
        consumer.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
