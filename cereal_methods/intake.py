"""What a worker's consumer takes in: messages that call a task, and nothing else.

Celery unpacks a decoded body as ``args, kwargs, embed``, outside of any ``try``. A body
that is something else, such as a task's result that is sent as a message, ends its
consumer, and what the broker then delivers again ends the next one. Here such a message
is a failed task: it leaves a state, one line in the log, and the worker goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from celery import bootsteps, signals
from celery.app.task import Context
from kombu.exceptions import ContentDisallowed, DecodeError

from .arguments import LazyArgs
from .exceptions import InvalidMessage
from .serializers.body import call_expected

logger: Final = logging.getLogger("cereal_methods")

#: Characters of what a sender chose that may stand in a log.
_SHOWN: Final = 100


class Intake(bootsteps.Step):
    """The step of a worker's consumer that checks messages before they are requests.

    Workers have it where ``cereal_methods`` is in ``INSTALLED_APPS``; others get it by
    ``app.steps["consumer"].add("cereal_methods.intake:Intake")``.
    """

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        consumer.strategies = _Strategies(consumer)


class _Strategies(dict[str, Callable[..., Any]]):
    """What the consumer does with a message of each task, checked first."""

    def __init__(self, consumer: Any) -> None:
        super().__init__()
        self.consumer = consumer

    def __setitem__(self, name: str, handle: Callable[..., Any]) -> None:
        consumer = self.consumer

        def check(message: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
            # Of protocol 1 there is a body already, and Celery checks it.
            error = _fault(message) if body is None else None
            if error is None:
                return handle(message, body, *args, **kwargs)
            _refuse(consumer, name, message, error)
            return None

        super().__setitem__(name, check)


def _fault(message: Any) -> InvalidMessage | None:
    """Return what keeps a message from being a call, if anything."""
    token = call_expected.set(True)
    try:
        body = message.payload
    except ContentDisallowed as error:
        return InvalidMessage(f"{error!s:.200} Add its serializer to accept_content here.")
    except DecodeError as error:
        found = error.args[0] if error.args else None
        if isinstance(found, InvalidMessage):
            return found
        # What other parsers say quotes what they parse.
        return InvalidMessage(f"The message cannot be decoded: {type(found).__name__}.")
    finally:
        call_expected.reset(token)
    if not isinstance(message.headers.get("id"), str):
        return InvalidMessage("The message has no id.")
    if isinstance(body, dict) and "args" in body:  # of protocol 1, with headers
        return None
    if (
        isinstance(body, (tuple, list))
        and len(body) == 3
        and isinstance(body[0], (tuple, list, LazyArgs))
        and isinstance(body[1], Mapping)
        and (body[2] is None or isinstance(body[2], Mapping))
    ):
        return None
    return InvalidMessage("The message is no call of a task: its body is something else.")


def _refuse(consumer: Any, name: str, message: Any, error: InvalidMessage) -> None:
    """Let the message's task fail, without a look at what it holds."""
    headers, properties = message.headers, message.properties or {}
    task_id = headers.get("id")
    # At most one line, whatever an id has in it.
    shown = " ".join(f"{task_id!s:.{_SHOWN}}".split())
    logger.error(
        "Task %s[%s] fails before it begins: %s If it is your own code's, compare the versions "
        "and settings of what sends it with this worker's; if not, find out who else can write "
        "to the broker (queue %.100r, %d bytes of %.100s).",
        name,
        shown,
        error,
        (message.delivery_info or {}).get("routing_key"),
        len(message.body or b""),
        message.content_type,
    )
    message.reject_log_error(logger, consumer.connection_errors)
    if isinstance(task_id, str):
        _record(consumer, name, task_id, headers, properties, error)
    signals.task_rejected.send(sender=consumer, message=message, exc=error)


def _record(
    consumer: Any,
    name: str,
    task_id: str,
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    error: InvalidMessage,
) -> None:
    task = consumer.app.tasks[name]
    ignored = headers.get("ignore_result")
    request = Context(
        id=task_id,
        task=name,
        root_id=headers.get("root_id"),
        parent_id=headers.get("parent_id"),
        group=headers.get("group"),
        reply_to=properties.get("reply_to"),
        correlation_id=properties.get("correlation_id"),
    )
    try:
        consumer.app.backend.mark_as_failure(
            task_id,
            error,
            request=request,
            store_result=task.store_errors_even_if_ignored
            or not (task.ignore_result if ignored is None else ignored),
        )
    except Exception:  # the backend is away: the worker has others to do
        logger.exception("The failure of task %s[%.100s] could not be stored.", name, task_id)
    if consumer.event_dispatcher:
        consumer.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error))
