"""Handing messages over to the broker: many in one trip, where kombu can."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from ..celery_api.backends import declares_replies

if TYPE_CHECKING:
    from .messages import Message

logger = logging.getLogger("cereal_methods")

#: How many messages are handed over together.
CHUNK: Final = 500

#: For how long a process that found its broker away leaves sending to the relay, in seconds.
_PAUSE: Final = 5.0

_RETRIES: Final = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}


def publish(app: Any, messages: Sequence[Message]) -> None:
    """Publish messages, in their order. Raises what the broker's client raises.

    A connection that has died since it was used is opened again. What an error leaves in
    doubt is to be published once more.
    """
    queues = app.amqp.queues
    with app.producer_or_acquire() as producer:
        connection = producer.connection
        options = connection.transport_options
        # Without them kombu would try for ever to connect.
        before, connection.transport_options = options, {**options, **_RETRIES}
        try:
            if declares_replies(app.backend):  # it declares the queue of the replies
                app.backend.on_task_call(producer, messages[0].id)

            def trip() -> None:
                # Once for all of them: to declare a queue costs more than a message does.
                for name in {name for message in messages for name in message.queues}:
                    producer.maybe_declare(queues[name])
                # A batch of one costs kombu more than the message.
                with _batch(producer) if len(messages) > 1 else nullcontext():
                    for message in messages:
                        message.publish(producer)

            connection.ensure(producer, trip, **_RETRIES)()
        finally:
            connection.transport_options = before


def _batch(producer: Any) -> AbstractContextManager[Any]:
    batch = getattr(producer, "batch", None)  # since kombu 5.7
    return nullcontext() if batch is None else batch(max_size=CHUNK)


class Patience:
    """Whether the broker is worth a try: its callers do not wait for one that is away."""

    def __init__(self) -> None:
        self._until = 0.0

    def is_out(self) -> bool:
        """Whether the broker did not answer a moment ago."""
        return time.monotonic() < self._until

    def lose(self, error: Exception, number: int) -> None:
        """Note that the broker did not answer, and log it."""
        self._until = time.monotonic() + _PAUSE
        logger.warning(
            "%d durable task%s could not be sent, and will be by a worker when the broker "
            "answers: %s: %s",
            number,
            "" if number == 1 else "s",
            type(error).__name__,
            error,
        )

    def restore(self) -> None:
        """Note that the broker has answered."""
        self._until = 0.0


patience: Final = Patience()
