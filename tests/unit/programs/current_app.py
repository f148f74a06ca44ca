"""Send a method while another app is the current one, and print the task that its queue has."""

from __future__ import annotations

import django
from celery import Celery

import tests.celery  # noqa: F401  (the project's app)

django.setup()

from tests.shop.models import Order  # noqa: E402  (it needs the apps)
from tests.unit.bodies import stored  # noqa: E402

app = Celery("other", broker="memory://", backend=None)
app.conf.update(accept_content=["cereal-pickle"], task_default_queue="others")
stored(Order, pk=5).ship.delay("dhl")
with app.connection_for_read() as connection:
    queue = app.amqp.queues["others"](connection.default_channel)
    print(queue.get(no_ack=True, accept=["cereal-pickle"]).headers["task"])
