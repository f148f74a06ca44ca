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

from . import envelopes
from .arguments import LazyArgs, LazyEmbed
from .calls import NO_EMBED
from .compressions import bound_decompression
from .embeds import check_embed, check_forwarded
from .exceptions import InvalidMessage
from .keys import described
from .serializers import signing
from .serializers.body import call_expected

logger: Final = logging.getLogger("cereal_methods")

#: Characters of what a sender chose that may stand in a log.
_SHOWN: Final = 100


#: The content types of Celery's own signed messages, and of pickle: its sender can do anything.
_VOUCHED: Final = frozenset({"application/data", "application/x-python-serialize"})

#: What Celery's consumer raises for a message that it cannot read.
_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Intake(bootsteps.Step):
    """The step of a worker's consumer that checks messages before they are requests.

    Workers have it where ``cereal_methods`` is in ``INSTALLED_APPS``; others get it by
    ``app.steps["consumer"].add("cereal_methods.intake:Intake")``.
    """

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        if any(hasattr(task, "row_policy") for task in consumer.app.tasks.values()):
            signing.check_keys()  # the worker stops here
        bound_decompression(consumer.app)
        consumer.strategies = _Strategies(consumer)
        consumer.create_task_handler = _checking(consumer, consumer.create_task_handler)
        consumer.on_decode_error = _refusing(consumer, consumer.on_decode_error)


def _checking(consumer: Any, create: Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes a consumer's handler of messages: one that looks at the envelope first."""

    def create_task_handler(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        handle = create(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            error = envelopes.fault(message)
            if error is None:
                try:
                    return handle(message)
                except _UNREADABLE as raised:
                    if message.acknowledged:
                        raise
                    error = _unreadable(raised)
            _refuse(consumer, _name_of(message), message, error)
            return None

        return on_task_received

    return create_task_handler


def _refusing(consumer: Any, on_decode_error: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a consumer does with a message that kombu could not make: refuse it."""

    def refuse(message: Any, error: Any) -> Any:
        if isinstance(error, InvalidMessage):  # of what is decompressed
            error = envelopes.fault(message) or error
            return _refuse(consumer, _name_of(message), message, error)
        return on_decode_error(message, error)

    return refuse


def _unreadable(error: BaseException) -> InvalidMessage:
    found = error.__traceback__
    while found is not None and found.tb_next is not None:
        found = found.tb_next
    code = found.tb_frame.f_code if found is not None else None
    # What the error says may quote the message.
    place = f"{code.co_name}, {code.co_filename}" if code is not None else "its consumer"
    return InvalidMessage(f"Celery cannot take the message in: {type(error).__name__} in {place}.")


def _name_of(message: Any) -> str:
    """Return the name of a message's task for a log, whatever the sender has chosen."""
    headers = message.headers if isinstance(message.headers, Mapping) else {}
    name = headers.get("task")
    return name if isinstance(name, str) else "without a name"


class _Strategies(dict[str, Callable[..., Any]]):
    """What the consumer does with a message of each task, checked first."""

    def __init__(self, consumer: Any) -> None:
        super().__init__()
        self.consumer = consumer

    def __setitem__(self, name: str, handle: Callable[..., Any]) -> None:
        consumer = self.consumer

        def check(message: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
            # Of protocol 1 there is a body already.
            if body is None:
                error = _fault(name, message)
            else:
                error = _fault_of_canvas(message, name, body.get("args"), body.get("kwargs"), body)
            if error is None:
                return handle(message, body, *args, **kwargs)
            _refuse(consumer, name, message, error)
            return None

        super().__setitem__(name, check)


def _fault(name: str, message: Any) -> InvalidMessage | None:
    """Return what keeps a message from being a call, if anything."""
    token = call_expected.set(True)
    try:
        body = message.payload
    except ContentDisallowed as error:
        if message.content_type == "application/x-python-serialize":
            return InvalidMessage(f"{error!s:.200} Send it with serializer='cereal-pickle'.")
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
        return _fault_of_canvas(message, name, body.get("args"), body.get("kwargs"), body)
    if (
        isinstance(body, (tuple, list))
        and len(body) == 3
        and isinstance(body[0], (tuple, list, LazyArgs))
        and isinstance(body[1], Mapping)
        and (body[2] is None or isinstance(body[2], Mapping))
    ):
        return _fault_of_canvas(message, name, *body)
    return InvalidMessage("The message is no call of a task: its body is something else.")


def _fault_of_canvas(
    message: Any, name: str, args: Any, kwargs: Any, embed: Any
) -> InvalidMessage | None:
    """Return what keeps the signatures in a message from being sent on, if anything."""
    call = getattr(args, "call", None)
    if message.content_type in _VOUCHED or (call is not None and call.decoder.is_signed):
        return None
    try:
        if not isinstance(embed, LazyEmbed):  # which looks for itself, as it is read
            found = {key: embed.get(key) for key in NO_EMBED} if embed else {}
            check_embed(found, is_signed=False)
        if name.startswith("celery."):  # Celery's own tasks send signatures among their arguments
            check_forwarded([args, kwargs] if call is None else list(call.peek()))
    except InvalidMessage as error:
        return error
    return None


def _refuse(consumer: Any, name: str, message: Any, error: InvalidMessage) -> None:
    """Let the message's task fail, without a look at what it holds."""
    headers = message.headers if isinstance(message.headers, Mapping) else {}
    properties = message.properties or {}
    task_id = _id_of(message)
    logger.error(
        "Task %s[%s] fails before it begins: %s If it is your own code's, compare the versions "
        "and settings of what sends it with this worker's; if not, find out who else can write "
        "to the broker (queue %.100r, %d bytes of %.100s).",
        _on_one_line(name),
        _on_one_line(task_id),
        error,
        (message.delivery_info or {}).get("routing_key"),
        len(message.body or b""),
        message.content_type,
    )
    message.reject_log_error(logger, consumer.connection_errors)
    if isinstance(task_id, str) and 0 < len(task_id) <= envelopes.LONGEST:
        _record(consumer, name, task_id, headers, properties, error)
    signals.task_rejected.send(sender=consumer, message=message, exc=error)


def _id_of(message: Any) -> Any:
    headers = message.headers if isinstance(message.headers, Mapping) else {}
    found = headers.get("id")
    if found is None and "task" not in headers:
        payload = message._decoded_cache  # of protocol 1, where it could be decoded
        found = payload.get("id") if isinstance(payload, Mapping) else None
    return found


def _on_one_line(value: Any) -> str:
    """Return what a sender chose for a log: short, and on one line."""
    text = value if isinstance(value, str) or value is None else described(value)
    return " ".join(f"{text!s:.{_SHOWN}}".split())


def _record(
    consumer: Any,
    name: str,
    task_id: str,
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    error: InvalidMessage,
) -> None:
    task = consumer.app.tasks.get(name)
    ignored = headers.get("ignore_result")
    if task is not None and ignored is None:
        ignored = task.ignore_result
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
            store_result=bool(task and task.store_errors_even_if_ignored) or not ignored,
        )
    except Exception:  # the backend is away: the worker has others to do
        logger.exception(
            "The failure of task %s[%s] could not be stored.",
            _on_one_line(name),
            _on_one_line(task_id),
        )
    if consumer.event_dispatcher:
        consumer.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
