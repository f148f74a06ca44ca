"""A plain task takes an instance, with the project's serializer."""

from __future__ import annotations

from typing import Any

import django

from tests.celery import app

django.setup()

from tests.shop.models import Order  # noqa: E402
from tests.unit.bodies import stored  # noqa: E402


@app.task
def project(order: Any) -> None: ...


with app.connection_for_read() as connection:
    queue = app.amqp.queues["celery"](connection.default_channel)
    queue.declare()
    project.delay(stored(Order, pk=5))
    message = queue.get(no_ack=True, accept=app.conf.accept_content)
    print(message.content_type, list(message.payload[0].with_references()))
