"""Models that tests define, each time anew."""

from __future__ import annotations

from typing import Any

from django.db import models

from cereal_methods import model_task


def bound() -> Any:
    """Return a model with a method that takes its task."""

    class Bound(models.Model):
        class Meta:
            app_label = "shop"

        @model_task(bind=True)
        def go(self, task: Any, *args: Any) -> Any:
            return (self, task, *args)

    return Bound
