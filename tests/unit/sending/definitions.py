"""Definitions of method tasks, and the messages with which they are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import models

from cereal_methods import model_task
from cereal_methods.exceptions import InvalidModelTask

IS_NO_METHOD = ", not a method. Decorate a function in the body of a model."


def go(self: Any) -> None: ...


def go_with(self: Any, task: Any) -> None: ...


def refused(define: Callable[[], Any]) -> str:
    """Return the message with which a definition is refused."""
    with pytest.raises((InvalidModelTask, RuntimeError)) as caught:
        define()
    # Python before 3.12 puts the errors of __set_name__ into a RuntimeError.
    error = caught.value.__cause__ if isinstance(caught.value, RuntimeError) else caught.value
    assert isinstance(error, InvalidModelTask)
    return str(error)


def named(model: str, **options: Any) -> Callable[[], type[models.Model]]:
    """Return a definition of a model with one task."""
    meta = type("Meta", (), {"app_label": "shop"})
    body = {"Meta": meta, "__module__": "shop", "go": model_task(**options)(go)}
    return lambda: type(model, (models.Model,), body)
