"""Fixtures for sending."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.celery import app
from tests.shop.models import Order

from ..bodies import stored
from .messages import trace


@pytest.fixture
def order() -> Order:
    """An order that seems to be in the database."""
    return stored(Order, pk=5)


@pytest.fixture(params=["cereal-pickle", "cereal-json", "json"])
def due(request: pytest.FixtureRequest, sent: Callable[[], list[Any]]) -> Callable[..., Any]:
    """Do what beat does with an entry that JSON has kept, and what a worker does then."""

    def run(task: str, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = json.loads(json.dumps([args, kwargs]))
        app.tasks[task].apply_async(args, kwargs, serializer=request.param)
        (message,) = sent()
        done = trace(message)
        if done.info is not None and done.info.state == "FAILURE":
            raise done.info.retval
        return done.retval

    return run
