"""What lies in the broker's memory."""

from __future__ import annotations

from typing import Any

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
