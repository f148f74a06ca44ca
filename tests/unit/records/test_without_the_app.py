"""A project that does not install the app imports nothing of it, and is told what is missing."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from django.conf import settings
settings.configure(
    SECRET_KEY="secret", USE_TZ=True, INSTALLED_APPS=["cereal_methods"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
import django
django.setup()
from celery import Celery
app = Celery("shop", set_as_current=True)
from django.apps import apps
from django.db import models
from cereal_methods import model_task, task
from cereal_methods.exceptions import InvalidModelTask

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
"""


def test_nothing_is_imported_or_migrated_and_durable_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    modules, models, refusal = done.stdout.splitlines()
    assert modules == "[]"
    assert models == "['Order']"
    assert refusal == (
        "charge is durable, and nothing keeps durable tasks here. Add 'cereal_methods.records' to "
        "INSTALLED_APPS and run migrate, or take durable=True away."
    )
