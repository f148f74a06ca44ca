"""Models that tests define, each time anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
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


def forgetting(*names: str) -> Any:
    """Return a fixture that makes Django forget models of the shop after a module's tests."""

    @pytest.fixture(scope="module", autouse=True)
    def forget() -> Iterator[None]:
        yield
        for name in names:
            del apps.all_models["shop"][name]
        apps.clear_cache()

    return forget
