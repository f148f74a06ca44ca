"""The step of a worker's consumer that refuses messages which do not call a task.

Celery reads a message's headers, and unpacks its body as ``args, kwargs, embed``, outside of
any ``try``. A message that it cannot read, such as a task's result that was sent as a message,
ends the consumer; and the broker delivers it to the next one. With this step the message is a
failed task instead, and the worker goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from celery import bootsteps

from .. import conf
from ..celery_api.worker import set_strategies, wrap_decode_error, wrap_message_handler
from ..exceptions import InvalidMessage
from ..serializers import signing
from . import bodies, envelopes
from .compressions import bound_decompression
from .refusal import refuse, task_name_of
from .target import is_row_task

#: What Celery's consumer raises for a message that it cannot read.
_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class MessageChecks(bootsteps.Step):
    """The step of a worker's consumer that checks messages before Celery handles them.

    Workers have it if ``cereal_methods`` is in ``INSTALLED_APPS``; others get it by
    ``app.steps["consumer"].add("cereal_methods.running.consumer:MessageChecks")``.
    """

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        if any(map(is_row_task, consumer.app.tasks.values())):
            signing.check_keys()  # which stops the worker if they are invalid
        bound_decompression(consumer.app)
        set_strategies(consumer, Strategies(consumer))
        wrap_message_handler(consumer, functools.partial(_with_checks, consumer))
        wrap_decode_error(consumer, functools.partial(_with_refusal, consumer))


class Strategies(dict[str, Callable[..., Any]]):
    """Celery's functions that handle the messages of each task; bodies are checked first."""

    def __init__(self, consumer: Any) -> None:
        super().__init__()
        self.consumer = consumer

    def __setitem__(self, name: str, handle: Callable[..., Any]) -> None:
        consumer = self.consumer
        # Celery's own tasks, and this library's, run others or send them.
        is_ours = name.startswith(("celery.", "cereal_methods."))
        is_ours = is_ours or is_row_task(consumer.app.tasks.get(name))

        def check(message: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
            needs_signature = is_ours and conf.get("REQUIRE_SIGNED")
            error = bodies.error_in(message, name, body, needs_signature=needs_signature)
            if error is None:
                return handle(message, body, *args, **kwargs)
            return refuse(consumer, name, message, error)

        super().__setitem__(name, check)


def _with_checks(consumer: Any, create: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what makes a consumer's handler of messages: envelopes are checked first."""

    def create_task_handler(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        handle = create(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            error = envelopes.error_in(message)
            if error is None:
                try:
                    return handle(message)
                except _UNREADABLE as raised:
                    if message.acknowledged:
                        raise
                    error = _unreadable(raised)
            return refuse(consumer, task_name_of(message), message, error)

        return on_task_received

    return create_task_handler


def _with_refusal(consumer: Any, on_decode_error: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what a consumer does with a message that kombu cannot create: refuse it."""

    def refuse_undecoded(message: Any, error: Any) -> Any:
        if not isinstance(error, InvalidMessage):
            return on_decode_error(message, error)
        # The message cannot be decompressed.
        error = envelopes.error_in(message) or error
        return refuse(consumer, task_name_of(message), message, error)

    return refuse_undecoded


def _unreadable(error: BaseException) -> InvalidMessage:
    traceback = error.__traceback__
    place = "its consumer"
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{code.co_name}, {code.co_filename}"
        traceback = traceback.tb_next
    # Not the text of the error, which may quote the message.
    return InvalidMessage(f"Celery cannot read the message: {type(error).__name__} in {place}.")
