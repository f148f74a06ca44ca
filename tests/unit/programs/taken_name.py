"""A method and a plain task have the same name; the method is sent."""

from __future__ import annotations

import warnings
from typing import Any

import django

import tests.celery  # noqa: F401  (the app)

django.setup()

from celery import shared_task  # noqa: E402
from django.db import models  # noqa: E402

from cereal_methods import model_task  # noqa: E402
from cereal_methods.exceptions import InvalidModelTask  # noqa: E402
from tests.unit.bodies import stored  # noqa: E402

warnings.simplefilter("ignore")  # Celery 5.7 warns of such a name


@shared_task(name="shop.taken")
def taken(*args: Any, **kwargs: Any) -> None: ...


try:

    class Colliding(models.Model):
        @model_task(name="shop.taken")
        def go(self, *args: Any) -> None: ...

        class Meta:
            app_label = "shop"

    stored(Colliding, pk=5).go.delay()
    run: Any = Colliding.go.task.run
    print("sent to", run.__module__, run.__name__)
except InvalidModelTask as error:
    print(error)
