"""Print which tasks an app has that is made after the models, and which of two apps sends them."""

from __future__ import annotations

import sys

import django
from celery import Celery, Task

import tests.celery


class Special(Task):
    abstract = True


django.setup()

from tests.shop.models import Order  # noqa: E402  (it needs the apps)

first = Order.ship.task
later = Celery("later", set_as_current=False, task_cls=Special)
print([name in later.tasks for name in sys.argv[1:]])
print(first.app is tests.celery.app, Order.ship.task is first)
later.set_current()
print(Order.ship.task.app is later, isinstance(Order.ship.task, Special))
