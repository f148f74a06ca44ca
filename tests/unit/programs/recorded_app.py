"""Record two apps at the same time, and print what each of them has sent."""

from __future__ import annotations

import django
from celery import Celery

import tests.celery  # noqa: F401  (the project's app)

django.setup()

from cereal_methods.testing import record_tasks  # noqa: E402  (it needs the apps)
from tests.shop.tasks import plain  # noqa: E402

other = Celery("other", broker="amqp://127.0.0.1:1", set_as_current=False)


@other.task(name="double")
def double(number, times=2):
    return times * number


with record_tasks() as tasks, record_tasks(other) as others:
    result = double.delay(4)
    plain.delay(1)
    others.run()
    print(result.get())
others.assert_sent(double, 4)
print([sent.name for sent in others], [sent.name for sent in tasks])
