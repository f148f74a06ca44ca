"""Publishing messages: many in one round trip, if kombu and its transport support it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from kombu.exceptions import OperationalError

from ..celery_api.backends import declares_replies

if TYPE_CHECKING:
    from .messages import Message

logger = logging.getLogger("cereal_methods")

#: How many messages are published together.
CHUNK: Final = 500

#: The same for a transport that sends them one by one, so that a chunk does not take long.
_CHUNK_WITHOUT_BATCH: Final = 100

#: How many seconds a process leaves sending to the relay after the broker was unavailable.
_BACKOFF: Final = 5.0

_RETRIES: Final = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}


def publish(app: Any, messages: Sequence[Message]) -> None:
    """Publish messages in order. Raises the errors of the broker's client.

    A connection that has died since its last use is opened again. After an error, publish all of
    the messages again, because some of them may have been delivered.
    """
    queues = app.amqp.queues
    with app.producer_or_acquire() as producer:
        connection = producer.connection
        options = connection.transport_options
        # Without these options kombu would retry to connect for ever.
        before, connection.transport_options = options, {**options, **_RETRIES}
        try:
            if declares_replies(app.backend):
                app.backend.on_task_call(producer, messages[0].id)

            def publish_all() -> None:
                # Once for each queue, because declaring one costs more than publishing a message.
                for name in {name for message in messages for name in message.queues}:
                    producer.maybe_declare(queues[name])
                # A batch of one message costs kombu more than the message.
                with _batch(producer) if len(messages) > 1 else nullcontext():
                    for message in messages:
                        message.publish(producer)

            connection.ensure(producer, publish_all, **_RETRIES)()
        finally:
            connection.transport_options = before


def is_refusal(app: Any, error: Exception) -> bool:
    """Whether an available broker, or its client, refused a message.

    For example, an exchange does not exist, or an option is invalid.
    """
    if isinstance(error, (OperationalError, OSError)):
        return False
    with app.connection_for_write() as connection:
        if isinstance(error, connection.connection_errors):
            return False
        try:
            connection.ensure_connection(**_RETRIES)
        except Exception:  # for example a wrong password
            return False
    return True


def chunk_size(app: Any) -> int:
    """Return how many messages ``publish`` should be given at a time."""
    with app.producer_or_acquire() as producer:
        has_batches = getattr(producer, "supports_batch_publish", False)  # since kombu 5.7
    return CHUNK if has_batches else _CHUNK_WITHOUT_BATCH


def _batch(producer: Any) -> AbstractContextManager[Any]:
    batch = getattr(producer, "batch", None)  # since kombu 5.7
    return nullcontext() if batch is None else batch(max_size=CHUNK)


class Backoff:
    """Stops sending for some seconds after an error, so that callers do not wait."""

    def __init__(self) -> None:
        self._until = 0.0

    def is_active(self) -> bool:
        """Whether the broker was unavailable a moment ago."""
        return time.monotonic() < self._until

    def start(self, error: Exception, number: int) -> None:
        """Send nothing for a few seconds, and log the error."""
        self._until = time.monotonic() + _BACKOFF
        logger.warning(
            "%d durable task%s could not be sent. A worker retries when the broker is available: "
            "%s: %s",
            number,
            "" if number == 1 else "s",
            type(error).__name__,
            error,
        )

    def stop(self) -> None:
        """Send again: the broker has answered."""
        self._until = 0.0


backoff: Final = Backoff()
