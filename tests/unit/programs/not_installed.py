"""Print the app and the task of a method in a project without cereal_methods in INSTALLED_APPS."""

from __future__ import annotations

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="secret",
    INSTALLED_APPS=["tests.shop"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

from celery import Celery  # noqa: E402  (after Django, as in a shell)

from tests.shop.models import Order  # noqa: E402  (it needs the apps)

app = Celery("shop")
print(Order.ship.task.app is app, Order.ship.name)
