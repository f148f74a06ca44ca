"""What lies in the broker's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cereal_methods.records.publishing import publish
from tests.celery import app


def sent() -> list[Any]:
    """Take all messages out of the queue, and return them."""
    found = []
    with app.connection_for_read() as connection:
        queue = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
        queue.declare()
        while (message := queue.get(no_ack=True)) is not None:
            found.append(message)
    return found


def refusing(task_id: str) -> Callable[..., None]:
    """Return a function that publishes messages, and raises for that of a task."""

    def publish_others(app: Any, messages: Any) -> None:
        if any(message.id == task_id for message in messages):
            raise ValueError("invalid")
        publish(app, messages)

    return publish_others
