"""Messages in the consumer of a worker, and what their process leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from billiard.einfo import ExceptionInfo

from cereal_methods.results.counts import Counts
from cereal_methods.running.batches.folder import path_of
from tests.celery import app

from ..batches.odd import odd_orders, rows_of

__all__ = ["Counts", "Delivery", "deliver", "info_of"]


class Delivery:
    """A bulk's first message, in a consumer that has received it."""

    def __init__(self, messages: list[Any], model: Any, rows: list[Any], result: Any) -> None:
        self.model, self.rows, self.result = model, rows, result
        self.task = model.act.task
        self.message = messages[0]
        self.on_ack = mock.Mock()
        self.on_reject = mock.Mock()
        self.request = self.task.Request(
            self.message, app=app, task=self.task, on_ack=self.on_ack, on_reject=self.on_reject
        )
        self.id: str = self.request.id

    def keep(self, journal: str) -> None:
        """Write the journal that a process has left."""
        path = path_of(self.id)
        assert path is not None
        path.write_text(journal)

    @property
    def is_acknowledged(self) -> bool:
        return bool(self.on_ack.called)


def deliver(sent: Callable[[], list[Any]], *numbers: str, **options: Any) -> Delivery:
    """Send a bulk of rows with these numbers; return its message as the consumer has it.

    ``batch_size``, ``headers`` and ``ignore_result`` are options of the bulk, others of the task.
    """
    names = ("batch_size", "headers", "ignore_result", "compression", "priority", "serializer")
    of_bulk = {name: options.pop(name) for name in names if name in options}
    of_bulk.setdefault("batch_size", 9)
    model = odd_orders(**options)
    rows = rows_of(model, *numbers)
    result = model.act.bulk_apply_async(rows, **of_bulk)
    return Delivery(sent(), model, rows, result)


def info_of(error: BaseException) -> Any:
    """Return how the pool describes an error."""
    try:
        raise error
    except type(error):
        return ExceptionInfo()


@pytest.fixture
def unavailable(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes the result backend unavailable, until it is called again."""
    store = app.backend.store_result
    state = {"is_unavailable": False}

    def store_result(*args: Any, **options: Any) -> Any:
        if state["is_unavailable"]:
            raise ConnectionError("unavailable")
        return store(*args, **options)

    monkeypatch.setattr(app.backend, "store_result", store_result)

    def switch() -> None:
        state["is_unavailable"] = not state["is_unavailable"]

    return switch
