"""Define durable and other tasks in a project that does not install the app of durable tasks."""

from __future__ import annotations

import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="secret",
    USE_TZ=True,
    INSTALLED_APPS=["cereal_methods"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

from celery import Celery  # noqa: E402
from django.apps import apps  # noqa: E402
from django.db import models  # noqa: E402

from cereal_methods import model_task, task  # noqa: E402
from cereal_methods.exceptions import InvalidModelTask  # noqa: E402

app = Celery("shop", set_as_current=True)


class Order(models.Model):
    class Meta:
        app_label = "cereal_methods"

    @model_task
    def ship(self): ...


print(sorted(name for name in sys.modules if name.startswith("cereal_methods.records")))
print([model.__name__ for model in apps.get_models()])
try:

    @task(durable=True)
    def charge(): ...

except InvalidModelTask as error:
    print(error)
